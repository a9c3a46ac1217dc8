"""`tritonize serve`."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tritonize.cli.display import display
from tritonize.cli.servers import Server, started
from tritonize.cli.sign import RequireSignature
from tritonize.cli.terminal import say, say_wrapped, verbosity
from tritonize.core.errors import EXIT_DIFFERS
from tritonize.core.local_paths import local
from tritonize.core.stages import StageName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tritonize.core.server_choice import Start
    from tritonize.triton.server.embedded import Running
    from tritonize.triton.server.ports import Ports
    from tritonize.workflows.checked_copy import ToServe

Port = Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 for any free port.")]
Metrics = Annotated[
    int | None,
    typer.Option(min=0, max=65535, metavar="PORT", help="Port for Prometheus metrics on 127.0.0.1; 0 for any (no metrics)."),
]
Bind = Annotated[str, typer.Option(metavar="ADDRESS", help="IPv4 address for HTTP and gRPC.")]
Anyway = Annotated[bool, typer.Option("--serve-anyway", help="Serve versions even if their files changed after publication.")]
NoRestart = Annotated[bool, typer.Option("--no-restart", help="End when the server ends by itself; by default it is restarted.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout when the server is ready.")]
Control = Annotated[
    Literal["none", "explicit"],
    typer.Option("--model-control", help="explicit: requests with the server's key can load and unload the models."),
]


def serve(
    repository: Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The model repository.")] = Path(
        "model_repository"
    ),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    http_port: Port = 8000,
    *,
    grpc_port: Port = 8001,
    metrics: Metrics = None,
    bind: Bind = "127.0.0.1",
    model_control: Control = "none",
    serve_anyway: Anyway = False,
    require_signature: RequireSignature = None,
    no_restart: NoRestart = False,
    server: Server = "auto",
    json: Json = False,
) -> None:
    """Serve a model repository with Triton on 127.0.0.1, or where --bind says, until Ctrl-C.

    The server gets exactly the files that were compared with the manifests of published versions. A server that crashes is
    restarted, after 1 s, 2 s, 4 s and 8 s; after the fifth crash in a row the command fails.
    """
    from tritonize import repository as repositories
    from tritonize.core import temporary
    from tritonize.workflows import checked_copy
    from tritonize.workflows.keep_serving import keep_serving

    started(server)  # before anything is read
    ports, served = _ports(http_port, grpc_port, metrics=metrics, bind=bind), models or repositories.models(repository)
    with temporary.folder() as folder, display() as terminal:
        checked = checked_copy.to_serve(repository, served, folder, key=require_signature)
        _print_findings(checked, serve_anyway=serve_anyway, json=json)
        terminal.on_stage(StageName.SERVER_START, None)
        announced: list[str] = []

        def on_ready(running: Running) -> None:
            terminal.clear()
            key = _write_key(running, folder)
            if announced:
                _say_again(running, key)
            else:
                announced.append(running.http_url)
                _warn(ports.address, running)
                _announce(running, served, key, checked=checked, json=json, control=model_control == "explicit")

        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the regular end
            keep_serving(
                checked.root,
                directory=folder,
                models=served,
                ports=ports,
                explicit=model_control == "explicit",
                how=_how(server, checked),
                restart=not no_restart,
                on_ready=on_ready,
                on_restart=lambda text: say(text, err=True),
                complete=checked.completes,
                on_progress=terminal.on_progress,
            )
        _require_unchanged(checked)


def _ports(http_port: int, grpc_port: int, *, metrics: int | None, bind: str) -> Ports:
    from tritonize.triton.server.ports import Ports

    return Ports(http=http_port, grpc=grpc_port, metrics=metrics, address=_address(bind))


def _how(word: str, checked: ToServe) -> Start:
    """How to start the server: docker's image is that of the target that the versions declare."""
    from tritonize.core.server_choice import Start
    from tritonize.workflows import target_only

    return Start(way=started(word).way, release=target_only.release_of(*(each.manifest for each in checked.checked)))


def _address(text: str) -> str:
    """The address to listen on.

    Raises:
        UsageError: it is no IPv4 address.
    """
    from ipaddress import AddressValueError, IPv4Address

    from tritonize.core.errors import UsageError
    from tritonize.core.messages import server as wording

    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise UsageError.of(wording.ADDRESS_INVALID, found=repr(text)) from error


