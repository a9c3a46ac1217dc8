"""Record the time and the outcome of every stage of a run, and notify a listener."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tritonize.core import logs
from tritonize.core.reports import Stage
from tritonize.core.results import Verdict
from tritonize.core.stages import Label

_LOG = logs.logger(__name__)

Listener = Callable[[Label, Stage | None], None]
"""Called with a stage when it begins (with `None`) and when it ends."""


def silent(_name: Label, _stage: Stage | None) -> None:
    """A listener that does nothing."""


OnModel = Callable[[str, int, int], None]
"""Called with a model of several when its stages begin: its name, its number from 1, and how many there are."""


def silent_model(_name: str, _number: int, _total: int) -> None:
    """An `OnModel` that does nothing."""


class Costs(Protocol):
    """Time and memory that a worker took."""

    @property
    def library_seconds(self) -> float:
        """Seconds inside the libraries."""

    @property
    def peak_memory(self) -> int:
        """Peak resident memory in bytes."""


@dataclass(kw_only=True)
class Outcome:
    """The values that a running stage sets; they become the fields of its `Stage`."""

    verdict: Verdict = "passed"
    library_seconds: float = 0.0
    peak_memory: int = 0
    note: str = ""

    def cost(self, work: Costs) -> None:
        """Record time and memory of one worker."""
        self.library_seconds, self.peak_memory = work.library_seconds, work.peak_memory


class Recorder:
    """The stages of one run, timed."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.stages: list[Stage] = []
        self._listener = listener or silent

    @contextlib.contextmanager
    def stage(self, name: Label) -> Iterator[Outcome]:
        """Time a block and add its `Stage`. If the block raises, no stage is added."""
        self.begin(name)
        started = time.perf_counter()
        outcome = Outcome()
        yield outcome
        self.add(
            Stage(
                name=name,
                seconds=time.perf_counter() - started,
                verdict=outcome.verdict,
                library_seconds=outcome.library_seconds,
                peak_memory=outcome.peak_memory,
                note=outcome.note,
            )
        )

    def begin(self, name: Label) -> None:
        """Notify the listener that a stage begins; `add` ends it."""
        _LOG.info("%s: begins", name)
        self._listener(name, None)

    def add(self, stage: Stage) -> None:
        """Add a stage that was timed elsewhere or that did not run."""
        self.stages.append(stage)
        _LOG.info("%s: %s in %.2f s%s", stage.name, stage.verdict, stage.seconds, f"; {stage.note}" if stage.note else "")
        self._listener(stage.name, stage)

    def not_run(self, name: Label, note: str) -> None:
        """Add a stage that did not run; `note` is the reason."""
        self.add(Stage(name=name, verdict="not run", seconds=0.0, note=note))
