"""The smallest atol, and the smallest rtol, with which an output passes: exact to the last bit of a float64.

The rule is that of `differences.measure`, distance <= atol + rtol * |expected|, in float64 with its rounding. Both sides rise with
either number, so the smallest one that passes exists, and the next smaller float64 fails.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Wide = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float64).max)
_NEAR = 1e-12
"""Relative width of the band below the estimate in which the search looks first; rounding moves the estimate by some 1e-16."""


@dataclass(kw_only=True, slots=True)
class LeastTolerance:
    """The smallest tolerances of the elements added so far, with constant memory."""

    rtol: float
    """In use; kept while atol varies."""
    atol: float
    """In use; kept while rtol varies."""
    _atol: float = 0.0
    _rtol: float | None = 0.0
    _hopeless: bool = False

    @property
    def least_atol(self) -> float | None:
        """The smallest atol that passes with `rtol`, in the output's unit; `None` if no atol does."""
        return None if self._hopeless else self._atol

    @property
    def least_rtol(self) -> float | None:
        """The smallest rtol that passes with `atol`; `None` if no rtol does, such as for an error where 0 is expected."""
        return None if self._hopeless else self._rtol

    def refuse(self) -> None:
        """Note an element that differs whatever the tolerance: an integer, NaN, or an infinity."""
        self._hopeless = True

    def add(self, distance: _Wide, magnitude: _Wide, top: float) -> None:
        """Add finite elements: |found - expected|, |expected|, and the largest distance. Warnings of NumPy have to be off."""
        if top > self._atol:
            allowed = self.rtol * magnitude
            short = distance > self._atol + allowed
            if short.any():
                self._atol = _atol(distance[short], allowed[short], self._atol)
        if self._rtol is not None and top > self.atol:
            short = distance > self.atol + self._rtol * magnitude
            if short.any():
                self._rtol = self._next_rtol(distance[short], magnitude[short], self._rtol)

    def _next_rtol(self, distance: _Wide, magnitude: _Wide, failing: float) -> float | None:
        def passes(rtol: float, chosen: NDArray[np.bool_] | slice) -> bool:
            return bool((distance[chosen] <= self.atol + rtol * magnitude[chosen]).all())

        everything = slice(None)
        if not magnitude.all() or not passes(_LARGEST, everything):
            return None
        guess = min(float(((distance - self.atol) / magnitude).max()), _LARGEST)
        low = max(failing, guess * (1 - _NEAR))
        chosen = distance > self.atol + low * magnitude
        if not chosen.any():
            return _smallest(lambda rtol: passes(rtol, everything), failing, low)
        high = min(guess * (1 + _NEAR), _LARGEST)
        if not passes(high, chosen):
            high = _LARGEST
        return _smallest(lambda rtol: passes(rtol, chosen), low, high)


def _atol(distance: _Wide, allowed: _Wide, failing: float) -> float:
    """Return the smallest atol with which all elements pass; each of them fails with `failing`."""
    low = max(failing, float((distance - allowed).max()) - _NEAR * float(distance.max()))
    chosen = distance > low + allowed
    if not chosen.any():
        return _smallest(lambda atol: bool((distance <= atol + allowed).all()), failing, low)
    distance, allowed = distance[chosen], allowed[chosen]
    return _smallest(lambda atol: bool((distance <= atol + allowed).all()), low, float(distance.max()))


def _smallest(passes: Callable[[float], bool], failing: float, passing: float) -> float:
    """Return the smallest float64 that passes, by bisection: the bits of numbers from 0 up are in the order of the numbers."""
    low, high = _bits(failing), _bits(passing)
    while high - low > 1:
        middle = (low + high) // 2
        if passes(_number(middle)):
            high = middle
        else:
            low = middle
    return _number(high)


def _bits(number: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", number + 0.0))[0]
    return bits


def _number(bits: int) -> float:
    number: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return number
