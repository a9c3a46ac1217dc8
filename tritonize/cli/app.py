"""The Typer app: which commands there are. Each imports what it needs when it is called, so that `--help` is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from tritonize.cli import check, diff, doctor, golden, inspect, locate, plan, report, run, serve, verify, view
from tritonize.cli.terminal import say

app = typer.Typer(
    name="tritonize",
    help="A PyTorch model to a Triton model repository that is proven to answer like the model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        say(f"tritonize {metadata.version('tritonize')}")
        raise typer.Exit


def _isolate(asked: bool) -> None:
    if asked:
        from tritonize.process import isolation_probe

        isolation_probe.isolate()


def _log(level: str | None) -> None:
    from tritonize.core import logs

    if level:
        logs.enable(level)
    else:
        logs.enable_from_environment()


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate", callback=_isolate, help="Run workers without network, home and other files; before or behind any command."
        ),
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            callback=_log,
            metavar="LEVEL",
            help="Write a log to standard error: debug, info or warning; before or behind any command. (TRITONIZE_LOG)",
        ),
    ] = None,
) -> None:
    pass


app.command("run")(run.run)
app.command("build")(run.build)
app.command("serve")(serve.serve)
app.command("verify")(verify.verify)
app.command("check")(check.check)
app.command("locate")(locate.locate)
app.command("diff")(diff.diff)
app.command("inspect")(inspect.inspect)
app.command("report")(report.report)
app.command("view")(view.view)
app.add_typer(golden.app, name="golden")
app.add_typer(plan.app, name="plan")
app.command("doctor")(doctor.doctor)
