"""The bench's cases as text of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from benchmarks.faults.bench import HEALTHY, Case
from benchmarks.faults.judging import BOTH, NOISE, OURS, TOLERANCE
from benchmarks.faults.proof import EVIDENT
from benchmarks.faults.rules import RULES

_SHORT = {
    TOLERANCE: "a",
    NOISE: "b",
    BOTH: "both",
    "finite and shape": "fin",
    "rtol 1e-4, atol 9e-4": "9e-4",
    "torch, 1.3e-6/1e-5": "torch",
}
"""The rules of the table of faults, where there is no room for all."""
_NAMES = (*RULES, *OURS)
_WIDE, _NARROW = 34, 19

_INTRODUCTION = """\
Every model is exported and asked in ONNX Runtime as a proof does, which allows
for rounding in edge cases and for ONNX Runtime's own sums, and leaves out edge
cases that float32 cannot answer. Then ONNX Runtime takes the place of a server,
and the code of `tritonize verify` proves it: batches of 1, 2 and 4, asked
again, in another order, beside padding, and by eight clients at once. Of odd
seeds that is judged by the golden set as a version carries it.

A numerical fault is put into the PyTorch model, which is exported anew. It
counts where in float64 it moves an output by {evident:g} times the healthy model's own
float32 error or more; per output, the drawn samples together and each edge case
by itself, the error of which is no less than 2^-23 of the drawn answers.
Rounding is put in by hooks that the exporter traces; in float64 the same hooks
round the float64 values. Behavioural faults always count.

`spectral` has complex weights and is deployed in real numbers; `flagged` has an
output that no weights make float64. `instancenorm 96` and larger normalize a
volume. `branches` look at their data, and all samples take one side: there the
export path itself is asked what it makes of a trace.

Every output has the default tolerance, but those of `regression`, which are
some ten thousand: rtol 1e-4, atol 1. The rules of other tools see the same
answers; `benchmarks/faults/rules.py` names their sources."""


def problems(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Counted faults that our gates let pass, and healthy models that they alarm at."""
    return tuple(case for case in cases if (case.counts or case.fault == HEALTHY) and case.counts == case.judged.accepted[BOTH])


def text(cases: Sequence[Case], hard: Sequence[Case], served: Sequence[Case] | str, machine: str) -> str:
    """The page, from its heading on.

    Args:
        hard: healthy models that are hard for float32.
        served: what a real server answered, or why it was not asked.
    """
    sections = (_recall, _problems, _faults, _weak, _healthy)
    parts = (_heading(cases, machine), *(section(cases) for section in sections), _served(served), _hard(hard))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _heading(cases: Sequence[Case], machine: str) -> Iterator[str]:
    models, faults = ({getattr(case, name) for case in cases} for name in ("model", "fault"))
    yield "# Fault bench"
    yield ""
    yield f"Written by `make faultbench` on {machine}"
    yield ""
    counted = sum(case.counts for case in cases)
    healthy = sum(case.fault == HEALTHY for case in cases)
    yield f"{len(models)} models, {len(faults - {HEALTHY})} faults; {healthy} healthy cases, {counted} counted faulty ones."
    yield ""
    yield _INTRODUCTION.format(evident=EVIDENT)


def _recall(cases: Sequence[Case]) -> Iterator[str]:
    numerical = [case for case in cases if case.counts and case.strength is not None]
    behavioural = [case for case in cases if case.counts and case.strength is None]
    healthy = [case for case in cases if case.fault == HEALTHY]
    yield "## Recall and false alarms"
    yield ""
    yield f"{'rule':24} | {'numerical':>11} | {'behavioural':>11} | {'recall':>7} | false alarms"
    yield f"{'-' * 24} | {'-' * 10}: | {'-' * 10}: | {'-' * 6}: | {'-' * 11}:"
    for rule in _NAMES:
        one, other = (sum(not case.judged.accepted[rule] for case in group) for group in (numerical, behavioural))
        share = 100 * (one + other) / max(1, len(numerical) + len(behavioural))
        alarms = sum(not case.judged.accepted[rule] for case in healthy)
        shown = (f"{one}/{len(numerical)}", f"{other}/{len(behavioural)}", f"{share:.1f} %", f"{alarms}/{len(healthy)}")
        yield f"{rule:24} | {shown[0]:>11} | {shown[1]:>11} | {shown[2]:>7} | {shown[3]:>12}"


