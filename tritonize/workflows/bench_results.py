"""Results of a benchmark's loads: figures, findings, notes and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonize.bench import load, windows
from tritonize.bench.load import Measured, Shape
from tritonize.core.load_results import Load
from tritonize.core.messages import bench as wording
from tritonize.core.reports import Finding, Stage
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.quality import gates
from tritonize.workflows import bench_server
from tritonize.workflows.bench_server import Observed


def describe(kind: str, level: float, size: int) -> str:
    """A load in words."""
    of = f" of batch size {size}" if size else ""
    return f"{level:g} requests/s{of}" if kind == "rate" else f"{level:g} client{'s' if level != 1 else ''}{of}"


def result(shape: Shape, size: int, measured: Measured[Observed]) -> Load:
    """The figures of a load."""
    first, last = measured.observed[0], measured.observed[-1]
    return Load(
        kind=shape.kind,
        level=shape.level,
        batch_size=size,
        latency=windows.latency([each.latency for each in measured.requests]),
        windows=measured.windows,
        stable=measured.stable,
        sent=measured.sent,
        wrong=measured.judged.wrong,
        errors=len(measured.errors),
        error=str(measured.errors[0].found or measured.errors[0].what) if measured.errors else "",
        late=measured.late,
        during=measured.judged.during,
        server=bench_server.times(first, last),
        usage=bench_server.usage(measured.observed),
    )


def stage(found: Load) -> Stage:
    """A load as a stage of the command."""
    seconds = sum(each.seconds for each in found.windows)
    median = f"p50 {found.latency.p50 * 1000:.2f} ms" if found.latency else "no response"
    return Stage(
        name=StageName.LATENCY,
        verdict="failed" if found.wrong or found.errors or found.latency is None else "passed",
        seconds=seconds,
        note=f"{found.label}{f' × {found.batch_size}' if found.batch_size else ''}: {found.rate:.1f}/s, {median}",
    )


def findings(found: Load) -> Iterator[Finding]:
    """Wrong responses and errors."""
    where = describe(found.kind, found.level, found.batch_size)
    if found.wrong:
        yield Finding(where=where, what=wording.WRONG.text(wrong=found.wrong, sent=found.sent))
    if found.errors:
        yield Finding(where=where, what=wording.ERRORS.text(errors=found.errors, sent=found.sent), found=found.error)


def notes(found: Load, label: str) -> Iterator[str]:
    """What a reader has to know about a load."""
    if found.late:
        yield wording.LATE.text(load=label, share=gates.percent(found.late), clients=load.OPEN_CLIENTS)
    if found.during:
        yield wording.COMPARED_DURING.text(load=label, count=found.during)
    if found.server and found.server.executions < 1:
        yield wording.NOTHING_EXECUTED.text(load=label)
    elif found.server and found.server.hits:
        yield wording.FROM_CACHE.text(load=label, hits=found.server.hits, requests=found.server.requests)


def verdict(loads: Sequence[Load], *, passed: bool) -> Verdict:
    """*Not run* if no load reached the model."""
    if not passed or any(each.latency is None for each in loads):
        return "failed"
    return "not run" if any(each.server is not None and each.server.executions < 1 for each in loads) else "passed"
