"""Compare the reference with the model as it was loaded: in training mode, with attention's fast path, with torch.compile.

A note states the measured difference for everything that tritonize switched. If PyTorch has two outputs for the same code and the
spec chooses neither, that is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # Any: JSON data of the report

from tritonize.core.messages import reference as wording
from tritonize.core.reports import Finding
from tritonize.core.stages import StageName
from tritonize.quality.batch_checks import SingleOutputs, check_batches
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.tasks import Variant
from tritonize.spec import schema

_PATHS = {"fast_path": "with attention's fast path", "math": "without attention's fast path"}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one variant or all of them add to the report."""

    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: dict[str, Any]
    """By cause."""


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """How far a variant's outputs differ from the reference."""

    output: str
    """The output that differs most."""
    largest: float
    """max |difference| of that output; infinite if the two cannot be subtracted."""
    within: bool
    """Whether the outputs are within the tolerances and all gates pass."""


def judge(model: schema.Model, source: str, golden: GoldenSet, *, variants: tuple[Variant, ...]) -> Judgement:
    """Compare the outputs of the model in other states with the reference.

    Args:
        source: the model's name in findings.
    """
    judgements = [_JUDGES[variant.cause](model, source, variant, difference=_difference(golden, variant)) for variant in variants]
    return Judgement(
        notes=tuple(note for judgement in judgements for note in judgement.notes),
        findings=tuple(finding for judgement in judgements for finding in judgement.findings),
        facts={name: fact for judgement in judgements for name, fact in judgement.facts.items()},
    )


def _difference(golden: GoldenSet, variant: Variant) -> _Difference | None:
    """Return `None` if the variant has no outputs."""
    if variant.outputs is None:
        return None
    tracker, within, worst = ErrorTracker(golden), True, ("", 0.0)
    singles = [(index,) for index in range(variant.outputs.count)]
    for check in check_batches(golden, StageName.AS_LOADED, singles, found=SingleOutputs(variant.outputs), tracker=tracker):
        for tensor in check.tensors:
            within = within and tensor.passed
            largest = float("inf") if tensor.max_abs is None and not tensor.passed else tensor.max_abs or 0.0
            worst = max(worst, (tensor.name, largest), key=lambda item: item[1])
    within = within and not any(gate.verdict == "failed" for gate in tracker.gates() if gate.stage is StageName.AS_LOADED)
    return _Difference(output=worst[0], largest=worst[1], within=within)


def _facts(variant: Variant, difference: _Difference | None, **more: object) -> dict[str, object]:
    facts = {**more, "parts": list(variant.parts)}
    if difference is None:
        return {**facts, "not_compared": variant.why_not}
    return {**facts, "largest_difference": difference.largest, "output": difference.output, "within": difference.within}


def _training(
    model: schema.Model,  # noqa: ARG001 - the functions of _JUDGES have one signature
    source: str,  # noqa: ARG001
    variant: Variant,
    *,
    difference: _Difference | None,
) -> Judgement:
    facts = {"training": _facts(variant, difference, mode="eval", found="training")}
    if difference is None:
        return Judgement(notes=(wording.EVALUATION_SWITCHED_ON_UNMEASURED.text(reason=variant.why_not),), facts=facts)
    if not difference.largest:
        return Judgement(facts=facts)
    note = wording.EVALUATION_SWITCHED_ON.text(difference=f"{difference.largest:.3g}", output=difference.output)
    return Judgement(notes=(note,), facts=facts)


def _evaluation(
    model: schema.Model,  # noqa: ARG001 - the functions of _JUDGES have one signature
    source: str,  # noqa: ARG001
    variant: Variant,
    *,
    difference: _Difference | None,
) -> Judgement:
    facts = {"training": _facts(variant, difference, mode="keep", found="training")}
    amount, output = (
        (f"{difference.largest:.3g}", difference.output) if difference else (f"an unknown amount: {variant.why_not}", "all")
    )
    return Judgement(notes=(wording.TRAINING_KEPT.text(difference=amount, output=output),), facts=facts)


def _attention(model: schema.Model, source: str, variant: Variant, *, difference: _Difference | None) -> Judgement:
    chosen = model.reference or "math"
    facts = {"attention": _facts(variant, difference, reference=chosen, chosen=model.reference is not None)}
    if difference is None:
        path = "code path" if chosen == "fast_path" else "fast path"
        return Judgement(notes=(wording.OTHER_PATH_FAILED.text(path=path, reason=variant.why_not),), facts=facts)
    values = {"difference": f"{difference.largest:.3g}", "output": difference.output}
    if model.reference:
        return Judgement(notes=(wording.REFERENCE_CHOSEN.text(reference=_PATHS[chosen], chosen=chosen, **values),), facts=facts)
    if difference.within:
        return Judgement(facts=facts)
    return Judgement(findings=(Finding(where=source, what=wording.TWO_OUTPUTS.text(**values)),), facts=facts)


def _compiled(
    model: schema.Model,  # noqa: ARG001 - the functions of _JUDGES have one signature
    source: str,
    variant: Variant,
    *,
    difference: _Difference | None,
) -> Judgement:
    facts = {"compiled": _facts(variant, difference)}
    if difference is not None and not difference.within:
        text = wording.COMPILED_DIFFERS.text(output=difference.output, difference=f"{difference.largest:.3g}")
        return Judgement(findings=(Finding(where=source, what=text),), facts=facts)
    compared = (
        f"; the outputs of the compiled model differ by up to {difference.largest:.3g}"
        if difference
        else f"; the compiled model could not be compared: {variant.why_not}"
    )
    return Judgement(notes=(wording.COMPILE_TAKEN_OFF.text(parts=", ".join(variant.parts[:3]), compared=compared),), facts=facts)


_JUDGES = {"training": _training, "evaluation": _evaluation, "attention": _attention, "compiled": _compiled}
