"""The reference against the model as the user loaded it: training mode, attention's fast path, torch.compile.

What tritonize switches is said with the measured difference. Where PyTorch has two answers for the same code and neither was
chosen, that is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # Any: JSON data of the report

from tritonize.core.artifacts import Finding
from tritonize.core.messages import reference as wording
from tritonize.core.stages import StageName
from tritonize.quality.batch_checks import SingleOutputs, check_batches
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.tasks import Variant
from tritonize.spec import schema

_PATHS = {"fast_path": "with attention's fast path", "math": "without attention's fast path"}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What came of one or all comparisons."""

    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: dict[str, Any]
    """By cause."""


@dataclass(frozen=True, kw_only=True)
class _Far:
    """How far apart two answers are."""

    output: str
    """The one that differs most."""
    difference: float
    within: bool
    """Whether every gate is kept."""


def judge(model: schema.Model, source: str, golden: GoldenSet, *, variants: tuple[Variant, ...]) -> Judged:
    """Compare what the model answers in other states with the reference.

    Args:
        source: the model's name for a person.
    """
    judged = [_JUDGES[each.cause](model, source, each, far=_far(golden, each)) for each in variants]
    return Judged(
        notes=tuple(note for each in judged for note in each.notes),
        findings=tuple(finding for each in judged for finding in each.findings),
        facts={name: fact for each in judged for name, fact in each.facts.items()},
    )


def _far(golden: GoldenSet, variant: Variant) -> _Far | None:
    """`None` where there is nothing to compare."""
    if variant.outputs is None:
        return None
    tracker, within, worst = ErrorTracker(golden), True, ("", 0.0)
    singles = [(index,) for index in range(variant.outputs.count)]
    for check in check_batches(golden, StageName.AS_LOADED, singles, found=SingleOutputs(variant.outputs), tracker=tracker):
        for tensor in check.tensors:
            within = within and tensor.passed
            far = float("inf") if tensor.max_abs is None and not tensor.passed else tensor.max_abs or 0.0
            worst = max(worst, (tensor.name, far), key=lambda each: each[1])
    within = within and not any(gate.verdict == "failed" for gate in tracker.gates() if gate.stage is StageName.AS_LOADED)
    return _Far(output=worst[0], difference=worst[1], within=within)


def _facts(variant: Variant, far: _Far | None, **more: object) -> dict[str, object]:
    if far is None:
        return {**more, "parts": list(variant.parts), "not_compared": variant.why_not}
    return {**more, "parts": list(variant.parts), "largest_difference": far.difference, "output": far.output, "within": far.within}


def _training(model: schema.Model, source: str, variant: Variant, *, far: _Far | None) -> Judged:  # noqa: ARG001 - one of a table
    facts = {"training": _facts(variant, far, mode="eval", found="training")}
    if far is None:
        return Judged(notes=(wording.EVALUATION_SWITCHED_ON_UNMEASURED.text(reason=variant.why_not),), facts=facts)
    if not far.difference:
        return Judged(facts=facts)
    note = wording.EVALUATION_SWITCHED_ON.text(difference=f"{far.difference:.3g}", output=far.output)
    return Judged(notes=(note,), facts=facts)


def _evaluation(model: schema.Model, source: str, variant: Variant, *, far: _Far | None) -> Judged:  # noqa: ARG001 - one of a table
    facts = {"training": _facts(variant, far, mode="keep", found="training")}
    difference, output = (f"{far.difference:.3g}", far.output) if far else (f"an unknown amount: {variant.why_not}", "all")
    return Judged(notes=(wording.TRAINING_KEPT.text(difference=difference, output=output),), facts=facts)


def _attention(model: schema.Model, source: str, variant: Variant, *, far: _Far | None) -> Judged:
    chosen = model.reference or "math"
    facts = {"attention": _facts(variant, far, reference=chosen, chosen=model.reference is not None)}
    if far is None:
        path = "code path" if chosen == "fast_path" else "fast path"
        return Judged(notes=(wording.ANOTHER_ANSWER_FAILED.text(path=path, reason=variant.why_not),), facts=facts)
    values = {"difference": f"{far.difference:.3g}", "output": far.output}
    if model.reference:
        return Judged(notes=(wording.ANSWER_CHOSEN.text(reference=_PATHS[chosen], chosen=chosen, **values),), facts=facts)
    if far.within:
        return Judged(facts=facts)
    return Judged(findings=(Finding(where=source, what=wording.TWO_ANSWERS.text(**values)),), facts=facts)


def _compiled(model: schema.Model, source: str, variant: Variant, *, far: _Far | None) -> Judged:  # noqa: ARG001 - one of a table
    facts = {"compiled": _facts(variant, far)}
    if far is not None and not far.within:
        text = wording.COMPILED_DIFFERS.text(output=far.output, difference=f"{far.difference:.3g}")
        return Judged(findings=(Finding(where=source, what=text),), facts=facts)
    compared = (
        f"; compiled, it differs by up to {far.difference:.3g}" if far else f", which could not be compared: {variant.why_not}"
    )
    return Judged(notes=(wording.COMPILE_TAKEN_OFF.text(parts=", ".join(variant.parts[:3]), compared=compared),), facts=facts)


_JUDGES = {"training": _training, "evaluation": _evaluation, "attention": _attention, "compiled": _compiled}
