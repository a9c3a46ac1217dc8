"""A small set of nodes to keep in fp32 with which a gate passes: bisection over named nodes, the best guesses first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TRIALS = 64

Passes = Callable[[frozenset[str]], bool]
"""Whether the gate passes with these nodes in fp32; evaluated once per set."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was found."""

    nodes: tuple[str, ...] | None
    """The smallest set seen to pass, in the candidates' order; `None` where not even all candidates together pass."""
    minimal: bool
    """Whether it is known that none of them can be left out alone."""
    trials: int
    exhausted: bool = False
    """Whether the trials ran out before the search was at its end."""


class _OutOfTrials(Exception):  # noqa: N818 - it ends a search, and is no error
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


def smallest(candidates: Sequence[str], passes: Passes, *, trials: int = TRIALS) -> Kept:
    """A small set of candidates with which the gate passes.

    The worst 1, 2, 4, … are tried until they pass together. Bisection then finds the one without which they no longer do; it
    is kept, and the search goes on among those before it, until the kept ones pass alone. That takes about log2(n) trials for
    each node of the set, which may be any of the candidates. Last, each is left out once more. The gate need not be
    monotonic: what is returned was seen to pass.

    Args:
        candidates: names of nodes, the worst own error first.
        passes: the gate; the costly part.
        trials: limit on evaluations of the gate.
    """
    names = list(dict.fromkeys(candidates))
    gate = _Gate(passes, trials)
    minimal = exhausted = False
    try:
        start = _first_passing(names, gate)
        if start is not None:
            _require_each(_bisect(start, gate), gate)
            minimal = True
    except _OutOfTrials:
        exhausted = True
    order = {name: position for position, name in enumerate(names)}
    found = None if gate.best is None else tuple(sorted(gate.best, key=order.__getitem__))
    return Kept(nodes=found, minimal=minimal and found is not None, trials=gate.trials, exhausted=exhausted)


def _first_passing(names: list[str], gate: _Gate) -> list[str] | None:
    size = 0
    while True:
        if gate(names[:size]):
            return names[:size]
        if size >= len(names):
            return None
        size = min(len(names), max(1, 2 * size))


def _bisect(passing: list[str], gate: _Gate) -> list[str]:
    """Of nodes that pass together those that it takes. All along, `kept` and `pool` together pass."""
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


def _require_each(kept: list[str], gate: _Gate) -> None:
    """Remove each node that the set does not need; with a monotonic gate there is no such node."""
    while True:
        rests = ([name for name in kept if name != each] for each in reversed(kept))
        rest = next((each for each in rests if gate(each)), None)
        if rest is None:
            return
        kept = rest
