"""The Typer app. A command's module is imported when the command is called, so that `--help` is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from tritonize.cli import terminal
from tritonize.cli.commands import Commands
from tritonize.cli.terminal import say

app = typer.Typer(
    name="tritonize",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Turn a PyTorch model into a Triton model repository whose outputs are verified against the model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(enabled: bool) -> None:
    if enabled:
        from importlib import metadata

        say(f"tritonize {metadata.version('tritonize')}")
        raise typer.Exit


def _isolate(enabled: bool) -> None:
    if enabled:
        from tritonize.process import isolation_probe

        isolation_probe.isolate()


def _log(level: str | None) -> None:
    from tritonize.core import logs

    if level:
        logs.enable(level)
    else:
        logs.enable_from_environment()


def _quiet(enabled: bool) -> None:
    if enabled:
        terminal.set_verbosity("quiet")


def _verbose(enabled: bool) -> None:
    if enabled:
        terminal.set_verbosity("verbose")


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate",
            callback=_isolate,
            help="Run workers without access to the network, the home folder and other files; before or after any command.",
        ),
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            callback=_log,
            metavar="LEVEL",
            help="Write a log to standard error: debug, info or warning; before or after any command. (TRITONIZE_LOG)",
        ),
    ] = None,
    *,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", callback=_quiet, help="Print only the verdict of each model, and errors; before or after any command."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", callback=_verbose, help="Print all figures and notes; before or after any command."),
    ] = False,
) -> None:
    pass
