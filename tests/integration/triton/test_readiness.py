"""The responses of a server, even late ones, decide whether it is ready; its log does not."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tritonize.core.errors import ServerError
from tritonize.process import processes
from tritonize.triton.server import readiness
from tritonize.triton.server.readiness import Starting

INDEX = [
    {"name": "heart", "version": "1", "state": "READY"},
    {"name": "lung", "state": "UNAVAILABLE", "reason": "Internal: too big"},
]


@dataclasses.dataclass
class FakeProcess:
    log: Path
    ended: processes.Ended | None = None
    pid: int = os.getpid()

    def poll(self) -> processes.Ended | None:
        return self.ended


@contextlib.contextmanager
def answering(silent: int, answers: dict[str, tuple[int, Any]], slow_s: float = 0.0) -> Iterator[tuple[int, list[str]]]:
    """A server that closes its first connections and then responds; yields its port and the requested paths."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path if "key" not in self.headers else f"{self.path} with the key")
            if len(asked) <= silent:
                return  # without a response
            time.sleep(slow_s)
            status, body = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET  # noqa: N815 - the names are http.server's

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


def starting(port: int, tmp_path: Path, timeout_s: float = 20.0, ended: processes.Ended | None = None) -> Starting:
    (tmp_path / "log").touch()
    return Starting(
        process=FakeProcess(tmp_path / "log", ended),  # type: ignore[arg-type]
        address="127.0.0.1",
        http_port=port,
        grpc_port=port,
        metrics_port=None,
        name="mine",
        headers={"key": "s3cret"},
        deadline=time.monotonic() + timeout_s,
        timeout_s=timeout_s,
    )


def test_a_request_without_a_response_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / "heart").mkdir()
    with answering(3, {"/v2/repository/index": (200, INDEX)}) as (port, asked):
        readiness.require_loaded(starting(port, tmp_path), tmp_path, ["heart"])
    assert len(asked) == 4


def test_a_slow_response_is_awaited(tmp_path: Path) -> None:
    """The response takes longer than one second, which was the limit once."""
    with answering(0, {"/v2/repository/index": (200, INDEX)}, slow_s=1.2) as (port, asked):
        assert starting(port, tmp_path).index() == INDEX
    assert len(asked) == 1


def test_a_server_that_is_live_late_is_awaited(tmp_path: Path) -> None:
    with answering(2, {"/v2": (200, {"name": "mine", "version": "9"}), "/v2/health/live": (200, {})}) as (port, asked):
        assert starting(port, tmp_path).wait() == "9"
    assert asked == ["/v2", "/v2", "/v2", "/v2/health/live"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"/v2": (200, {"name": "another", "version": "9"})}, "server-not-ready"),
        ({"/v2": (200, {"name": "mine", "version": "9"}), "/v2/health/live": (400, {})}, "server-not-alive"),
    ],
)
def test_a_response_of_another_server_is_not_accepted(answers: dict[str, tuple[int, Any]], code: str, tmp_path: Path) -> None:
    with answering(0, answers) as (port, _), pytest.raises(ServerError) as caught:
        starting(port, tmp_path, 0.3).wait()
    assert caught.value.code == code


def test_another_program_on_the_port_does_not_get_the_key(tmp_path: Path) -> None:
    """Another program took the port while models were loaded, and responds with the server's name."""
    answers = {"/v2": (200, {"name": "mine", "version": "9"}), "/v2/health/live": (200, {}), "/v2/repository/index": (200, INDEX)}
    with subprocess.Popen(["sleep", "60"]) as real, answering(0, answers) as (port, asked):
        started = starting(port, tmp_path, 0.3)
        started.process.pid = real.pid
        with pytest.raises(ServerError) as caught:
            started.wait()
        real.kill()
    assert caught.value.code == "server-not-ready"
    assert set(asked) == {"/v2"}
    with answering(0, answers) as (port, asked):
        ours = starting(port, tmp_path)
        assert (ours.wait(), ours.index()) == ("9", INDEX)
    assert asked == ["/v2", "/v2/health/live", "/v2/repository/index with the key"]


def test_an_index_that_is_rejected_or_missing_is_an_error(tmp_path: Path) -> None:
    with answering(0, {"/v2/repository/index": (403, {"error": "restricted"})}) as (port, _), pytest.raises(ServerError) as caught:
        starting(port, tmp_path).index()
    assert (caught.value.code, "restricted" in str(caught.value.found)) == ("server-no-index", True)
    with answering(10**9, {}) as (port, _), pytest.raises(ServerError) as caught:
        starting(port, tmp_path, 0.3).index()
    assert caught.value.code == "server-not-ready"
    ended = processes.Ended(exit_code=1, signal=None, reason="exited", seconds=1.0, peak_memory=1)
    with pytest.raises(ServerError) as caught:
        starting(9, tmp_path, ended=ended).index()
    assert caught.value.code == "server-ended-early"


def test_the_error_has_the_reason_of_the_rejected_model(tmp_path: Path) -> None:
    with answering(0, {"/v2/repository/index": (200, INDEX)}) as (port, _), pytest.raises(ServerError) as caught:
        readiness.require_loaded(starting(port, tmp_path), tmp_path, ["lung"])
    assert (caught.value.code, caught.value.found) == ("server-model-refused", "too big")


def test_the_error_names_a_full_disk_that_truncated_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail = 0

    monkeypatch.setattr(readiness.os, "statvfs", lambda _: Full)
    (tmp_path / "heart").mkdir()
    with answering(0, {"/v2/repository/index": (200, [])}) as (port, _), pytest.raises(ServerError) as caught:
        readiness.require_loaded(starting(port, tmp_path), tmp_path, ["heart"])
    assert "no space is left" in str(caught.value.found)
