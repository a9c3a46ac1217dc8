"""Keep the responses of a load until it has ended, so that comparing them takes no time from the measurement.

Memory is bounded. When a quarter of it is full of new responses, those whose bits are known are counted and released. A response
beyond the bound is compared at once, by its digest, and the report says how many were.
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
_SMALL = 1 << 14
"""Bytes up to which a copy costs less than the views of an array."""
_OBJECTS = 512
"""Bytes that the objects around the tensors of a response take, about."""
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
        self._new: list[tuple[int, Arrays]] = []
        self._new_left = self._most_new = budget // 4
        self._kept: dict[int, list[_Entry]] = {}
        self._at_once: dict[tuple[int, str], bool] = {}
        self._judged = Judged()

    def add(self, number: int, found: Arrays) -> None:
        """Keep a response. Now and then, those whose bits are known are only counted."""
        self._new.append((number, found))
        self._new_left -= nbytes(found)
        if self._new_left < 0:
            self._count(during=True)

    def _count(self, *, during: bool) -> None:
        """Count the new responses whose bits are known, and keep the others."""
        for number, found in self._new:
            entries = self._kept.setdefault(number, [])
            equal = next((entry for entry in entries if same(entry.found, found)), None)
            size = nbytes(found)
            if equal:
                equal.count += 1
            elif len(entries) < _ALIKE and size <= self._left:
                self._left -= size
                entries.append(_Entry(found, 1))
            else:
                self._judge_at_once(number, found)
                self._judged.during += during
        self._new.clear()
        self._new_left = self._most_new

    def _judge_at_once(self, number: int, found: Arrays) -> None:
        key = number, arrays.digest(found)
        if key not in self._at_once:
            self._at_once[key] = self._judge(number, found)
            self._judged.different += 1
        self._judged.wrong += not self._at_once[key]

    def compare(self) -> Judged:
        """Compare all that were kept, and release them."""
        self._count(during=False)
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
    if one.nbytes < _SMALL:
        return one.tobytes() == other.tobytes()
    left, right = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (one, other))
    if left.nbytes % 8 == 0 and left.ctypes.data % 8 == right.ctypes.data % 8 == 0:
        left, right = left.view(np.uint64), right.view(np.uint64)  # an eighth of the elements
    return bool(np.array_equal(left, right))


def nbytes(found: Mapping[str, Array]) -> int:
    """Bytes of a response in memory."""
    return _OBJECTS + sum(
        sum(len(item) + 50 for item in array.reshape(-1).tolist()) if array.dtype == object else array.nbytes
        for array in found.values()
    )
