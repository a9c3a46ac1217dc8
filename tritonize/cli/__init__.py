"""The command line: the only place that prints or exits."""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import signal
import sys
import textwrap
import traceback
from types import FrameType
from typing import Any, NoReturn

from tritonize import printable
from tritonize.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    InterruptedRunError,
    MissingError,
    RepositoryError,
    TritonizeError,
    UsageError,
    refused,
)
from tritonize.wording import files, repository

ISOLATE = "--isolate"
EXIT_PIPE = 141
"""As a shell shows a program that SIGPIPE ended."""


def main() -> NoReturn:
    """Run the command line and turn whatever happens into an exit code and a text.

    A `TritonizeError` becomes its paragraph on stderr, Ctrl-C and SIGTERM become 130 after everything was cleaned up, and
    anything else is a bug: traceback and versions, ready to paste, and 70.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows ✓ as \u2713, and no traceback
    try:
        from tritonize.cli.app import app

        # Not by itself: it would exit with the message of a wrong command line alone, and --json promises a document.
        code = app(_arguments(sys.argv[1:]), prog_name="tritonize", standalone_mode=False)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except TritonizeError as error:
        _fail(error)
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PIPE)
    except Exception as error:  # noqa: BLE001 - the boundary: what comes here is a command line that is none, or a bug of ours
        if hasattr(error, "format_message") and hasattr(error, "show"):  # Typer's; it may bring Click or have its own
            _refuse(error)
        _fail(_of_this_machine(error) or _bug(error))
    if code == EXIT_INTERRUPTED:
        _fail(InterruptedRunError.of(repository.INTERRUPTED))
    sys.exit(code or 0)


def _arguments(given: list[str]) -> list[str]:
    """The option that every command takes, put where Typer reads it."""
    end = given.index("--") if "--" in given else len(given)
    if ISOLATE not in given[:end]:
        return given
    return [ISOLATE, *(word for index, word in enumerate(given) if index > end or word != ISOLATE)]


def _refuse(error: Any) -> NoReturn:
    """A command line that is none: Typer's own text, and the document that --json asks for."""
    shown = io.StringIO()
    error.show(file=shown)
    print(printable.text(shown.getvalue()), file=sys.stderr, end="")  # noqa: T201
    if "--json" in sys.argv:
        _print_json(UsageError(error.format_message()))
    sys.exit(error.exit_code)


def _print_json(error: TritonizeError) -> None:
    print(printable.text(json.dumps({"error": error.to_dict()}, indent=2, ensure_ascii=False)))  # noqa: T201


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # cleaning up has begun; a second one would stop it half-way
    raise KeyboardInterrupt


def _of_this_machine(error: Exception) -> TritonizeError | None:
    """What memory, disk or permissions refuse where no stage expected it; `None` for any other failure."""
    if isinstance(error, MemoryError):
        return MissingError.of(files.OUT_OF_MEMORY, found=str(error) or None)
    if not isinstance(error, OSError):
        return None
    if error.errno != errno.ENOENT:
        return refused(error)  # a full disk is no bug, wherever it is met
    if error.filename is None:  # Python tried to write into each of the folders that it names
        return RepositoryError.of(files.NO_TEMPORARY_FOLDER, found=error.strerror)
    return None


def _bug(error: Exception) -> TritonizeError:
    from importlib import metadata

    versions = [f"{name} {metadata.version(name)}" for name in ("tritonize", "numpy", "onnx", "onnxruntime", "tritonclient")]
    python = f"Python {platform.python_version()} on {platform.platform()}"
    return TritonizeError(
        f"This is a bug in tritonize: {type(error).__name__}: {error}",
        next_step="please report it with the lines below",
        details=[*traceback.format_exc().splitlines(), ", ".join(versions), python],
    )


def _wrapped(line: str) -> list[str]:
    """A line in 80 columns; quoted ones (`  | `, a log or a diff) stay as they are, to be copied."""
    if line.startswith("  | "):
        return [line]
    return textwrap.wrap(line, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [""]


def _fail(error: TritonizeError) -> NoReturn:
    if "--json" in sys.argv:
        _print_json(error)
    mark = "\x1b[31mError:\x1b[0m" if sys.stderr.isatty() else "Error:"
    text = printable.text(f"Error: {error}")
    lines = [part for line in text.splitlines() for part in _wrapped(line)]
    print("\n".join(lines).replace("Error:", mark, 1), file=sys.stderr)  # noqa: T201
    sys.stdout.flush()
    sys.exit(error.exit_code if error.exit_code else EXIT_BUG)
