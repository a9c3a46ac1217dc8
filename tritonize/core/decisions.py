"""Data-dependent decisions in a model's Python code, which an exporter that traces one run freezes into the file.

A branch, a loop count or a number that is read from a tensor becomes a constant in the file. If the samples take both sides, the
comparison shows whether the constant changes an output. If all samples take the same side, no comparison can show it, and the
export fails unless the spec accepts the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as wording


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A line of the model's code that reads a value that depends on the inputs during tracing."""

    where: str
    """`file.py:line`, relative to the user's folders."""
    kind: Literal["branch", "number", "array", "length", "text"]
    """What the line reads: a truth value (`branch`), a number, a whole array, list or memory (`array`), a data-dependent number of
    elements (`length`), or a text that contains values."""
    seen: tuple[str, ...]
    """Distinct values over the samples and the exporter's example, at most eight."""
    samples: int
    """Number of samples that reached the line."""
    verdict: Literal["both sides", "one side", "no effect"]
    why: str = ""
    """The reason of `no effect`, such as that the other side raises; or of `one side`, why the samples' values do not suffice."""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning of the tracer."""

    where: str
    """`file.py:line`."""
    what: str


def is_named(decision: Decision, accepted: Sequence[str]) -> bool:
    """Whether a `file.py:line` in `accepted` matches the decision; the file may omit its folders."""
    return any(decision.where == each or decision.where.endswith("/" + each) for each in accepted)


def require_seen(found: Sequence[Decision], accepted: Sequence[str]) -> None:
    """Check that the samples take both sides of every frozen decision, or that the spec accepts it.

    Raises:
        ExportError: a decision took one side only and is not accepted; see `refusal`.
    """
    if error := refusal(found, accepted):
        raise error


def refusal(found: Sequence[Decision], accepted: Sequence[str], details: Sequence[str] = ()) -> ExportError | None:
    """The error with the unaccepted one-sided decisions and their values; `None` if there are none."""
    unseen = [each for each in found if each.verdict == "one side" and not is_named(each, accepted)]
    if not unseen:
        return None
    sites = list(dict.fromkeys(each.where for each in unseen))
    return ExportError.of(
        wording.FROZEN_BRANCH,
        where=", ".join(sites[:5]),
        expected="samples that take both sides",
        found="; ".join(f"{each.where}: {in_words(each)}" for each in unseen[:5]),
        details=details,
        sites=", ".join(sites),
    )


def in_words(decision: Decision) -> str:
    """The decision's kind and its values over the samples, as text."""
    if decision.why:
        return f"{decision.kind} {', '.join(decision.seen)}; {decision.why}"
    return f"{decision.kind} {' and '.join(decision.seen)} for all of {decision.samples} samples"


def notes(found: Sequence[Decision], accepted: Sequence[str], *, right: bool) -> tuple[str, ...]:
    """One note for each accepted decision, each accepted line without a decision, and each decision that may explain a failure.

    Args:
        right: whether the file's outputs match PyTorch's; if not, two-sided decisions are named as a likely cause.
    """
    sentences = {}
    for each in found:
        if each.verdict == "both sides" and not right:
            sentences[each.where] = wording.BRANCH_FROZEN.text(where=each.where, seen=f"{each.kind} {', '.join(each.seen)}")
        if each.verdict == "one side" and is_named(each, accepted):
            sentences[each.where] = wording.BRANCH_ACCEPTED.text(where=each.where, seen=in_words(each))
    unmatched = [each for each in accepted if not any(is_named(decision, [each]) for decision in found)]
    return (*sentences.values(), *(wording.BRANCH_NOT_TAKEN.text(where=each) for each in unmatched))