def _problems(cases: Sequence[Case]) -> Iterator[str]:
    wrong = problems(cases)
    yield "## What our gates got wrong"
    yield ""
    if not wrong:
        yield "Nothing: every counted fault was found, and no healthy model was refused."
        yield "Those that are hard for float32 are at the end of this page."
    for case in wrong:
        size = "" if case.strength is None else f", {case.strength:.1f} own errors"
        yield f"- {case.model}, seed {case.seed}, {case.fault}{size}: largest k {case.judged.k:.2f} {case.judged.why}".rstrip()


def _faults(cases: Sequence[Case]) -> Iterator[str]:
    yield "## Counted faults, and how many each rule found"
    yield ""
    yield "`a`, `b`, `both` are ours; `fin`, `9e-4` and `torch` are other tools."
    yield ""
    widths = [max(3, len(short)) for short in _SHORT.values()]
    yield f"{'fault':{_WIDE}} |   n | " + " | ".join(
        f"{each:>{width}}" for each, width in zip(_SHORT.values(), widths, strict=True)
    )
    yield f"{'-' * _WIDE} | --: | " + " | ".join(f"{'-' * (width - 1)}:" for width in widths)
    for fault, group in _by_fault(cases, lambda case: case.counts):
        found = [sum(not case.judged.accepted[name] for case in group) for name in _SHORT]
        cells = " | ".join(f"{count:>{width}}" for count, width in zip(found, widths, strict=True))
        yield f"{fault:{_WIDE}} | {len(group):>3} | {cells}"


def _weak(cases: Sequence[Case]) -> Iterator[str]:
    yield "## Not counted: weaker than the rule"
    yield ""
    yield f"{'fault':{_WIDE}} | {'n':>4} | found | strongest"
    yield f"{'-' * _WIDE} | ---: | ----: | --------:"
    for fault, group in _by_fault(cases, lambda case: not case.counts and case.fault != HEALTHY):
        found = sum(not case.judged.accepted[BOTH] for case in group)
        yield f"{fault:{_WIDE}} | {len(group):>4} | {found:>5} | {max(case.strength or 0 for case in group):>9.1f}"


def _healthy(cases: Sequence[Case]) -> Iterator[str]:
    yield "## Healthy models: the largest k of any stage, output and group"
    yield ""
    yield from _ks([case for case in cases if case.fault == HEALTHY])


def _ks(healthy: Sequence[Case]) -> Iterator[str]:
    yield f"{'model':{_NARROW}} |   n | median k | largest k | of drawn ones | refused"
    yield f"{'-' * _NARROW} | --: | -------: | --------: | ------------: | ------:"
    for model in dict.fromkeys(case.model for case in healthy):
        own = [case for case in healthy if case.model == model]
        k = sorted(case.judged.k for case in own)
        drawn, refused = max(case.judged.drawn for case in own), sum(not case.judged.accepted[BOTH] for case in own)
        yield f"{model:{_NARROW}} | {len(k):>3} | {k[len(k) // 2]:>8.1f} | {k[-1]:>9.1f} | {drawn:>13.1f} | {refused:>7}"


def _served(served: Sequence[Case] | str) -> Iterator[str]:
    yield "## Through the real server, over HTTP, gRPC and shared memory"
    yield ""
    if isinstance(served, str):
        yield f"Not run: {served}"
        return
    yield f"{'model':12} | {'fault':{_WIDE}} | largest k | verdict"
    yield f"{'-' * 12} | {'-' * _WIDE} | --------: | -------"
    for case in served:
        verdict = "passed" if case.judged.accepted[BOTH] else "failed"
        yield f"{case.model:12} | {case.fault:{_WIDE}} | {case.judged.k:>9.3g} | {verdict}"


def _hard(hard: Sequence[Case]) -> Iterator[str]:
    yield "## Healthy models that are hard for float32"
    yield ""
    yield "Not counted above nor in the exit code; one that is refused is a false alarm."
    yield "In an edge case, one sample of equal numbers, a long sum or the variance that a"
    yield "normalization divides by is far less exact in ONNX Runtime than in PyTorch. The"
    yield "exponential has few outputs, on which PyTorch's float32 can be exact by luck."
    yield ""
    yield from _ks(hard)


def _by_fault(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> Iterator[tuple[str, list[Case]]]:
    order = {fault: place for place, fault in enumerate(dict.fromkeys(case.fault for case in cases))}
    chosen = sorted((case for case in cases if wanted(case)), key=lambda case: order[case.fault])
    for fault, group in groupby(chosen, key=lambda case: case.fault):
        yield fault, list(group)
