"""`tritonize doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from tritonize.cli.display import display
from tritonize.cli.terminal import Style, say, say_lines
from tritonize.core import wrapping


def doctor(
    install_server: Annotated[bool, typer.Option("--install-server", help="Install or repair the embedded server.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check the prerequisites on this machine; exit code 3 if one is missing."""
    from tritonize.core.errors import MissingError
    from tritonize.workflows import doctor as doctor_workflow

    if install_server:
        with display() as terminal, terminal.stage("Install the server"):
            doctor_workflow.install_server(terminal.on_progress)
    probes = doctor_workflow.probe()
    if json:
        from dataclasses import asdict
        from json import dumps

        say(dumps({"probes": [asdict(probe) for probe in probes]}, indent=2))
    else:
        for probe in probes:
            mark, style = ("✗", Style.BAD) if not probe.ok else ("–", None) if probe.absent else ("✓", Style.GOOD)
            first, *rest = wrapping.wrapped(f"{probe.name}: {probe.found}", first="  ", rest="    ")
            say(mark, style=style, nl=False)
            say_lines([first.removeprefix(" "), *rest])
            if probe.next_step:
                say_lines(wrapping.wrapped(f"next: {probe.next_step}", first="    ", rest="      "))
    if not all(probe.ok for probe in probes):
        raise typer.Exit(MissingError.exit_code)
