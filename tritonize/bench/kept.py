"""Keep the responses of a load until it has ended, so that comparing them takes no time from the measurement.

A response whose bits were kept before is counted only. Memory is bounded; a response beyond the bound is compared at once, by its
digest, and the report says how many were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays

BUDGET = 1 << 28
"""Bytes of all responses that are kept at a time."""
_ALIKE = 8
"""Kept responses to one request that a new one is compared with, bit by bit."""

Judge = Callable[[int, Arrays], bool]
"""Compares a response to the request of this number; returns whether it is within the tolerances."""


@dataclass(kw_only=True)
class Judged:
    """The result of comparing the responses of a load."""

    different: int = 0
    """Compared responses; each stands for all with the same bits."""
    wrong: int = 0
    """All responses outside their tolerance, equal ones included."""
    during: int = 0


@dataclass(slots=True)
class _Entry:
    found: Arrays
    count: int


class Kept:
    """The responses that one client got. `compare` is called after the load, `add` during it, in the client's thread."""

    def __init__(self, judge: Judge, *, budget: int) -> None:
        self._judge = judge
        self._left = budget
        self._kept: dict[int, list[_Entry]] = {}
        self._at_once: dict[tuple[int, str], bool] = {}
        self._judged = Judged()

    def add(self, number: int, found: Arrays) -> None:
        """Count a response whose bits are known, or keep it."""
        entries = self._kept.setdefault(number, [])
        for entry in entries:
            if same(entry.found, found):
                entry.count += 1
                return
        size = nbytes(found)
        if len(entries) < _ALIKE and size <= self._left:
            self._left -= size
            entries.append(_Entry(found, 1))
            return
        self._at_once_judged(number, found)

    def _at_once_judged(self, number: int, found: Arrays) -> None:
        key = number, arrays.digest(found)
        self._judged.during += 1
        if key not in self._at_once:
            self._at_once[key] = self._judge(number, found)
            self._judged.different += 1
        self._judged.wrong += not self._at_once[key]

    def compare(self) -> Judged:
        """Compare all that were kept, and release them."""
        for number, entries in self._kept.items():
            for entry in entries:
                self._judged.different += 1
                self._judged.wrong += 0 if self._judge(number, entry.found) else entry.count
        self._kept.clear()
        return self._judged


class Once:
    """A judge that compares responses to one request with the same bits once, whichever client got them."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._known: dict[tuple[int, str], bool] = {}
        self._lock = threading.Lock()

    @property
    def compared(self) -> int:
        """The number of different responses so far."""
        return len(self._known)

    def __call__(self, number: int, found: Arrays) -> bool:
        """See `Judge`."""
        key = number, arrays.digest(found)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._judge(number, found)
            return self._known[key]


def same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two responses have the same names, types, shapes and bits: -0.0 differs from 0.0, and a NaN equals itself."""
    return one.keys() == other.keys() and all(_same_bits(array, other[name]) for name, array in one.items())


def _same_bits(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == object:
        return bool(one.tolist() == other.tolist())
    left, right = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (one, other))
    if left.nbytes % 8 == 0 and left.ctypes.data % 8 == right.ctypes.data % 8 == 0:
        left, right = left.view(np.uint64), right.view(np.uint64)  # an eighth of the elements
    return bool(np.array_equal(left, right))


def nbytes(found: Mapping[str, Array]) -> int:
    """Bytes of a response in memory."""
    return sum(
        sum(len(item) + 50 for item in array.reshape(-1).tolist()) if array.dtype == object else array.nbytes
        for array in found.values()
    )
