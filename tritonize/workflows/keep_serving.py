"""Serve a repository and start the server again when it ends by itself, with growing pauses, a bounded number of times.

A crash in ONNX Runtime or in a custom operator ends the whole server, as in stock Triton. Until the next start, clients see a
refused connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tritonize.core.errors import MissingError, ServerError
from tritonize.core.messages import processes
from tritonize.core.messages import server as messages
from tritonize.core.server_choice import Start
from tritonize.triton import serving
from tritonize.triton.server.embedded import Running
from tritonize.triton.server.ports import Ports

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
MOST_CRASHES = 5
"""Crashes in a row after which the server is not started again."""
STEADY_S = 600.0
"""A server that ran for this many seconds starts a new row."""


class Crashes:
    """The crashes in a row, and the pause after each."""

    def __init__(self) -> None:
        self.count = 0

    def pause_s(self, ran_s: float) -> float | None:
        """Count a crash; return the seconds to wait before the next start, or `None` if there is to be none.

        Args:
            ran_s: seconds between the server's start and its crash.
        """
        self.count = 1 if ran_s >= STEADY_S else self.count + 1
        if self.count >= MOST_CRASHES:
            return None
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.count - 1))


def keep_serving(
    repository: Path,
    *,
    directory: Path,
    models: Sequence[str],
    ports: Ports,
    restart: bool,
    on_ready: Callable[[Running], None],
    on_restart: Callable[[str], None],
    complete: bool = False,
    explicit: bool = False,
    how: Start = Start(),  # noqa: B008 - frozen
    on_progress: Callable[[str], None] | None = None,
) -> None:
    """Serve a repository until the server is stopped. The ports stay the same over restarts.

    Args:
        directory: an existing folder for the logs, one folder for each start.
        models: the models to load.
        ports: where the server listens.
        restart: whether to start a server again that ended by itself.
        on_ready: called after each start, once every model has completed one inference.
        on_restart: receives a sentence after each crash.
        complete: whether the server completes configurations, as for adopted versions.
        explicit: whether requests with the server's key can load and unload models; a restart loads all of them.
        how: how to start the server.
        on_progress: receives a line about the current step of a start.

    Raises:
        MissingError: the server is not installed and cannot be.
        ServerError: the first start failed; the server ended by itself, and is not to be started again or has been too often.
    """
    crashes, start = Crashes(), 0
    while True:
        began, start = time.monotonic(), start + 1
        try:
            with serving.serve(
                repository,
                directory=directory / f"start-{start}",
                models=models,
                ports=ports,
                complete=complete,
                explicit=explicit,
                start=how,
                on_progress=on_progress,
            ) as server:
                ports = _same(ports, server)
                on_ready(server)
                server.wait()
            return
        except (ServerError, MissingError) as error:
            if not restart or (start == 1 and error.code != messages.SERVER_ENDED.code) or _is_missing(error):
                raise
            pause = crashes.pause_s(time.monotonic() - began)
            if pause is None:
                raise ServerError.of(
                    messages.SERVER_GIVEN_UP, where=error.where, found=error.what, details=error.details, count=crashes.count
                ) from error
            on_restart(messages.SERVER_RESTARTS.text(why=error.what, pause=f"{pause:g}", count=crashes.count, limit=MOST_CRASHES))
            time.sleep(pause)


def _is_missing(error: ServerError | MissingError) -> bool:
    """Whether there is no server. One that was killed in its first instants counts as a crash."""
    return isinstance(error, MissingError) and error.code != processes.COMMAND_NOT_STARTED.code


def _same(ports: Ports, server: Running) -> Ports:
    """The ports of a running server, for the next start."""
    http_port, grpc_port = (int(url.rpartition(":")[2]) for url in (server.http_url, server.grpc_url))
    metrics = int(server.metrics_url.rpartition(":")[2]) if server.metrics_url else None
    return replace(ports, http=http_port, grpc=grpc_port, metrics=metrics)