def _write_key(server: Running, folder: Path) -> Path:
    """Write the server's key in place of the one of the server before."""
    from tritonize.triton import serving

    (key := folder / "key").unlink(missing_ok=True)
    serving.write_key(server, key)
    return key


def _warn_of_others(address: str) -> None:
    """Warn that other machines reach the server, if they do."""
    from ipaddress import IPv4Address

    from tritonize.core.messages import server as wording

    if not IPv4Address(address).is_loopback:
        say_wrapped(wording.SERVING_TO_OTHERS.text(address=address), err=True)


def _say_again(running: Running, key: Path) -> None:
    from tritonize.core.messages import server as wording

    say_wrapped(wording.SERVING_AGAIN.text(http=running.http_url, key=key), err=True)


def _warn(address: str, running: Running) -> None:
    """Warn of what others can do with the server."""
    from tritonize.core.messages import server as wording

    _warn_of_others(address)
    if not running.key_is_hidden:
        say_wrapped(wording.KEY_VISIBLE.text(), err=True)


def _announce(server: Running, models: Sequence[str], key: Path, *, checked: ToServe, json: bool, control: bool = False) -> None:
    """Print where the server listens and where its key is, and what it does not serve."""
    from tritonize.core.messages import server as wording
    from tritonize.core.messages import verdict as verdict_wording

    addresses = {"http": server.http_url, "grpc": server.grpc_url}
    if json:
        from json import dumps

        if server.metrics_url:
            addresses["metrics"] = server.metrics_url
        ready = {**addresses, "models": list(models), "server": dict(server.identity), "key_file": str(key)}
        left_out = {model: [asdict(each) for each in fields] for model, fields in server.set_aside.items()}
        say(dumps({**ready, "checked": checked.notes, "set_aside": left_out}))
    else:
        for model, fields in server.set_aside.items():
            for each in fields:
                said = verdict_wording.SET_ASIDE.text(fields=f"{each.field} {each.value}".strip(), reason=each.reason)
                say_wrapped(wording.SERVED_WITHOUT.text(model=model, field=said), err=True)
        say_wrapped(wording.SERVING.text(models=", ".join(models), **addresses))
        say_wrapped(wording.SERVING_KEY.text(key=key, http=server.http_url))
        if server.metrics_url:
            say_wrapped(wording.SERVING_METRICS.text(metrics=server.metrics_url))
        if control:
            say_wrapped(wording.SERVING_CONTROL.text(key=key, http=server.http_url, model=models[0]))


def _print_findings(checked: ToServe, *, serve_anyway: bool, json: bool) -> None:
    """Print the results of the check.

    Raises:
        typer.Exit: files changed after publication, and --serve-anyway is not given.
    """
    from tritonize.core.messages import repository as wording

    for note in () if json else shown_notes(checked.notes):
        say_wrapped(note, err=True)
    if not checked.findings:
        return
    for finding in checked.findings:
        say_wrapped(f"{finding.where}: {finding.what}", err=True)
    say_wrapped((wording.SERVED_ANYWAY if serve_anyway else wording.NOT_SERVED).text(), err=True)
    if not serve_anyway:
        if json:
            from json import dumps

            say(dumps({"findings": [asdict(finding) for finding in checked.findings], "checked": checked.notes}))
        raise typer.Exit(EXIT_DIFFERS)


def shown_notes(notes: Iterable[str]) -> Iterator[str]:
    """The notes about checked files to print: with `--verbose` also that checksums detect no forgery, true of every repository."""
    from tritonize.core.messages import repository as wording

    yield from (note for note in notes if verbosity() == "verbose" or note != wording.SUMS.text())


def _require_unchanged(checked: ToServe) -> None:
    """Hash the files that were served from the repository itself again.

    Raises:
        typer.Exit: files changed while they were served.
    """
    findings = [finding for each in checked.checked for finding in each.changed_in_place()]
    for finding in findings:
        say_wrapped(f"{finding.where}: {finding.what}", err=True)
    if findings:
        raise typer.Exit(EXIT_DIFFERS)
