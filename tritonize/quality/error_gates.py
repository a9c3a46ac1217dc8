"""The gates on accumulated errors: noise floors by stage, output and group, and bounds on metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.core.results import ALL, Gate, NoiseFloor, StageRow, Unmeasured
from tritonize.core.stages import StageName
from tritonize.quality import noise_floor
from tritonize.quality.golden_set import GoldenSet


@dataclass(kw_only=True)
class LargestError:
    """The largest error of one output at one stage, in one group of samples."""

    max_abs: float = 0.0
    """Without ONNX Runtime's own summation error, if its outputs were measured."""
    raw: float = 0.0
    """With it."""
    sample: int = 0
    finite: bool = True
    """Whether NaN and infinities are only where the float64 values have them too."""


def noise_gates(
    golden: GoldenSet,
    largest: Mapping[tuple[StageName, str, str], LargestError],
    reduced_floors: Sequence[NoiseFloor],
    *,
    sums_known: bool,
    on_gpu: Collection[StageName],
) -> Iterator[Gate]:
    """Yield the noise-floor gate of every stage, output and group.

    Args:
        largest: the largest error, by stage, output and group.
        reduced_floors: of a reduced precision, for all stages except ONNX Runtime in float32; empty without a reduced precision.
        sums_known: whether the errors already exclude ONNX Runtime's own summation error.
        on_gpu: stages that ran on a GPU.
    """
    own, reduced = ({(each.output, each.group): each for each in floors} for floors in (golden.floors, reduced_floors))
    for (stage, name, group), seen in sorted(largest.items(), key=lambda item: item[0][0].order):
        rule = golden.rule(name)
        floor = (reduced if reduced and stage is not StageName.ONNXRUNTIME else own).get((name, group))
        limit = rule.noise_floor_gpu if stage in on_gpu else rule.noise_floor
        if floor is None or limit is None or stage is StageName.PYTORCH or (name, group) not in own:
            continue
        # If the float64 values were rounded for a file, half a float32 unit of the error comes from that rounding.
        rounding = 2.0**-24 * floor.scale if golden.rounded else 0.0
        # A golden set from a file does not have the outputs with summation error, only the size of that error.
        known = rounding + (0.0 if sums_known else floor.summing)
        k = noise_floor.ratio(max(0.0, seen.max_abs - known), floor.denominator)
        whole = noise_floor.ratio(max(0.0, seen.raw - rounding), floor.denominator) if floor.summing else None
        good = seen.finite and k is not None and k <= limit
        yield Gate(
            gate="noise floor",
            stage=stage,
            output=name,
            group=group,
            verdict="passed" if good else "failed",
            value=k,
            limit=limit,
            note=_note(floor, seen, good=good),
            whole=whole,
            sample=seen.sample,
        )


def _note(floor: NoiseFloor, seen: LargestError, *, good: bool) -> str:
    """What was allowed for; nothing if summation in ONNX Runtime does not explain the error, so that the gate failed."""
    if not seen.finite:
        return "NaN or infinity where PyTorch has a number, or the other way round"
    return floor.why if good or not floor.summing else ""


def not_measured(golden: GoldenSet) -> Iterator[Gate]:
    """Yield a gate for each output, or edge case of one, that has a limit but no float64 values."""
    floats = noise_floor.floating(golden.expected)
    lacking = golden.unmeasured
    if golden.exact is None and not lacking and golden.why_not:
        lacking = tuple(Unmeasured(output=name, group=ALL, why=golden.why_not) for name in floats)
    for each in lacking:
        limit = golden.rule(each.output).noise_floor
        if limit is None or each.output not in floats:
            continue
        # An edge case without float64 values does not fail the rest of the output.
        yield Gate(
            gate="noise floor",
            stage=StageName.PYTORCH_FP64,
            output=each.output,
            group=each.group,
            verdict="failed" if golden.required and each.group == ALL else "not run",
            value=None,
            limit=limit,
            note=each.why,
        )


def metric_gates(golden: GoldenSet, rows: Sequence[StageRow]) -> Iterator[Gate]:
    """Yield the gates for bounds on metrics, stage by stage."""
    for row in rows:
        for metric, bound in golden.rule(row.output).metrics.items():
            if row.stage != StageName.PYTORCH:
                yield from _metric_gate(row, metric, ">=", limit=bound.min)
                yield from _metric_gate(row, metric, "<=", limit=bound.max)


def _metric_gate(row: StageRow, metric: str, sign: str, *, limit: float | None) -> Iterator[Gate]:
    if limit is None:
        return
    value = getattr(row.metrics, metric)
    good = value is not None and (value >= limit if sign == ">=" else value <= limit)
    yield Gate(
        gate=f"{metric} {sign}",
        stage=row.stage,
        output=row.output,
        group="all",
        verdict="passed" if good else "failed",
        value=value,
        limit=limit,
        note="" if value is not None else f"an output of kind {row.metrics.kind} has no such metric",
    )
