"""Percentiles, windows and stability."""

from __future__ import annotations

import pytest

from tritonize.bench import windows
from tritonize.bench.windows import Timed
from tritonize.core.load_results import Window


def test_percentiles_are_measured_values() -> None:
    found = windows.latency([each / 1000 for each in range(100, 0, -1)])
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99, found.largest) == (0.050, 0.090, 0.095, 0.099, 0.1)
    assert found.mean == pytest.approx(0.0505)
    one = windows.latency([0.2])
    assert one is not None
    assert (one.mean, one.p50, one.p99) == (0.2, 0.2, 0.2)
    assert windows.latency([]) is None


def test_one_slow_request_in_a_thousand_is_not_the_99th_percentile_but_the_largest() -> None:
    found = windows.latency([0.001] * 999 + [5.0])
    assert found is not None
    assert (found.p99, found.largest) == (0.001, 5.0)


def test_a_window_has_the_requests_that_ended_in_it() -> None:
    requests = [Timed(due=at, sent=at, done=at + 0.5) for at in (0.0, 0.4, 0.6, 1.4, 1.5)]
    found = windows.window(requests, 1.0, 2.0)
    assert (found.requests, found.rate) == (2, 2.0)  # 1.1 and 1.9; 2.0 belongs to the next
    assert found.mean == pytest.approx(0.5)
    assert windows.window(requests, 5.0, 6.0).mean is None


def _windows(*figures: tuple[int, float | None]) -> list[Window]:
    return [Window(seconds=2.0, requests=count, mean=mean) for count, mean in figures]


@pytest.mark.parametrize(
    ("figures", "stable"),
    [
        ([(100, 0.010), (105, 0.0105), (95, 0.0098)], True),
        ([(100, 0.010), (100, 0.010)], False),  # two are not enough
        ([(100, 0.010), (130, 0.010), (100, 0.010)], False),  # requests per second
        ([(100, 0.010), (100, 0.010), (100, 0.014)], False),  # latency
        ([(10, 0.9), (100, 0.010), (100, 0.010), (100, 0.010)], True),  # only the last three
        ([(100, 0.010), (0, None), (100, 0.010)], False),
    ],
)
def test_three_windows_within_ten_per_cent_are_stable(figures, stable) -> None:
    assert windows.stable(_windows(*figures)) is stable
