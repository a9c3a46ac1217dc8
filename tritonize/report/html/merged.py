"""Merge what is equal at several stages: the names of the stages, and the rows of the stage table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tritonize.core.conclusion import failed_stages
from tritonize.core.reports import Report, TensorCheck
from tritonize.core.stages import StageName
from tritonize.report.html.svg import Limit
from tritonize.report.text import largest_k
from tritonize.report.text_parts import incomparable


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All comparisons of one output at one stage."""

    stage: StageName
    output: str
    sizes: tuple[int, ...]
    """Batch sizes in ascending order; 0 if the model is not batched, empty for concurrent clients, which mix them."""
    tensors: tuple[TensorCheck, ...]
    passed: bool
    """False also if the stage has a finding."""
    largest: float | None
    """Largest |found - expected|, infinite if a comparison failed by its shape or type; `None` if no elements were compared."""
    k: float | None
    snr: str
    """Signal-to-noise ratio in dB as text; empty if it was not measured."""

    @property
    def mismatched(self) -> int:
        """Number of elements outside the tolerance."""
        return sum(tensor.mismatched for tensor in self.tensors)

    @property
    def outside(self) -> int:
        """Number of comparisons outside the tolerance."""
        return sum(not tensor.passed for tensor in self.tensors)

    @property
    def limit(self) -> Limit | None:
        """The tolerance; `None` if every difference fails."""
        return limit(self.tensors)


def of(report: Report) -> tuple[Compared, ...]:
    """The comparisons of each output at each stage, in the order of the checks."""
    rows: dict[tuple[StageName, str], list[tuple[int, TensorCheck]]] = {}
    for check in report.checks:
        for tensor in check.tensors:
            rows.setdefault((check.stage, tensor.name), []).append((check.batch_size, tensor))
    failed, metrics = failed_stages(report), {(row.stage, row.output): row.metrics for row in report.rows}
    found = []
    for (stage, output), compared in rows.items():
        tensors = tuple(tensor for _, tensor in compared)
        measured = metrics.get((stage, output)) if stage is not StageName.PYTORCH else None
        snr = "" if measured is None else "equal" if measured.equal else _decibels(measured.snr_db)
        found.append(
            Compared(
                stage=stage,
                output=output,
                sizes=() if stage is StageName.CONCURRENT else tuple(sorted({size for size, _ in compared})),
                tensors=tensors,
                passed=stage not in failed and all(tensor.passed for tensor in tensors),
                largest=largest(tensors),
                k=largest_k(report.gates, stage, output),
                snr=snr,
            )
        )
    return tuple(found)


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def largest(tensors: Sequence[TensorCheck]) -> float | None:
    """The largest |found - expected| of some comparisons; see `Compared.largest`."""
    if any(map(incomparable, tensors)):
        return math.inf
    return max((tensor.max_abs for tensor in tensors if tensor.max_abs is not None), default=None)


def limit(tensors: Sequence[TensorCheck]) -> Limit | None:
    """The tolerance of an output; `None` if every difference fails."""
    atol = max((tensor.atol for tensor in tensors), default=0.0)
    high = max((tensor.atol + tensor.rtol * (tensor.largest or 0.0) for tensor in tensors), default=0.0)
    return Limit(low=atol, high=max(atol, high)) if math.isfinite(high) and high > 0 else None


def stages(names: Iterable[StageName]) -> str:
    """`ONNX Runtime; Triton: HTTP, gRPC`: the headings of stages, with what several have in common once."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        common, _, rest = name.heading.partition(", ")
        groups.setdefault(common, []).append(rest)
    return "; ".join(_group(common, rests) for common, rests in groups.items())


def _group(common: str, rests: Sequence[str]) -> str:
    named = ", ".join(filter(None, rests))
    return f"{common}{': ' if len(rests) > 1 else ', '}{named}" if named else common


def sizes(each: Iterable[Sequence[int]]) -> str:
    """`1, 2, 4` or `1 to 32`: batch sizes of merged rows; `none` without batching, `mixed` for concurrent clients alone."""
    known = sorted({size for some in each for size in some})
    if not known:
        return "mixed"
    if known == [0]:
        return "none"
    return ", ".join(map(str, known)) if len(known) < 6 else f"{known[0]} to {known[-1]}"


def alike(rows: Sequence[Compared], shown: int = 3) -> Iterator[tuple[Compared, ...]]:
    """Yield groups of rows of one output with the same verdict whose error and k are equal in some significant digits."""
    groups: dict[tuple[object, ...], list[Compared]] = {}
    for row in rows:
        key = (row.output, row.passed, row.outside > 0, _rounded(row.largest, shown), _rounded(row.k, shown))
        groups.setdefault(key, []).append(row)
    yield from map(tuple, groups.values())


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits - 1}e}"
