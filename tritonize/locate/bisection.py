"""Find a small set of nodes to keep in fp32 with which a gate passes, by bisection over the nodes with the largest errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TRIALS = 64

Passes = Callable[[frozenset[str]], bool]
"""Whether the gate passes with these nodes in fp32; evaluated once per set."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of a search."""

    nodes: tuple[str, ...] | None
    """The smallest set that passed, in the candidates' order; `None` if not even all candidates together pass."""
    minimal: bool
    """Whether the search checked that the gate fails without any single one of them."""
    trials: int
    exhausted: bool = False
    """Whether the search used all its trials before it was complete."""


class _OutOfTrials(Exception):  # noqa: N818 - it ends a search and is not an error
    pass


class _Gate:
    """The gate, with a limit on its evaluations; each set is evaluated once."""

    def __init__(self, passes: Passes, limit: int) -> None:
        self._passes, self._limit = passes, limit
        self._known: dict[frozenset[str], bool] = {}
        self.best: list[str] | None = None

    @property
    def trials(self) -> int:
        return len(self._known)

    def __call__(self, nodes: Sequence[str]) -> bool:
        key = frozenset(nodes)
        if key not in self._known:
            if len(self._known) >= self._limit:
                raise _OutOfTrials
            self._known[key] = self._passes(key)
        if self._known[key] and (self.best is None or len(nodes) < len(self.best)):
            self.best = list(nodes)
        return self._known[key]


def smallest(candidates: Sequence[str], passes: Passes, *, trials: int = TRIALS) -> SearchResult:
    """Find a small set of candidates with which the gate passes.

    The search tries the worst 1, 2, 4, … candidates until they pass together. Bisection then finds the last one that is needed;
    it is kept, and the search continues among those before it until the kept ones pass alone. This takes about log2(n) trials
    for each node of the set. At the end, each kept node is left out once. The gate need not be monotonic: the returned set was
    evaluated and passed.

    Args:
        candidates: names of nodes, the largest own error first.
        passes: the gate, which takes most of the time.
        trials: largest number of evaluations of the gate.
    """
    names = list(dict.fromkeys(candidates))
    gate = _Gate(passes, trials)
    minimal = exhausted = False
    try:
        start = _first_passing(names, gate)
        if start is not None:
            _without_unneeded(_bisect(start, gate), gate)
            minimal = True
    except _OutOfTrials:
        exhausted = True
    order = {name: position for position, name in enumerate(names)}
    nodes = None if gate.best is None else tuple(sorted(gate.best, key=order.__getitem__))
    return SearchResult(nodes=nodes, minimal=minimal and nodes is not None, trials=gate.trials, exhausted=exhausted)


def _first_passing(names: list[str], gate: _Gate) -> list[str] | None:
    size = 0
    while True:
        if gate(names[:size]):
            return names[:size]
        if size >= len(names):
            return None
        size = min(len(names), max(1, 2 * size))


def _bisect(passing: list[str], gate: _Gate) -> list[str]:
    """Return the needed nodes of a set that passes. Invariant: `kept` and `pool` together pass."""
    kept: list[str] = []
    pool = passing
    while not gate(kept):
        failing, enough = 0, len(pool)
        while enough - failing > 1:
            middle = (failing + enough) // 2
            if gate([*kept, *pool[:middle]]):
                enough = middle
            else:
                failing = middle
        kept.append(pool[enough - 1])
        pool = pool[: enough - 1]
    return kept


def _without_unneeded(kept: list[str], gate: _Gate) -> None:
    """Remove each node that the set does not need, which a monotonic gate has none of."""
    while True:
        smaller_sets = ([name for name in kept if name != left_out] for left_out in reversed(kept))
        passing = next((nodes for nodes in smaller_sets if gate(nodes)), None)
        if passing is None:
            return
        kept = passing
