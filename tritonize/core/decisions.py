"""Decisions that a model's Python code takes on data, as an exporter that traces one run has frozen them.

A branch, a loop count or a number that is read off a tensor is a constant in the file. Where samples decide both ways, the
comparison shows whether that matters. Where all decide alike, nothing does, and the file counts only if the spec accepts the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as wording


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One place of the code where a value that depends on the inputs was read while the exporter traced the model."""

    where: str
    """`file.py:line`, relative to the user's folders."""
    kind: Literal["branch", "number", "array", "length", "text"]
    """What was read: a truth value, a number, whole arrays, lists or memory, a text with values, or the number of elements where
    that depends on data."""
    seen: tuple[str, ...]
    """Distinct values over the samples and the exporter's example, at most eight."""
    samples: int
    """How many samples reached it."""
    verdict: Literal["both sides", "one side", "no effect"]
    why: str = ""
    """Why it has no effect, such as that the other side raises; or why what the samples saw is not enough."""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning of the tracer."""

    where: str
    """`file.py:line`."""
    what: str


def is_named(decision: Decision, accepted: Sequence[str]) -> bool:
    """Whether one of `file.py:line` means this decision; a file may be named without its folders."""
    return any(decision.where == each or decision.where.endswith("/" + each) for each in accepted)


def require_seen(found: Sequence[Decision], accepted: Sequence[str]) -> None:
    """Raise where samples saw one side of a frozen decision only, and the spec does not accept that.

    Raises:
        ExportError: see `refusal`.
    """
    if error := refusal(found, accepted):
        raise error


def refusal(found: Sequence[Decision], accepted: Sequence[str], details: Sequence[str] = ()) -> ExportError | None:
    """The error that names the lines and what was seen there; `None` where every decision was seen both ways, or is accepted."""
    unseen = [each for each in found if each.verdict == "one side" and not is_named(each, accepted)]
    if not unseen:
        return None
    sites = list(dict.fromkeys(each.where for each in unseen))
    return ExportError.of(
        wording.FROZEN_BRANCH,
        where=", ".join(sites[:5]),
        expected="samples that decide both ways",
        found="; ".join(f"{each.where}: {in_words(each)}" for each in unseen[:5]),
        details=details,
        sites=", ".join(sites),
    )


def in_words(decision: Decision) -> str:
    """What the samples saw at a decision."""
    if decision.why:
        return f"{decision.kind} {', '.join(decision.seen)}; {decision.why}"
    return f"{decision.kind} {' and '.join(decision.seen)} for all of {decision.samples} samples"


def notes(found: Sequence[Decision], accepted: Sequence[str], *, right: bool) -> tuple[str, ...]:
    """A sentence for every frozen decision that the spec accepts, for what it accepts in vain, and for a likely cause.

    Args:
        right: whether the file answers like PyTorch.
    """
    sentences = {}
    for each in found:
        if each.verdict == "both sides" and not right:
            sentences[each.where] = wording.BRANCH_FROZEN.text(where=each.where, seen=f"{each.kind} {', '.join(each.seen)}")
        if each.verdict == "one side" and is_named(each, accepted):
            sentences[each.where] = wording.BRANCH_ACCEPTED.text(where=each.where, seen=in_words(each))
    vain = [each for each in accepted if not any(is_named(decision, [each]) for decision in found)]
    return (*sentences.values(), *(wording.BRANCH_NOT_TAKEN.text(where=each) for each in vain))
