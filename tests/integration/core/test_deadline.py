"""The deadline of a whole command: it ends every kind of wait with an error."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import hostile_server as hostile
from tests.support import small_versions
from tests.support.command import tritonize
from tests.support.hostile_server import http, listening
from tritonize.cli.limits import limited
from tritonize.core import deadline, interrupts
from tritonize.core.errors import ServerError, UsageError
from tritonize.triton import client
from tritonize.workflows import golden as golden_workflow


def test_the_deadline_ends_a_wait() -> None:
    started = time.monotonic()
    with pytest.raises(ServerError) as caught, limited(0.2):
        time.sleep(10)
    assert (caught.value.code, caught.value.exit_code) == ("command-deadline", 7)
    assert time.monotonic() - started < 2


def test_the_deadline_ends_threads_that_wait_for_a_silent_server() -> None:
    def ask(address: str) -> object:
        with client.connect(address, "http") as opened:
            return opened.server_metadata()

    started = time.monotonic()
    with listening(lambda _: time.sleep(10)) as address, pytest.raises(ServerError) as caught, limited(0.3):  # noqa: SIM117
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, [address] * 8))
    assert caught.value.code == "command-deadline"
    assert time.monotonic() - started < 3


def test_other_errors_and_ctrl_c_pass_through() -> None:
    with pytest.raises(UsageError), limited(5):
        raise UsageError("no")
    with pytest.raises(KeyboardInterrupt), limited(5):
        raise KeyboardInterrupt
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert deadline.left() == float("inf")


def test_the_deadline_waits_until_deferred_work_is_done() -> None:
    done = False
    with pytest.raises(ServerError) as caught, limited(0.1):  # noqa: SIM117
        with interrupts.deferred():
            time.sleep(0.3)
            done = True
    assert done
    assert caught.value.code == "command-deadline"


def test_an_earlier_outer_deadline_stays_in_force() -> None:
    with deadline.within(1):
        with deadline.within(100):
            assert deadline.left() <= 1
        assert deadline.left() <= 1


def test_verify_ends_at_its_deadline_if_the_server_responds_byte_by_byte(tmp_path) -> None:
    small_versions.publish(tmp_path / "models", 1)
    golden_workflow.export(tmp_path / "models", "small", out=tmp_path / "small.golden")
    started = time.monotonic()
    with listening(hostile.dripping(http(b" " * 10_000))) as address:
        done = tritonize("verify", "--golden", "small.golden", "--url", f"http://me:secret@{address}", "--deadline", "2", "--json")
    assert done.returncode == 7
    assert json.loads(done.stdout)["error"]["code"] == "command-deadline"
    assert "--deadline" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert "bWU6c2VjcmV0" not in done.stdout + done.stderr  # the same in base64
    assert time.monotonic() - started < 10
