"""Which tolerance each output needs: put together from the comparisons of a report and the errors that the tracker collected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tritonize.core.reports import Check, TensorCheck
from tritonize.core.results import DRAWN, Gate, Metrics, NoiseFloor, StageRow
from tritonize.core.stages import StageName
from tritonize.core.tolerance_advice import ToleranceAdvice
from tritonize.quality import noise_floor

_OF_KIND = {
    "values": ("snr_db", "cosine"),
    "classes": ("top1", "top5"),
    "distribution": ("top1", "kl_max"),
    "mask_logits": ("dice_min", "iou_min"),
    "mask_probabilities": ("dice_min", "iou_min"),
    "segmentation": ("dice_min", "iou_min"),
    "labels": ("dice_min", "iou_min"),
    "detections": ("max_box", "max_score", "unmatched_expected", "unmatched_found"),
}
"""The metrics that say what an error means for an output of each kind."""


@dataclass(kw_only=True)
class _Needed:
    """The tolerance that one output needs at one stage."""

    atol: float | None = 0.0
    rtol: float | None = 0.0
    checks: list[TensorCheck] = field(default_factory=list)

    def add(self, check: TensorCheck) -> None:
        self.atol = _wider(self.atol, check.least_atol)
        self.rtol = _wider(self.rtol, check.least_rtol)
        self.checks.append(check)

    @property
    def _badness(self) -> tuple[bool, float, float]:
        """Larger for what needs a wider tolerance, then for the larger error."""
        far = max((check.max_abs for check in self.checks if check.max_abs is not None), default=0.0)
        return not all(check.passed for check in self.checks), math.inf if self.atol is None else self.atol, far


def _wider(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def advise(
    checks: Sequence[Check],
    rows: Sequence[StageRow] = (),
    gates: Sequence[Gate] = (),
    *,
    floors: Sequence[NoiseFloor] = (),
    reduced: Sequence[NoiseFloor] = (),
) -> tuple[ToleranceAdvice, ...]:
    """Return the advice for every output that was compared.

    Args:
        checks: the comparisons of all stages.
        rows: the errors by stage and output, against float64.
        gates: the noise-floor gates, for k.
        floors: PyTorch's own error in float32.
        reduced: in the reduced precision in which all stages after ONNX Runtime in float32 compute.
    """
    needed: dict[str, dict[StageName, _Needed]] = {}
    for check in checks:
        for tensor in check.tensors:
            needed.setdefault(tensor.name, {}).setdefault(check.stage, _Needed()).add(tensor)
    metrics = {(row.stage, row.output): row.metrics for row in rows}
    advice = []
    for output, stages in needed.items():
        stage = max(stages, key=lambda each: stages[each]._badness)
        own = reduced if reduced and stage is not StageName.ONNXRUNTIME else floors
        noise = [gate for gate in gates if gate.gate == "noise floor" and (gate.stage, gate.output) == (stage, output)]
        advice.append(_of_output(output, stage, stages, metrics=metrics.get((stage, output)), noise=noise, floors=own))
    return tuple(advice)


def _of_output(
    output: str,
    stage: StageName,
    stages: dict[StageName, _Needed],
    *,
    metrics: Metrics | None,
    noise: Sequence[Gate],
    floors: Sequence[NoiseFloor],
) -> ToleranceAdvice:
    all_checks = [check for each in stages.values() for check in each.checks]
    failed = [check for check in stages[stage].checks if not check.passed]
    shown = next((check for check in failed if check.least_atol is None), failed[0] if failed else all_checks[0])
    patterned = next((check for check in failed if check.pattern), None)
    own = [floor for floor in floors if floor.output == output]
    worst = max((gate for gate in noise if gate.value is not None), key=lambda gate: gate.value or 0.0, default=None)
    atol: float | None = 0.0
    rtol: float | None = 0.0
    for each in stages.values():
        atol, rtol = _wider(atol, each.atol), _wider(rtol, each.rtol)
    largest = [check.largest for check in all_checks if check.largest is not None]
    far = [check.max_abs for check in stages[stage].checks if check.max_abs is not None]
    return ToleranceAdvice(
        output=output,
        passed=all(check.passed for check in all_checks),
        stage=stage,
        rtol=shown.rtol,
        atol=shown.atol,
        least_atol=atol,
        least_rtol=rtol,
        reason=(shown.reason or "") if failed else "",
        pattern=patterned.pattern if patterned else None,
        factor=patterned.factor if patterned else None,
        mismatched=sum(check.mismatched for check in all_checks),
        max_abs=max(far, default=None),
        rms=_rms(metrics),
        largest=max(largest, default=None),
        own_error=next((floor.own for floor in own if floor.group == DRAWN), max((floor.own for floor in own), default=None)),
        precision=_precision(own),
        k=worst.value if worst else None,
        k_limit=worst.limit if worst else None,
        kind=metrics.kind if metrics else "values",
        metrics=dict(_of_kind(metrics)) if metrics else {},
    )


def _rms(metrics: Metrics | None) -> float | None:
    """Return the root mean square of the output: the tracker has the error's, and the ratio of both as an SNR."""
    if metrics is None or metrics.rmse is None or metrics.snr_db is None:
        return None
    rms: float = metrics.rmse * 10 ** (metrics.snr_db / 20)
    return rms if math.isfinite(rms) else None


def _precision(floors: Sequence[NoiseFloor]) -> str:
    """Return the precision that noise floors were measured in, by their unit."""
    units = {floor.unit for floor in floors}
    return next((name for name, unit in noise_floor.UNITS.items() if unit in units and name != "tf32"), "fp32")


def _of_kind(metrics: Metrics) -> Iterator[tuple[str, float]]:
    for name in _OF_KIND[metrics.kind]:
        value = getattr(metrics, name)
        if value is not None:
            yield name, float(value)
