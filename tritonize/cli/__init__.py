"""The command line: the only folder that prints or exits."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from tritonize.cli import corrected, global_options
from tritonize.core import printable, wrapping
from tritonize.core.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    InterruptedRunError,
    MissingError,
    RepositoryError,
    TritonizeError,
    UsageError,
    refused,
)
from tritonize.core.messages import files, repository

SUMMARIZED = ("run", "build", "verify", "lint", "check", "bench", "adopt")
"""Commands whose result is added to the page of a GitHub Actions run."""
EXIT_PIPE = 141
"""128 + SIGPIPE: the exit code that a shell reports for a program that this signal ended."""


def main() -> NoReturn:
    """Run the command line, print errors on stderr and exit.

    The exit code of a `TritonizeError` is its `exit_code`. Ctrl-C and SIGTERM exit with 130, after cleanup. Any other exception is
    a bug of tritonize: it is printed with traceback and versions for a bug report, and the exit code is 70.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode prints ✓ as \u2713
    try:
        from tritonize.cli import terminal
        from tritonize.cli.app import app

        # Not standalone: Typer would print and exit by itself, and with --json an error must be a JSON document too.
        terminal.set_verbosity("normal")
        with wrapping.at(terminal.width()):
            code = app(global_options.split(sys.argv[1:]).words(), prog_name="tritonize", standalone_mode=False)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except TritonizeError as error:
        _fail(error)
    except BrokenPipeError:  # the reader of stdout has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PIPE)
    except Exception as error:  # noqa: BLE001 - the outermost handler: an invalid command line, or a bug of tritonize
        if hasattr(error, "format_message") and hasattr(error, "show"):  # Typer's own, or the one of the Click that it bundles
            _exit_with_usage(error)
        _fail(_from_machine(error) or _bug(error))
    if code == EXIT_INTERRUPTED:
        _fail(InterruptedRunError.of(repository.INTERRUPTED))
    sys.exit(code or 0)


def _exit_with_usage(error: Any) -> NoReturn:
    """Print Typer's error about an invalid command line, with --json also as a JSON document, and exit."""
    from tritonize.cli import usage_hints

    usage_hints.improve(error)
    text = io.StringIO()
    error.show(file=text)
    print(printable.text(text.getvalue()), file=sys.stderr, end="")  # noqa: T201
    if "--json" in sys.argv:
        _print_json(UsageError(error.format_message()))
    sys.exit(error.exit_code)


def _print_json(error: TritonizeError) -> None:
    import json

    print(printable.text(json.dumps({"error": error.to_dict()}, indent=2, ensure_ascii=False)))  # noqa: T201


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # cleanup has started; a second signal would stop it half-way
    raise KeyboardInterrupt


def _from_machine(error: Exception) -> TritonizeError | None:
    """The error for missing memory, disk space or permissions that no stage handled; `None` for any other exception."""
    if isinstance(error, MemoryError):
        return MissingError.of(files.OUT_OF_MEMORY, found=str(error) or None)
    if not isinstance(error, OSError):
        return None
    if error.errno != errno.ENOENT:
        return refused(error)  # a full disk is not a bug
    if error.filename is None:  # Python found no writable folder for temporary files
        return RepositoryError.of(files.NO_TEMPORARY_FOLDER, found=error.strerror)
    return None


def _bug(error: Exception) -> TritonizeError:
    import platform
    import traceback
    from importlib import metadata

    versions = [f"{name} {metadata.version(name)}" for name in ("tritonize", "numpy", "onnx", "onnxruntime", "tritonclient")]
    python = f"Python {platform.python_version()} on {platform.platform()}"
    return TritonizeError(
        f"This is a bug in tritonize: {type(error).__name__}: {error}",
        next_step="report it, with the lines below",
        details=[*traceback.format_exc().splitlines(), ", ".join(versions), python],
    )


def _wrapped(line: str) -> list[str]:
    """Wrap a line. Quoted lines (`  | `) of a log or a diff are not wrapped, so that they can be copied; a spec's problems are."""
    if line.startswith("  | line "):
        return wrapping.wrapped(line, rest="  |     ")
    return [line] if line.startswith("  | ") else wrapping.wrapped(line, rest="    ") or [""]


def _fail(error: TritonizeError) -> NoReturn:
    if error.meant:
        error.next_step = corrected.command(error.meant, sys.argv[1:]) or error.next_step
    if "--json" in sys.argv:
        _print_json(error)
    from tritonize.cli import step_summary, terminal

    command = next((word for word in global_options.split(sys.argv[1:]).command if not word.startswith("-")), "")
    if command in SUMMARIZED:
        from tritonize.report import github_summary

        step_summary.append(lambda: github_summary.of_error(command, error))
    with wrapping.at(terminal.width(err=True)):
        lines = [part for line in printable.text(f"Error: {error}").splitlines() for part in _wrapped(line)]
    terminal.say("Error:", err=True, nl=False, style=terminal.Style.BAD)
    terminal.say("\n".join(lines).removeprefix("Error:"), err=True)
    sys.stdout.flush()
    sys.exit(error.exit_code if error.exit_code else EXIT_BUG)
