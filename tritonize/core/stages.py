"""Keep the time and the outcome of every stage of a run, and tell a listener."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from tritonize.core import logs
from tritonize.core.artifacts import Stage

_LOG = logs.logger(__name__)

Listener = Callable[[str, Stage | None], None]
"""Told the name of a stage when it begins (with `None`) and when it ends."""


class Recorder:
    """The stages of one run, timed."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.stages: list[Stage] = []
        self._listener = listener or (lambda _name, _stage: None)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a block; what it puts into the dict becomes fields of its `Stage`."""
        self.begin(name)
        started = time.perf_counter()
        fields: dict[str, Any] = {"verdict": "passed"}
        yield fields
        self.add(Stage(name=name, seconds=time.perf_counter() - started, **fields))

    def begin(self, name: str) -> None:
        """Tell the listener that a stage begins, which `add` ends."""
        _LOG.info("%s: begins", name)
        self._listener(name, None)

    def add(self, stage: Stage) -> None:
        """A stage that was timed elsewhere, or that did not run."""
        self.stages.append(stage)
        _LOG.info("%s: %s in %.2f s%s", stage.name, stage.verdict, stage.seconds, f"; {stage.note}" if stage.note else "")
        self._listener(stage.name, stage)
