"""The Typer app with all commands. Each command imports its modules when it is called, so that `--help` is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from tritonize.cli import (
    adopt,
    bench,
    check,
    config,
    deploy,
    diff,
    doctor,
    golden,
    inspect,
    lint,
    list_versions,
    locate,
    pack,
    plan,
    promote,
    prune,
    push,
    report,
    run,
    serve,
    show,
    sign,
    verify,
    view,
)
from tritonize.cli.terminal import say

app = typer.Typer(
    name="tritonize",
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
) -> None:
    pass


app.command("run")(run.run)
app.command("build")(run.build)
app.command("serve")(serve.serve)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("check")(check.check)
app.command("adopt")(adopt.adopt)
app.command("config")(config.config)
app.command("lint")(lint.lint)
app.command("locate")(locate.locate)
app.command("diff")(diff.diff)
app.command("list")(list_versions.list_versions)
app.command("show")(show.show)
app.command("promote")(promote.promote)
app.command("rollback")(promote.rollback)
app.command("prune")(prune.prune)
app.command("push")(push.push)
app.command("sign")(sign.sign)
app.command("provenance")(sign.provenance)
app.command("pack")(pack.pack)
app.add_typer(deploy.app, name="deploy")
app.command("inspect")(inspect.inspect)
app.command("report")(report.report)
app.command("view")(view.view)
app.add_typer(golden.app, name="golden")
app.add_typer(plan.app, name="plan")
app.command("doctor")(doctor.doctor)
