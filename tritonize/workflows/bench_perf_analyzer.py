"""The requests of a benchmark for perf_analyzer: exported, and sent by it where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tritonize.bench import kept, perf_analyzer
from tritonize.bench.load import Shape
from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.messages import bench as wording
from tritonize.core.stages import Transport
from tritonize.triton import inference
from tritonize.triton.target import Target
from tritonize.workflows import bench_results

MOST_BYTES = 1 << 28
"""Bytes of all samples that are exported, in memory."""


class Row(TypedDict):
    """What perf_analyzer measured of one load."""

    load: str
    results: dict[str, float]
    """Column to value, as in its file: times in microseconds."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The exported files, and a note about them."""

    notes: tuple[str, ...]
    labels: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def export(
    directory: Path, target: Target, transport: Transport, *, loads: Sequence[tuple[Shape, int]], window_s: float
) -> Exported:
    """Write the samples and a script with the command line of each load.

    Raises:
        RepositoryError: the folder cannot be written.
    """
    server, golden = target.server, target.golden
    subject = perf_analyzer.Subject(
        model=target.model,
        version=target.version,
        protocol=transport,
        address=server.http_url if transport == "http" else server.grpc_url,
        options=server.options,
    )
    samples = _samples(target)
    commands = [tuple(perf_analyzer.command(subject, shape, size, window_s=window_s)) for shape, size in loads]
    note = wording.HEADERS_LEFT_OUT.text() if server.options.headers else ""
    content = perf_analyzer.inputs(samples, batched=golden.samples.batched)
    _, script = perf_analyzer.export(directory, content, commands, note=note)
    said = wording.EXPORTED.text(count=len(samples), all=golden.samples.files.count, script=script)
    return Exported(
        notes=(said, note) if note else (said,),
        labels=tuple(bench_results.describe(shape.kind, shape.level, size) for shape, size in loads),
        commands=tuple(commands),
    )


def _samples(target: Target) -> list[Arrays]:
    """The samples as a client sends them, as far as memory allows; one at least."""
    found: list[Arrays] = []
    left = MOST_BYTES
    for index in range(target.golden.samples.files.count):
        sample = inference.as_served(arrays.load(target.golden.samples.files, index), target.config, "input")
        left -= kept.nbytes(sample)
        if found and left < 0:
            break
        found.append(sample)
    return found


def run(program: str, exported: Exported, directory: Path) -> list[Row]:
    """Let the installed program send every load, one after another.

    Raises:
        ServerError: it failed.
    """
    return [
        {"load": label, "results": perf_analyzer.run(program, words, directory, number=number)}
        for number, (label, words) in enumerate(zip(exported.labels, exported.commands, strict=True), 1)
    ]
