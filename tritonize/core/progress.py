"""How far a long stage is: a typed value, and the listener that gets it. Without a listener, nothing happens.

Like the deadline of a command, the listener is one for the whole process, so that no function between has to pass it on. A worker's
listener writes to a file that the process which started the worker reads (`process/progress.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A step of the stage that runs."""

    done: int = 0
    """Items that are finished."""
    total: int = 0
    """Items in all; 0 if it is not known or nothing is counted."""
    unit: str = ""
    """What is counted, in the singular: `sample`, `batch`, `request`."""
    text: str = ""
    """What happens, if the stage's name does not say it: `float64`, `parse the network`."""

    def __str__(self) -> str:
        """`float64, sample 2 of 4`: the item that runs, or the last one once all are finished."""
        if self.total:
            counted = f"{self.unit} {min(self.done + 1, self.total):,} of {self.total:,}"
        elif self.unit:
            counted = f"{self.unit} {self.done + 1:,}"
        else:
            counted = ""
        return ", ".join(each for each in (self.text, counted) if each)


Listener = Callable[[Progress], None]

_listener: Listener | None = None


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Call `listener` with every report during the block, from any thread; `None` for no listener."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def listen(listener: Listener) -> None:
    """Call `listener` with every report from now on; a worker calls this once."""
    global _listener
    _listener = listener


def current() -> Listener | None:
    """The listener, for one that passes reports of another process on."""
    return _listener


def report(*, done: int = 0, total: int = 0, unit: str = "", text: str = "") -> None:
    """Tell the listener how far the stage is; see `Progress`."""
    if _listener is not None:
        _listener(Progress(done=done, total=total, unit=unit, text=text))


def counted(items: Sequence[Item], unit: str, *, text: str = "") -> Iterator[Item]:
    """Yield every item, and report the progress before each."""
    for done, item in enumerate(items):
        report(done=done, total=len(items), unit=unit, text=text)
        yield item
