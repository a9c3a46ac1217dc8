"""Compare the values that runs of a model read from tensors, and judge each decision on data. Runs in a worker process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tritonize.core.decisions import Decision
from tritonize.export.worker import harmless_decisions
from tritonize.export.worker.derived_values import Derived
from tritonize.onnx_model.worker import origins

_MAX_SEEN = 8
"""A decision lists at most this many of the values that were read."""

Place = tuple[tuple[str, int, int], ...]
"""File, line and instruction of every call from the model's own forward() to the read, the innermost first."""
Key = tuple[Place, int]
"""A place, and how many times the same run read there before."""


@dataclass
class Run:
    """The reads of one run of the model."""

    values: dict[Key, tuple[str, str]] = field(default_factory=dict)
    """Kind and value of each read."""
    depending: set[Key] = field(default_factory=set)
    """The reads that depend on the inputs."""
    times: Counter[Place] = field(default_factory=Counter)
    derived: dict[Place, Derived] = field(default_factory=dict)
    """The uses of the numbers that depend on the inputs."""
    sizes: tuple[tuple[int, ...], ...] = ()
    """Of the inputs."""
    graph: str = ""
    """Digest of the traced graph, with every constant."""


def site(place: Place) -> str:
    """Return `file.py:line` of the innermost code outside torch; the user's libraries count as outside."""
    file, line, _ = next((frame for frame in place if not origins.is_torch(frame[0])), place[0])
    return f"{origins.relative(file)}:{line}"


def judge(first: Run, others: Sequence[Run]) -> tuple[Decision, ...]:
    """Return the decisions that the exported file has frozen.

    Args:
        first: the run that the exporter traced, or a repetition of it.
        others: the runs of the samples.
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
    """Whether the graphs differ where the values differ, among runs of the same input sizes; true if there are no such runs."""
    groups: dict[object, list[tuple[object, str]]] = {}
    for run in runs:
        groups.setdefault(run.sizes, []).append((run.values.get(key), run.graph))
    differing = [group for group in groups.values() if len({value for value, _ in group}) > 1]
    return not differing or any(len({graph for _, graph in group}) > 1 for group in differing)


def _verdict(first: Run, place: Place, kind: str, *, differs: bool, shows: bool) -> tuple[str, str]:
    """Return the verdict on a decision, and a reason where the values alone do not explain it.

    If a number differs between samples, its use counts as tested only if the graph differs too: the number may be rounded, clipped
    or compared first. Conditions that it enters are separate decisions.
    """
    if kind == "branch":
        why = "" if differs else harmless_decisions.reason([(file, line) for file, line, _ in place])
        return "both sides" if differs else "no effect" if why else "one side", why
    goes = first.derived.get(place) or Derived()
    if goes.lost:
        return "one side", f"it reaches {', '.join(sorted(goes.lost))}, whose decisions are not observed"
    if differs and (shows or goes.only_decides):
        return "both sides", ""
    if not (goes.computes or goes.conditions) and goes.effects:
        return "no effect", goes.effects[0]
    return "one side", "the model computes the same from these values for all samples" if differs else ""


def _worst(where: str, kind: object, found: list[tuple[str, str, tuple[str, ...], int]]) -> Decision:
    """Merge the reads at one place, which a run may pass several times, into one decision with the worst verdict."""
    order = ("one side", "no effect", "both sides")
    verdict, why, seen, samples = min(found, key=lambda each: order.index(each[0]))
    return Decision(where=where, kind=kind, seen=seen[:_MAX_SEEN], samples=samples, verdict=verdict, why=why)  # type: ignore[arg-type]
