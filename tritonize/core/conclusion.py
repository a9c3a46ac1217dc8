"""Summarize a Report in a few sentences. The terminal, the text report and the HTML report all start with this summary.

All numbers and reasons come from the Report's values, so the three cannot contradict each other.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tritonize.core.messages import samples as sample_wording
from tritonize.core.messages import verdict as wording
from tritonize.core.reports import Finding, Report
from tritonize.core.results import DRAWN, PASSED, Gate, LeftOut, Verdict
from tritonize.core.stages import StageName, heading

_MOST_NODES = 6
"""Nodes that a next step lists."""
_PLAIN = re.compile(r"[A-Za-z_][\w./]*")
"""A text that YAML reads as it is."""


def reference_name(report: Report, dtype: str = "float32") -> str:
    """The name of the reference for a caption: PyTorch in an element type, or the ONNX file that is the source."""
    from_onnx = (report.details.get("source") or {}).get("kind") == "onnx"
    return "the ONNX source in ONNX Runtime" if from_onnx else f"PyTorch in {dtype}"


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The verdict with its reasons."""

    verdict: Verdict
    comparisons: int
    """Number of compared outputs, over all stages and batches."""
    outside: int
    """Number of comparisons outside the tolerance, or with another shape or type."""
    reasons: tuple[str, ...]
    """The reasons of a failed verdict: the error, then the differences in the order of the stages. Empty for other verdicts."""
    not_run: tuple[tuple[str, str], ...]
    """Name and reason of every stage or check that did not run."""
    sentence: str
    """The first reason; for a passed verdict, the number of comparisons that passed."""
    next_step: str = ""
    """What to do about a verdict that is not passed, with commands in backticks; empty if there is nothing to do."""


def conclude(report: Report) -> Conclusion:
    """Summarize a Report."""
    outside = report.outside
    not_run = tuple(_not_run(report))
    reasons = tuple(_reasons(report, outside)) if report.verdict == "failed" else ()
    if report.verdict == "failed":
        sentence = reasons[0] if reasons else wording.FAILED_ELSEWHERE.text()
    elif report.verdict == "not run":
        needed = {(heading(stage.name), stage.note) for stage in report.stages if not stage.optional}
        name, note = next((each for each in not_run if each in needed), not_run[0] if not_run else (wording.THE_PROOF.text(), ""))
        sentence = wording.NOT_RUN.text(what=f"{name}: {note}" if note else name)
    elif report.verdict == "not proven":
        sentence = report.notes[0] if report.notes else wording.NOTHING_COMPARED.text()
    elif report.verdict == "passed quick":
        sentence = _quick(report)
    elif report.verdict == "passed here":
        fields = ", ".join(each["field"] for each in report.details.get("set_aside", ()))
        sentence = wording.PASSED_HERE.text(comparisons=counted(report.comparisons, "comparison"), fields=fields)
    elif report.checks:
        sentence = wording.ALL_WITHIN.text(comparisons=counted(report.comparisons, "comparison"))
    else:
        sentence = wording.NOTHING_COMPARED.text()
    if report.verdict in PASSED and (unreferenced := _unreferenced(report)):
        sentence = f"{sentence}; {unreferenced}"
    if report.verdict in PASSED and report.left_out:
        sentence = f"{sentence}; {left_out_in_words(report.left_out)}"
    if report.verdict in PASSED:
        sentence = "; ".join((sentence, *_grown(report)))
    return Conclusion(
        verdict=report.verdict,
        comparisons=report.comparisons,
        outside=outside,
        reasons=reasons,
        not_run=not_run,
        sentence=sentence,
        next_step=_next_step(report),
    )


def _grown(report: Report) -> Iterator[str]:
    """Name each output without float64 values whose error is much larger than when the version was published."""
    for each in report.details.get("grown", ()):
        times = f"{each['now'] / each['then']:,.0f}"
        yield wording.GROWN.text(output=each["output"], now=f"{each['now']:.1e}", then=f"{each['then']:.1e}", times=times)


def _quick(report: Report) -> str:
    """The comparisons, and what the quick run left out: this one, or the one that published the version."""
    left_out = ", ".join(report.details.get("quick", {}).get("left_out") or ()) or wording.A_PART.text()
    comparisons = counted(report.comparisons, "comparison")
    if report.command == "verify":
        return f"{wording.ALL_WITHIN.text(comparisons=comparisons)}; {wording.BY_QUICK_RUN.text(left_out=left_out)}"
    sentence = wording.PASSED_QUICK.text(comparisons=comparisons, left_out=left_out)
    proven = report.details.get("quick", {}).get("not_published_over")
    return f"{sentence}; {wording.NOT_OVER_PROVEN.text(version=proven)}" if proven else sentence


