"""Pass the progress of a worker to the process that started it, through a text file: one JSON object per line."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tritonize.core import progress
from tritonize.core.progress import Progress

_INTERVAL_S = 0.1
"""Shortest time between two reports that count the same; a worker may finish thousands of samples in a second."""


def report_to(file: Path) -> None:
    """Append every report to a file; the worker's entry calls this once."""
    progress.listen(_Writer(file))


def read(text: str) -> Iterator[Progress]:
    """Yield the reports in the whole lines of a file's text. Other lines are left out: a model's code can write them."""
    for line in text[: text.rfind("\n") + 1].splitlines():
        try:
            each = Progress(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue
        if all(type(value) is type(default) for value, default in zip(vars(each).values(), vars(Progress()).values(), strict=True)):
            yield each


class _Writer:
    """Writes reports, and leaves out those that come too fast."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._written = 0.0
        self._last: tuple[str, str, int] | None = None

    def __call__(self, each: Progress) -> None:
        now, counting = time.monotonic(), (each.text, each.unit, each.total)
        if counting == self._last and now - self._written < _INTERVAL_S:
            return
        self._written, self._last = now, counting
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(each)) + "\n")
