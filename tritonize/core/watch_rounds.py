"""Results of a verification that is repeated, as plain data: rounds, and the changes of verdict between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tritonize.core import exit_codes
from tritonize.core.results import WORST_FIRST, Verdict
from tritonize.core.stages import Transport

WatchVerdict = Verdict | Literal["error"]
"""*Error*: the model could not be verified in this round, such as when the server cannot be reached."""
VERDICTS: tuple[WatchVerdict, ...] = ("error", *WORST_FIRST)
"""The worst first."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on one replica in one round."""

    model: str
    version: int | None
    """`None` if it is not known, after an error."""
    replica: str
    verdict: WatchVerdict
    exit_code: int
    why: str = ""
    """Why it did not pass, in one sentence."""
    responses: int = 0
    """Compared responses."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Output to its largest noise-floor ratio (k)."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Output to its largest |found - expected|."""
    latencies_s: Mapping[Transport, Sequence[float]] = field(default_factory=dict)
    """Transport to the seconds that each of its requests took."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One verification of all models on all replicas."""

    number: int
    """From 1."""
    began: datetime
    """In UTC."""
    seconds: float
    requests: int
    """Inference requests, also those that failed."""
    rows: tuple[Row, ...]
    only_proven: bool = False
    """Whether models without evidence are left out of verdict and exit code, unless no other is left."""

    @property
    def judged(self) -> tuple[Row, ...]:
        """The rows that verdict and exit code depend on."""
        proven = tuple(row for row in self.rows if row.verdict != "not proven")
        return proven if self.only_proven and proven else self.rows

    @property
    def verdict(self) -> WatchVerdict:
        """The worst of its rows."""
        return worst(row.verdict for row in self.judged)

    @property
    def exit_code(self) -> int:
        """The worst of its rows, as `verify` without `--watch` exits."""
        return exit_codes.worst(row.exit_code for row in self.judged)


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A row whose verdict differs from that in the round before."""

    before: WatchVerdict
    row: Row


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changed between two rounds. Without a round before, everything is compared with *passed*."""

    before: WatchVerdict
    """The verdict of the round before."""
    round: Round
    rows: tuple[Changed, ...]
    """Empty if only the number of replicas changed, and the verdict with it."""


class Changes:
    """Find the changes of verdict between rounds. Replicas come and go; one that is gone is forgotten."""

    def __init__(self) -> None:
        self._overall: WatchVerdict = "passed"
        self._rows: dict[tuple[str, str], WatchVerdict] = {}

    def after(self, done: Round) -> Change | None:
        """What changed in this round; `None` if all verdicts are the same."""
        before, known = self._overall, self._rows
        self._overall = done.verdict
        self._rows = {(row.model, row.replica): row.verdict for row in done.judged}
        changed = tuple(
            Changed(before=was, row=row)
            for row in done.judged
            if (was := known.get((row.model, row.replica), "passed")) != row.verdict
        )
        return Change(before=before, round=done, rows=changed) if changed or before != done.verdict else None


def worst(verdicts: Iterable[WatchVerdict]) -> WatchVerdict:
    """The worst of some verdicts."""
    return min(verdicts, key=VERDICTS.index, default="passed")