def _next_step(report: Report) -> str:
    """Return the next step of the error, or of the first stage that differs."""
    if report.verdict == "not run":
        return wording.NEXT_DOCTOR.text()
    if report.verdict != "failed":
        return ""
    error = report.details.get("error") or {}
    if not error and (named := [each for each in report.findings if each.next_step]):
        return min(named, key=lambda each: each.stage is not StageName.FILES).next_step
    if error or not report.checks:
        return str(error.get("next_step") or "")
    failed = [check.stage for check in report.checks if not check.passed]
    failed += [gate.stage for gate in report.gates if gate.verdict == "failed"]
    first = min(failed, key=lambda stage: stage.order, default=None)
    if first is None:
        return ""
    if first is StageName.CHECK:
        return wording.NEXT_CHECK.text()
    if first.order >= StageName.HTTP.order:
        return wording.NEXT_SERVER.text(stage=first.heading)
    location = report.details.get("location")
    if location and location.get("keep_passes"):
        return _keep(report, location["keep"])
    if location and location.get("hopeless"):
        return wording.NEXT_HOPELESS.text()
    if location and (origin := location.get("origin")):
        return wording.NEXT_NODE.text(node=f"{origin['operator']} {origin['node'] or origin['output']}")
    if location:  # `locate` ran and found no node to blame
        return wording.NEXT_TOLERANCE.text()
    spec = shlex.quote(_spec(report))
    return wording.NEXT_LOCATE.text(spec=spec, model=shlex.quote(report.model)) if first is StageName.ONNXRUNTIME else ""


def _keep(report: Report, nodes: Sequence[str]) -> str:
    """The nodes to keep in fp32, as YAML to paste; with many, the command that writes them."""
    count = counted(len(nodes), "node")
    if len(nodes) > _MOST_NODES:
        return wording.NEXT_KEEP_MANY.text(count=count, spec=shlex.quote(_spec(report)), model=shlex.quote(report.model))
    listed = ", ".join(each if _PLAIN.fullmatch(each) else json.dumps(each) for each in nodes)
    return wording.NEXT_KEEP.text(nodes=listed, count=count)


def _spec(report: Report) -> str:
    """Return the spec in the command line of the run; `SPEC` if it has none."""
    words = shlex.split((report.details.get("again") or {}).get("command") or "")
    return next((word for word in words if word.endswith((".yaml", ".yml"))), "SPEC")


def failed_stages(report: Report) -> frozenset[StageName]:
    """The stages that have a finding, such as a missing response. They failed even if every output that they compared passed."""
    return frozenset(finding.stage for finding in report.findings if finding.stage)


def left_out_parts(parts: Sequence[LeftOut]) -> str:
    """`2 edge cases (zeros, ones) and batches padded with zeros`; empty for nothing."""
    listed = []
    for part, noun in (("edge case", "edge case"), ("inputs with NaN", "sample")):
        names = [each.name for each in parts if each.part == part]
        if names:
            listed.append(f"{counted(len(names), noun)}{' with NaN' if noun == 'sample' else ''} ({', '.join(names)})")
    listed += [each.name for each in parts if each.part not in ("edge case", "inputs with NaN")]
    return f"{', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else "".join(listed)


def left_out_in_words(parts: Sequence[LeftOut]) -> str:
    """`2 edge cases (zeros, ones) were left out`."""
    single = len(parts) == 1 and parts[0].part in ("edge case", "inputs with NaN")
    return wording.LEFT_OUT.text(parts=left_out_parts(parts), were="was" if single else "were")


def left_out_reasons(report: Report) -> Iterator[str]:
    """Yield what was left out with its reason: `edge case ones: left out: output y is not finite`."""
    for each in report.left_out:
        part = f"{each.part} {each.name}" if each.part in ("edge case", "inputs with NaN") else each.name
        yield wording.LEFT_OUT_WHY.text(part=part, why=each.why)


def default_ranges(report: Report) -> Iterator[str]:
    """Yield the integer inputs whose samples have a default range: `tokens: integers from 0 to 9, a default; …`."""
    for name, (low, high) in (report.details.get("samples") or {}).get("default_ranges", {}).items():
        yield sample_wording.DEFAULT_RANGE.text(name=name, low=low, high=high)


def _unreferenced(report: Report) -> str:
    """Return the words for an adopted version whose reference is its own file; empty for any other."""
    reference = report.details.get("reference")
    return str(reference.get("text", "")) if isinstance(reference, dict) else ""


