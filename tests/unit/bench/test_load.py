"""Closed and open loops with a clock that only the test moves, and a short one with the real clock."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tritonize.bench import load, pace
from tritonize.bench.kept import Kept
from tritonize.bench.load import Client, Durations, Shape
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError

ANSWER: Arrays = {"y": np.zeros(1, np.float32)}


class FakeClock:
    """Moves when it waits, and when the test says that a request took time; the load ends at `end`."""

    def __init__(self, end: float) -> None:
        self.time, self.end = 0.0, end

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.time += max(0.0, seconds)
        return self.time >= self.end


def client(clock: FakeClock, paced: pace.Pace, took: list[float]) -> Client:
    """Run one client whose requests take these times, the last one again and again."""
    times = itertools.chain(took, itertools.repeat(took[-1]))
    found = Client(kept=Kept(lambda *_: True, budget=1 << 20))

    def send(_: int) -> Arrays:
        clock.time += next(times)
        return ANSWER

    found.run(send, clock, paced, numbers=range(3), first=0)
    return found


def test_a_closed_loop_counts_from_sending() -> None:
    clock = FakeClock(end=0.95)
    found = client(clock, pace.ClosedLoop(clock), [0.5, 0.1])
    assert [round(each.latency, 3) for each in found.timed] == [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]


def test_an_open_loop_counts_from_the_time_at_which_a_request_was_due() -> None:
    """One response takes 0.5 s. The requests that were due meanwhile waited, and say so, although each took 0.01 s."""
    clock = FakeClock(end=0.95)
    found = client(clock, pace.OpenLoop(10, start=0.0, arrivals="constant"), [0.5, 0.01])
    assert [round(each.latency, 2) for each in found.timed] == [0.5, 0.41, 0.32, 0.23, 0.14, 0.05, 0.01, 0.01, 0.01, 0.01]
    assert [round(each.due, 2) for each in found.timed] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_an_overloaded_open_loop_has_growing_latency() -> None:
    clock = FakeClock(end=2.0)
    found = client(clock, pace.OpenLoop(100, start=0.0, arrivals="constant"), [0.02])  # 50 requests a second are possible
    latencies = [each.latency for each in found.timed]
    assert latencies == sorted(latencies)
    assert latencies[-1] == pytest.approx(1.0, abs=0.05)


def test_poisson_arrivals_have_the_rate_and_are_the_same_each_time() -> None:
    first = list(itertools.islice(pace.times(50, 3.0, "poisson"), 5000))
    assert first == list(itertools.islice(pace.times(50, 3.0, "poisson"), 5000))
    distances = np.diff(first)
    assert first[0] == 3.0
    assert distances.mean() == pytest.approx(1 / 50, rel=0.05)
    assert distances.std() == pytest.approx(1 / 50, rel=0.1)  # of an exponential distribution, as its mean
    constant = list(itertools.islice(pace.times(50, 0.0, "constant"), 100))
    assert np.diff(constant) == pytest.approx(1 / 50)


def test_a_schedule_gives_each_time_once() -> None:
    schedule, taken = pace.OpenLoop(1000, start=0.0, arrivals="constant"), []
    threads = [threading.Thread(target=lambda: taken.extend(schedule.due() for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == pytest.approx([each / 1000 for each in range(800)])


def test_a_client_stops_after_many_errors() -> None:
    found = Client(kept=Kept(lambda *_: True, budget=0))

    def send(_: int) -> Arrays:
        raise InferenceError("refused")

    clock = FakeClock(end=0.95)
    found.run(send, clock, pace.ClosedLoop(clock), numbers=range(1), first=0)
    assert len(found.errors) == load.MOST_ERRORS
    assert found.timed == []


@pytest.mark.parametrize("shape", [Shape(kind="concurrency", level=2), Shape(kind="rate", level=100, arrivals="constant")])
def test_a_load_is_measured_in_windows_and_its_responses_are_compared_afterwards(shape) -> None:
    judged: list[str] = []

    @contextlib.contextmanager
    def connect() -> Iterator[load.Callable[[int], Arrays]]:
        def send(number: int) -> Arrays:
            time.sleep(0.005)
            return {"y": np.full(1, number, np.float32)}

        yield send

    def judge(number: int, found: Arrays) -> bool:
        judged.append(threading.current_thread().name)
        return number != 1

    durations = Durations(warm_up_s=0.05, window_s=0.15, most_windows=4)
    found = load.run(shape, durations, connect, requests=3, judge=judge, observe=time.perf_counter)
    assert len(found.windows) == 3
    assert len(found.observed) == 4
    assert all(each.latency >= 0.005 for each in found.requests)
    assert found.sent > len(found.requests) > 10
    assert found.judged.different == len(judged)
    assert set(judged) == {threading.current_thread().name}  # none in the threads that were timed
    assert 0.2 * found.sent < found.judged.wrong < 0.5 * found.sent  # every third
    assert found.judged.during == 0
