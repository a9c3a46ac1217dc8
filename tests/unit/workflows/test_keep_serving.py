"""A server that ends by itself is started again on the same ports, with growing pauses, and not for ever."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tritonize.core.errors import MissingError, ServerError
from tritonize.core.messages import processes
from tritonize.core.messages import server as messages
from tritonize.triton.server.ports import Ports
from tritonize.workflows import keep_serving as module
from tritonize.workflows.keep_serving import Crashes, keep_serving


def crashed() -> ServerError:
    return ServerError.of(messages.SERVER_ENDED, where="the log", details=["last line"], how="was killed by SIGABRT")


def refused() -> ServerError:
    return ServerError("The server refused a model.", where="m", code="model-refused")


class Server:
    """Stands in for `serving.serve`: each start raises, or runs and then ends as `ends` says."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, starts: list[BaseException | None], ends: list[BaseException | None]
    ) -> None:
        self.starts, self.ends = starts, ends
        self.ports: list[tuple[int, int]] = []
        self.others: list[tuple[int | None, str]] = []
        self.pauses: list[float] = []
        self.ready = 0
        self.told: list[str] = []
        monkeypatch.setattr(module.serving, "serve", self.serve)
        monkeypatch.setattr(module.time, "sleep", self.pauses.append)

    @contextlib.contextmanager
    def serve(self, _repository, *, ports, **_):
        self.ports.append((ports.http, ports.grpc))
        self.others.append((ports.metrics, ports.address))
        if (error := self.starts.pop(0)) is not None:
            raise error
        addresses = {
            "http_url": f"127.0.0.1:{ports.http or 4000}",
            "grpc_url": f"127.0.0.1:{ports.grpc or 4001}",
            "metrics_url": "" if ports.metrics is None else f"127.0.0.1:{ports.metrics or 4002}",
        }
        yield SimpleNamespace(**addresses, wait=self.wait)

    def wait(self) -> None:
        if (error := self.ends.pop(0)) is not None:
            raise error

    def run(self, *, restart: bool = True, ports: Ports | None = None) -> None:
        def on_ready(_server) -> None:
            self.ready += 1

        keep_serving(
            Path("models"),
            directory=Path("folder"),
            models=["m"],
            ports=ports or Ports(),
            restart=restart,
            on_ready=on_ready,
            on_restart=self.told.append,
        )


def test_a_server_is_started_again_on_the_same_ports(monkeypatch):
    server = Server(monkeypatch, [None, None, None], [crashed(), crashed(), None])
    server.run()
    assert server.ports == [(0, 0), (4000, 4001), (4000, 4001)]
    assert (server.ready, server.pauses) == (3, [1.0, 2.0])
    assert server.told[0] == "The server was killed by SIGABRT. Restarting in 1 s (crash 1; tritonize gives up at 5 in a row)."


def test_metrics_and_address_stay_the_same_over_restarts(monkeypatch):
    server = Server(monkeypatch, [None, None], [crashed(), None])
    server.run(ports=Ports(metrics=0, address="0.0.0.0"))
    assert server.others == [(0, "0.0.0.0"), (4002, "0.0.0.0")]


def test_a_start_that_fails_after_a_crash_counts_as_another(monkeypatch):
    server = Server(monkeypatch, [None, refused(), None], [crashed(), None])
    server.run()
    assert (server.ready, server.pauses) == (2, [1.0, 2.0])


def test_it_gives_up_after_five_crashes_in_a_row(monkeypatch):
    server = Server(monkeypatch, [None] * 5, [crashed() for _ in range(5)])
    with pytest.raises(ServerError) as error:
        server.run()
    assert (error.value.code, error.value.exit_code, error.value.where) == ("server-given-up", 7, "the log")
    assert "5 times in a row" in error.value.what
    assert (error.value.found, error.value.details) == ("The server was killed by SIGABRT.", ("last line",))
    assert server.pauses == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_ran_for_long_starts_a_new_row():
    crashes = Crashes()
    assert [crashes.pause_s(10), crashes.pause_s(module.STEADY_S), crashes.pause_s(10)] == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(("starts", "ends", "restart"), [([refused()], [], True), ([None], [crashed()], False)])
def test_a_first_start_that_fails_and_no_restart_are_errors_at_once(starts, ends, restart, monkeypatch):
    server = Server(monkeypatch, starts, ends)
    with pytest.raises(ServerError) as error:
        server.run(restart=restart)
    assert error.value.code in ("server-ended", "model-refused")
    assert server.pauses == []


def test_a_server_that_is_killed_before_its_first_instruction_has_crashed(monkeypatch):
    not_started = MissingError.of(processes.COMMAND_NOT_STARTED, command="tritonserver")
    server = Server(monkeypatch, [None, not_started, None], [crashed(), None])
    server.run()
    assert (server.ready, server.pauses) == (2, [1.0, 2.0])


def test_a_missing_server_is_no_crash(monkeypatch):
    server = Server(monkeypatch, [None, MissingError("It is gone.")], [crashed()])
    with pytest.raises(MissingError):
        server.run()