def _reasons(report: Report, outside: int) -> Iterator[str]:
    if error := report.details.get("error"):
        yield str(error["what"])
    own_error = bool(report.details.get("error"))  # the error's text repeats the findings
    yield from () if own_error else _alike(each for each in report.findings if each.stage is StageName.FILES)
    first = min((check for check in report.checks if not check.passed), key=lambda each: each.stage.order, default=None)
    if first is not None:
        name = next((tensor.name for tensor in first.tensors if not tensor.passed), "")
        yield wording.OUTSIDE.text(
            outside=outside, comparisons=counted(report.comparisons, "comparison"), output=name, stage=first.stage.heading
        )
    yield from failed_gates(report.gates)
    yield from () if own_error else _alike(each for each in report.findings if each.stage is not StageName.FILES)
    compared = {check.stage for check in report.checks}  # their note is the number of comparisons
    failed_here = (stage for stage in report.stages if stage.verdict == "failed" and stage.note and stage.name not in compared)
    yield from (f"{heading(stage.name)}: {stage.note}" for stage in failed_here)


def _alike(found: Iterable[Finding]) -> Iterator[str]:
    """Yield a sentence for each finding; those of one stage that say the same share one."""
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for finding in found:
        alike.setdefault((finding.stage, finding.what) if finding.stage else (finding.where, finding.what), []).append(finding)
    yield from (f"{places(each)}: {each[0].what}" for each in alike.values())


def failed_gates(gates: Sequence[Gate]) -> Iterator[str]:
    """Yield a sentence for each gate that failed, except the tolerance; stages with the same value share one."""
    failed = [gate for gate in gates if gate.verdict == "failed" and gate.gate != "tolerance"]
    alike: dict[tuple[str, str, str], list[Gate]] = {}
    for gate in sorted(failed, key=lambda each: each.stage.order):
        alike.setdefault((gate.output, gate.group, describe_gate(replace(gate, stage=failed[0].stage))), []).append(gate)
    yield from (f"{found[0].output}: {describe_gate(found[0], stages=len(found))}" for found in alike.values())


def excused(gates: Sequence[Gate]) -> Iterator[str]:
    """Yield a sentence for each output and group whose noise-floor ratio ONNX Runtime's own summation error explains."""
    worst: dict[tuple[str, str], Gate] = {}
    for gate in gates:
        key = gate.output, gate.group
        if gate.excused and (gate.whole or 0) >= (worst[key].whole or 0 if key in worst else 0):
            worst[key] = gate
    for gate in worst.values():
        output = gate.output if gate.group in ("all", DRAWN) else f"{gate.output}, edge case {gate.group},"
        whole, limit = f"{gate.whole:.3g}", f"{gate.limit:g}"
        if gate.value:
            yield wording.K_EXCUSED.text(output=output, whole=whole, rest=f"{gate.value:.3g}", limit=limit)
        else:
            yield wording.K_EXPLAINED.text(output=output, whole=whole, limit=limit)


def places(findings: Sequence[Finding]) -> str:
    """Where findings are that say the same: the first place, and the number of the others."""
    others = len({finding.where for finding in findings}) - 1
    return f"{findings[0].where}, and {others} more" if others else findings[0].where


def _not_run(report: Report) -> Iterator[tuple[str, str]]:
    for stage in report.stages:
        if stage.verdict == "not run":
            yield heading(stage.name), stage.note
    for output, note in dict.fromkeys((gate.output, gate.note) for gate in report.gates if gate.verdict == "not run"):
        yield wording.NOISE_FLOOR.text(output=output), note


def counted(count: int, noun: str) -> str:
    """`1 comparison`, `41 comparisons`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def describe_gate(gate: Gate, *, stages: int = 1) -> str:
    """A gate's value and limit in one line; `stages` is the number of stages with this result."""
    at = gate.stage.heading if stages == 1 else f"{gate.stage.heading} and {counted(stages - 1, 'more stage')}"
    value = "nothing" if gate.value is None else f"{gate.value:.3g}"
    group = "" if gate.group in ("all", DRAWN) else f", edge case {gate.group}"
    why = f": {gate.note}" if gate.note and gate.gate != "tolerance" else ""
    if gate.gate == "noise floor":
        return f"k is {value} at {at}{group}, at most {gate.limit:g} is allowed{why}"
    if gate.gate == "tolerance":
        return f"{value} elements outside {gate.note} at {gate.stage.heading}"
    return f"{gate.gate} {gate.limit:g} does not hold at {at}: {value}{why}"
