"""Responses are compared while the next request is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tritonize.triton.inference import Comparing


def test_comparisons_run_in_order_in_a_second_thread_and_one_waits() -> None:
    done: list[int] = []
    threads: set[str] = set()
    begun, go_on = threading.Event(), threading.Event()

    def compare(number: int) -> None:
        threads.add(threading.current_thread().name)
        begun.set()
        assert go_on.wait(10)
        done.append(number)

    with Comparing() as comparing:
        comparing.add(lambda: compare(0))
        assert begun.wait(10)
        assert done == []  # the caller goes on while the first is compared
        second = threading.Thread(target=comparing.add, args=(lambda: compare(1),))
        second.start()
        second.join(0.05)
        assert second.is_alive()  # the next one is taken when the first is done
        go_on.set()
        second.join(10)
        for number in range(2, 9):
            comparing.add(lambda number=number: compare(number))  # type: ignore[misc]
    assert done == list(range(9))
    assert threads.isdisjoint({threading.main_thread().name})


@pytest.mark.parametrize("behind", [(), (lambda: None,)])
def test_an_error_of_a_comparison_reaches_the_caller(behind: tuple[Callable[[], None], ...]) -> None:
    def fail() -> None:
        raise ValueError("unlike")

    with pytest.raises(ValueError, match="unlike"), Comparing() as comparing:
        comparing.add(fail)
        for each in behind:
            comparing.add(each)


def test_an_error_of_the_caller_is_not_replaced() -> None:
    def fail() -> None:
        raise ValueError("unlike")

    with pytest.raises(KeyError), Comparing() as comparing:
        comparing.add(fail)
        raise KeyError
