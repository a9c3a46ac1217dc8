"""Responses under load: what is kept, what is counted, and what is compared at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tritonize.bench import kept
from tritonize.bench.kept import Kept, Once
from tritonize.core.arrays import Arrays


def response(*values: float) -> Arrays:
    return {"y": np.array(values, np.float32)}


def test_equal_responses_are_compared_once_and_all_are_counted() -> None:
    calls: list[tuple[int, float]] = []

    def judge(number: int, found: Arrays) -> bool:
        calls.append((number, float(found["y"][0])))
        return found["y"][0] < 2

    found = Kept(judge, budget=1 << 20)
    for value in (1.0, 3.0, 1.0, 3.0, 3.0):
        found.add(0, response(value))
    found.add(1, response(1.0))
    assert calls == []  # nothing while the load runs
    judged = found.compare()
    assert calls == [(0, 1.0), (0, 3.0), (1, 1.0)]
    assert (judged.different, judged.wrong, judged.during) == (3, 3, 0)


def test_a_response_beyond_the_budget_is_compared_at_once_by_its_digest() -> None:
    calls: list[float] = []

    def judge(_: int, found: Arrays) -> bool:
        calls.append(float(found["y"][0]))
        return False

    found = Kept(judge, budget=kept.nbytes(response(1.0)))
    found.add(0, response(1.0))
    found.add(0, response(2.0))
    found.add(0, response(2.0))
    assert calls == [2.0]
    judged = found.compare()
    assert calls == [2.0, 1.0]
    assert (judged.different, judged.wrong, judged.during) == (2, 3, 2)


def test_many_different_responses_do_not_grow_without_bound() -> None:
    size = kept.nbytes(response(0.0))
    found = Kept(lambda *_: True, budget=8 * 4 * size)
    for value in range(100):
        found.add(0, response(float(value)))
        assert len(found._new) <= 8
    assert len(found._kept[0]) == 8
    judged = found.compare()
    assert (judged.different, judged.during) == (100, 100 - 8 - 100 % 9)


def test_responses_with_known_bits_are_released_during_the_load() -> None:
    found = Kept(lambda *_: True, budget=100 * kept.nbytes(response(0.0)))
    for _ in range(1000):
        found.add(0, response(1.0))
    assert len(found._new) <= 25
    assert found._kept[0][0].count >= 975
    assert found.compare() == kept.Judged(different=1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (response(1.0), response(1.0), True),
        (response(np.nan), response(np.nan), True),
        (response(0.0), response(-0.0), False),
        (response(1.0, 2.0), response(1.0), False),
        (response(1.0), {"y": np.array([1], np.float64)}, False),
        (response(1.0), {"z": np.array([1], np.float32)}, False),
        ({"y": np.arange(1000, dtype=np.int64)}, {"y": np.arange(1000, dtype=np.int64)}, True),
        ({"y": np.arange(1000, dtype=np.int64)}, {"y": np.arange(1000, dtype=np.int64)[::-1]}, False),
        ({"y": np.arange(9, dtype=np.uint8)[1:]}, {"y": np.arange(1, 9, dtype=np.uint8)}, True),  # not aligned
        ({"y": np.array([b"a", b"b"], object)}, {"y": np.array([b"a", b"b"], object)}, True),
        ({"y": np.array([b"a", b"b"], object)}, {"y": np.array([b"a", b"c"], object)}, False),
    ],
)
def test_the_same_bits(one, other, same) -> None:
    assert kept.same(one, other) is same


def test_a_response_that_several_clients_got_is_compared_once() -> None:
    calls: list[int] = []
    once = Once(lambda number, _: calls.append(number) is None)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda turn: once(turn % 2, response(5.0)), range(40)))
    assert sorted(calls) == [0, 1]
    assert once.compared == 2
