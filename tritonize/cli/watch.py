"""`tritonize verify --watch`: the options, and what is printed and sent after each round."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tritonize.cli.limits import limited
from tritonize.cli.option_groups import with_options
from tritonize.cli.terminal import say
from tritonize.core.errors import ServerError, UsageError

if TYPE_CHECKING:
    from tritonize.core.watch_rounds import Round
    from tritonize.report.watch_metrics import Metrics
    from tritonize.workflows.watch import Request
    from tritonize.workflows.watch_delivery import Receiver

_DELIVERY_S = 240.0
"""Longest time for the delivery of one change, all attempts together."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How to repeat a verification."""

    every_s: float | None
    """Seconds between the starts of two rounds; `None` to verify once."""
    metrics_port: int | None
    on_change: str | None
    on_change_command: str | None

    def require_usable(self, *, running: bool, junit: bool) -> None:
        """Fail if options do not belong together.

        Args:
            running: whether a running server is given.
            junit: whether results are written as JUnit XML.
        """
        from tritonize.core.messages import client, watch

        flags = {
            "--metrics-port": self.metrics_port,
            "--on-change": self.on_change,
            "--on-change-command": self.on_change_command,
        }
        given = [flag for flag, value in flags.items() if value is not None]
        if self.every_s is None and given:
            raise UsageError.of(watch.WATCH_ONLY, options=", ".join(given))
        if self.every_s is not None and not running:
            raise UsageError.of(client.OPTION_WITHOUT_URL, options="--watch")
        if self.every_s is not None and junit:
            raise UsageError.of(watch.NOT_WATCHED, options="--junit")


def _options(
    *,
    watch: Annotated[
        float | None,
        typer.Option("--watch", min=1, metavar="SECONDS", help="Verify a running server again every so often, until Ctrl-C."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            min=0,
            max=65535,
            metavar="PORT",
            help="With --watch: Prometheus metrics on 127.0.0.1; 0: any port.",
        ),
    ] = None,
    on_change: Annotated[
        str | None,
        typer.Option(
            "--on-change", metavar="URL", help="With --watch: POST a JSON document when a verdict changes; URL or @env:VARIABLE."
        ),
    ] = None,
    on_change_command: Annotated[
        str | None,
        typer.Option(
            "--on-change-command", metavar="COMMAND", help="With --watch: run a program, with that document on its standard input."
        ),
    ] = None,
) -> WatchOptions:
    return WatchOptions(every_s=watch, metrics_port=metrics_port, on_change=on_change, on_change_command=on_change_command)


with_watch = with_options("watch", _options)
"""Adds the options to a command that has the parameter `watch: WatchOptions`."""


def run(request: Request, options: WatchOptions, *, as_json: bool) -> NoReturn:
    """Verify until Ctrl-C or SIGTERM; then exit with the code of the last verdict.

    Raises:
        KeyboardInterrupt: interrupted before the first verdict.
        typer.Exit: with the code of the last verdict.
        MissingError: the port for metrics cannot be opened.
    """
    from tritonize.core.messages import watch as wording
    from tritonize.core.results import in_words
    from tritonize.report import watch_metrics
    from tritonize.workflows import watch

    last: Round | None = None
    receivers = _receivers(options)
    metrics = watch_metrics.Metrics()
    with contextlib.ExitStack() as stack:
        say(wording.WATCHING.text(seconds=request.every_s), err=True)
        if options.metrics_port is not None:
            address = stack.enter_context(watch_metrics.served(metrics, options.metrics_port))
            say(wording.METRICS.text(address=address), err=True)
        after = _After(receivers, metrics, as_json=as_json)
        try:
            for last in watch.rounds(request):
                after(last)
        except KeyboardInterrupt:  # Ctrl-C is the regular end
            if last is None:
                raise
    assert last is not None
    say(wording.ENDED.text(number=last.number, verdict=in_words(last.verdict).upper(), exit_code=last.exit_code), err=True)
    raise typer.Exit(last.exit_code)


def _receivers(options: WatchOptions) -> list[Receiver]:
    import os

    from tritonize.core.messages import watch as wording
    from tritonize.workflows.watch_delivery import Command, Webhook

    receivers: list[Receiver] = []
    if options.on_change is not None:
        receivers.append(webhook := Webhook(options.on_change, os.environ))
        if webhook.in_clear:
            say(f"Warning: {wording.IN_CLEAR.text(host=webhook.in_clear)}", err=True)
    if options.on_change_command is not None:
        receivers.append(Command(options.on_change_command))
    return receivers


class _After:
    """What happens after each round: a line, the metrics, and the delivery of a change."""

    def __init__(self, receivers: list[Receiver], metrics: Metrics, *, as_json: bool) -> None:
        from tritonize.core.watch_rounds import Changes

        self._receivers, self._metrics, self._as_json = receivers, metrics, as_json
        self._changes = Changes()

    def __call__(self, done: Round) -> None:
        import json
        import sys

        from tritonize.report import watch_text

        change = self._changes.after(done)
        document = watch_text.document(done, change)
        self._metrics.add(done)
        say(json.dumps(document, ensure_ascii=False) if self._as_json else watch_text.line(done, change))
        sys.stdout.flush()  # a log or a pipe gets the line now
        for receiver in self._receivers if change else ():
            if why := _delivered(receiver, document):
                self._metrics.undelivered()
                say(why, err=True)


def _delivered(receiver: Receiver, document: dict[str, object]) -> str | None:
    """Why a document was not delivered; `None` if it was."""
    from tritonize.core.messages import watch as wording
    from tritonize.workflows import watch_delivery

    try:
        with limited(_DELIVERY_S):
            return watch_delivery.deliver(receiver, document)
    except ServerError as error:
        return wording.UNDELIVERED.text(receiver=receiver.name, why=error.what, attempts=1)


def once() -> Callable[[str], None]:
    """A listener that says each text once: how many requests the verification of a model sends is the same in every round."""
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text, err=True)

    return say_once
