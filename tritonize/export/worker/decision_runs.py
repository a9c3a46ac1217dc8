"""What runs of a model read off tensors, and what that shows of each place where it decides on data. Runs inside a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tritonize.core.decisions import Decision
from tritonize.export.worker import harmless_decisions
from tritonize.export.worker.derived_values import Derived
from tritonize.onnx_model.worker import origins

_SHOWN = 8
"""At most, of the values that were seen."""

Place = tuple[tuple[str, int, int], ...]
"""File, line and instruction of every call from the model's own forward() to the read, the innermost first."""
Key = tuple[Place, int]
"""A place, and how often the same run was there before."""


@dataclass
class Run:
    """What one run of the model read."""

    values: dict[Key, tuple[str, str]] = field(default_factory=dict)
    """Kind and value of each read."""
    depending: set[Key] = field(default_factory=set)
    """Those that depend on the inputs."""
    times: Counter[Place] = field(default_factory=Counter)
    derived: dict[Place, Derived] = field(default_factory=dict)
    """Where the numbers go that depend on the inputs."""
    sizes: tuple[tuple[int, ...], ...] = ()
    """Of the inputs."""
    graph: str = ""
    """Digest of what was traced, with every constant."""


def site(place: Place) -> str:
    """`file.py:line` of the innermost code outside torch; a library of the user's counts as such."""
    file, line, _ = next((frame for frame in place if not origins.is_torch(frame[0])), place[0])
    return f"{origins.relative(file)}:{line}"


def judged(first: Run, others: Sequence[Run]) -> tuple[Decision, ...]:
    """The frozen decisions of a file.

    Args:
        first: the run that the exporter traced, or the same again.
        others: those of the samples.
    """
    grouped: dict[tuple[str, str], list[tuple[str, str, tuple[str, ...], int]]] = {}
    for key in first.depending:
        place, _ = key
        kind = first.values[key][0]
        loop = (
            len({run.times[place] for run in others}) > 1
        )  # some samples meet it more often: a loop that they leave at other times
        runs = [run for run in others if (run.times[place] if loop else key in run.values)]
        reads = [run.values[each] for run in (first, *runs) for each in run.values if (each[0] == place if loop else each == key)]
        seen = tuple(dict.fromkeys(value for _, value in reads))
        verdict, why = _verdict(first, place, kind, differs=len(seen) > 1, shows=_shows(key, (first, *runs)))
        grouped.setdefault((site(place), kind), []).append((verdict, why, seen, len(runs)))
    return tuple(_worst(where, kind, each) for (where, kind), each in sorted(grouped.items()))


def _shows(key: Key, runs: Sequence[Run]) -> bool:
    """Whether the graph differs where a value does, among runs of the same sizes; with no such runs nothing speaks against it."""
    groups: dict[Any, list[tuple[Any, str]]] = {}
    for run in runs:
        groups.setdefault(run.sizes, []).append((run.values.get(key), run.graph))
    telling = [group for group in groups.values() if len({value for value, _ in group}) > 1]
    return not telling or any(len({graph for _, graph in group}) > 1 for group in telling)


def _verdict(first: Run, place: Place, kind: str, *, differs: bool, shows: bool) -> tuple[str, str]:
    """What the values show, and why where that is not plain.

    A number that differs shows what is computed of it if the graph differs too: it may be rounded, clipped or compared before it
    gets there. The conditions that it goes into are decisions of their own.
    """
    if kind == "branch":
        why = "" if differs else harmless_decisions.reason([(file, line) for file, line, _ in place])
        return "both sides" if differs else "no effect" if why else "one side", why
    goes = first.derived.get(place) or Derived()
    if goes.lost:
        return "one side", f"it goes on to {', '.join(sorted(goes.lost))}, and what that decides is not observed"
    if differs and (shows or goes.only_decides):
        return "both sides", ""
    if not (goes.computes or goes.conditions) and goes.effects:
        return "no effect", goes.effects[0]
    return "one side", "what the model makes of these is the same for all samples" if differs else ""


def _worst(where: str, kind: Any, found: list[tuple[str, str, tuple[str, ...], int]]) -> Decision:
    """One place may be met several times in a run; what some sample did not see there decides."""
    order = ("one side", "no effect", "both sides")
    verdict, why, seen, samples = min(found, key=lambda each: order.index(each[0]))
    return Decision(where=where, kind=kind, seen=seen[:_SHOWN], samples=samples, verdict=verdict, why=why)  # type: ignore[arg-type]
