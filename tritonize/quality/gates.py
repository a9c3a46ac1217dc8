"""Decide whether errors are acceptable: apply the spec's rules to every output and combine all gates into one judgement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.messages import quality as wording
from tritonize.core.messages import verdict
from tritonize.core.reports import Check
from tritonize.core.results import ALL, DRAWN, Gate, NoiseFloor, StageRow
from tritonize.core.stages import StageName
from tritonize.core.tolerance_advice import ToleranceAdvice
from tritonize.quality import metrics, noise_floor, tolerance_advice
from tritonize.quality.differences import numeric
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.quality.tracker import ErrorTracker
from tritonize.spec import schema


def rules(model: schema.Model, samples: SampleSet, expected: TensorFiles) -> dict[str, Rules]:
    """Return the rules for every output; a kind that the spec does not declare is detected from the first expected output."""
    first = arrays.load(expected, 0)
    by_output = {}
    for name, array in first.items():
        output = model.outputs.get(name, schema.Output())
        numbers = numeric(array)
        by_output[name] = Rules(
            kind=output.kind or (metrics.detect(array, batched=samples.batched) if numbers else "values"),
            tolerance=model.tolerance_of(name),
            noise_floor=output.noise_floor or model.quality.noise_floor,
            noise_floor_gpu=output.noise_floor or model.quality.noise_floor_gpu,
            metrics=output.metrics,
        )
    return by_output


def without_float64(found: noise_floor.Measured) -> str:
    """List the outputs and edge cases without a float64 measurement, with the reason, in one line; empty if there are none."""
    named = {f"{each.output}{'' if each.group == ALL else f' at edge case {each.group}'}": each.why for each in found.unmeasured}
    return "; ".join(f"{name}: {why}" for name, why in named.items())


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The result of all comparisons."""

    rows: tuple[StageRow, ...]
    gates: tuple[Gate, ...]
    floors: tuple[NoiseFloor, ...]
    notes: tuple[str, ...]
    tolerances: tuple[ToleranceAdvice, ...]

    @property
    def passed(self) -> bool:
        """Whether no gate failed. A gate that could not run counts as failed if the spec requires it."""
        return not any(gate.verdict == "failed" for gate in self.gates)


def judge(tracker: ErrorTracker, checks: Sequence[Check], *, on_gpu: Collection[StageName] = ()) -> Judgement:
    """Return the stage table, every gate, what each output needs, and notes for the reader of the report.

    Args:
        checks: the comparisons of all stages; the tolerance gates are computed from them.
        on_gpu: stages whose outputs a GPU computed.
    """
    golden = tracker.golden
    gates = (*tolerance_gates(checks), *tracker.gates(on_gpu=on_gpu))
    # How many samples would be outside their tolerance says nothing where another rule was broken.
    broken = any(gate.verdict == "failed" and gate.gate != "tolerance" for gate in gates)
    excused = {(gate.output, gate.group) for gate in gates if gate.excused}
    allowed = [floor.why for floor in golden.floors if floor.summing and (floor.output, floor.group) in excused]
    notes = [
        *_conditioning(golden),
        *allowed,
        *_budget(gates),
        *_edges_alone(golden, checks, gates),
        *(() if broken else _confidence(golden, checks)),
    ]
    rows = tracker.rows()
    reduced = tracker.floors if tracker.reduced else ()
    advice = tolerance_advice.advise(checks, rows, gates, floors=golden.floors, reduced=reduced)
    return Judgement(rows=rows, gates=gates, floors=golden.floors, notes=tuple(notes), tolerances=advice)


def _conditioning(golden: GoldenSet) -> Iterator[str]:
    for floor in noise_floor.ill_conditioned(golden):
        group = "" if floor.group == DRAWN else f", edge case {floor.group}"
        yield (
            f"Ill-conditioned: PyTorch's own float32 answer is up to {floor.noise:.3g} from its float64 one "
            f"(output {floor.output}, sample {floor.sample}{group}), "
            "more than the tolerance lets an answer be. That is a finding about the model."
        )


def _budget(gates: Sequence[Gate]) -> Iterator[str]:
    """Name the first stage that exceeds a limit, else the one closest to a limit."""
    over = first_over_budget(gates)
    if over is not None:
        yield f"The first stage over its budget is {over.stage.heading}: output {over.output}, {over.gate}."
        return
    spent = [
        (gate.value / gate.limit, gate) for gate in gates if gate.gate == "noise floor" and gate.value is not None and gate.limit
    ]
    if spent:
        share, gate = max(spent, key=lambda pair: pair[0])
        place = gate.stage.heading if gate.group == DRAWN else f"{gate.stage.heading}, edge case {gate.group}"
        used = f"k {gate.value:.3g} of {gate.limit:g}"
        if gate.whole is not None:
            used = f"k {gate.whole:.3g}; without ONNX Runtime's measured summation error, {used}"
        yield f"Most of the budget is spent at {place}: {used} (output {gate.output}), {share:.0%}."


def _edges_alone(golden: GoldenSet, checks: Sequence[Check], gates: Sequence[Gate]) -> Iterator[str]:
    """If only edge cases failed, name them and how to leave them out."""
    samples = golden.samples
    groups = {samples.group(index) for check in checks if not check.passed for index in check.samples}
    groups |= {gate.group for gate in gates if gate.verdict == "failed" and gate.gate != "tolerance"}
    edges = list(samples.edges.values())
    if groups and groups.issubset(edges):
        names = [name for name in edges if name in groups]
        others = ", ".join(name for name in edges if name not in groups)
        yield wording.EDGES_DECIDED.text(names=" and ".join(names), others=others)


def _confidence(golden: GoldenSet, checks: Sequence[Check]) -> Iterator[str]:
    """Say what the number of samples proves about further ones, for the stage closest to the client."""
    alone = [check for check in checks if len(check.samples) == 1 and check.samples[0] not in golden.samples.edges]
    counted = [check for check in alone if check.stage.transport != "any"]
    if not counted:
        return
    stage = _counted_stage(counted)
    passed_by_sample = {check.samples[0]: check.passed for check in counted if check.stage == stage}
    bad = sum(not passed for passed in passed_by_sample.values())
    bound = metrics.mismatch_bound(bad, len(passed_by_sample))
    yield verdict.CONFIDENCE.text(bad=bad, count=len(passed_by_sample), stage=stage.heading, bound=percent(bound))


def _counted_stage(checks: Sequence[Check]) -> StageName:
    """Return the first stage with an output outside its tolerance; if all passed, the last stage before the client."""
    failed = min((check for check in checks if not check.passed), key=lambda check: check.stage.order, default=None)
    if failed is not None:
        return failed.stage
    last = max(check.stage.order for check in checks)
    return [check.stage for check in checks if check.stage.order == last][-1]


def percent(share: float) -> str:
    """Format a share as a percentage with two digits, without an exponent."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def tolerance_gates(checks: Sequence[Check]) -> tuple[Gate, ...]:
    """Return one gate per stage and output: whether all outputs are within rtol and atol of float32. The value counts elements."""
    found: dict[tuple[str, str], Gate] = {}
    for check in checks:
        for tensor in check.tensors:
            known = found.get((check.stage, tensor.name))
            bad = tensor.mismatched if not tensor.passed else 0
            failed = not tensor.passed or (known is not None and known.verdict == "failed")
            found[check.stage, tensor.name] = Gate(
                gate="tolerance",
                stage=check.stage,
                output=tensor.name,
                group="all",
                verdict="failed" if failed else "passed",
                value=float((known.value or 0 if known else 0) + bad),
                limit=0.0,
                note=f"rtol {tensor.rtol:g}, atol {tensor.atol:g}",
                sample=check.samples[0] if not tensor.passed else (known.sample if known else None),
            )
    return tuple(sorted(found.values(), key=lambda gate: gate.stage.order))


def first_over_budget(gates: Sequence[Gate]) -> Gate | None:
    """Return the failed gate of the earliest stage; `None` if none failed."""
    failed = [gate for gate in gates if gate.verdict == "failed"]
    return min(failed, key=lambda gate: gate.stage.order, default=None)


def worst(gates: Sequence[Gate]) -> Gate | None:
    """Return the worst gate that belongs to a sample: a failed one, otherwise the one closest to its limit."""
    known = [gate for gate in gates if gate.sample is not None and gate.value is not None]

    def badness(gate: Gate) -> tuple[bool, float]:
        share = gate.value / gate.limit if gate.value is not None and gate.limit else 0.0
        return gate.verdict == "failed", share

    return max(known, key=badness, default=None)
