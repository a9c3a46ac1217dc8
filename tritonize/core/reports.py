"""What a run or a verification found: comparisons, findings and stages, and the Report that holds them.

The text, HTML and JSON reports and the exit code depend on these values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # JSON data, which readers take apart by key

from tritonize.core import notebook
from tritonize.core.results import Gate, LeftOut, NoiseFloor, StageRow, Verdict
from tritonize.core.stages import Label, StageName
from tritonize.core.tolerance_advice import Pattern, ToleranceAdvice


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of an output for which expected and found differ."""

    index: tuple[int, ...]
    """One number per axis."""
    expected: float
    """PyTorch's value."""
    found: float
    """The value that was compared with it."""


@dataclass(frozen=True, kw_only=True)
class TensorCheck:
    """The comparison of one output: expected, found and the difference.

    Differences are computed in float64 over the elements that are finite on both sides. They are `None` if there are none, or
    if the shapes or types cannot be compared.
    """

    name: str
    """The name of the output."""
    passed: bool
    """Whether shape, type and every element are right."""
    reason: str | None
    """Why it failed, in one line; `None` if it passed."""
    expected_shape: tuple[int, ...] | None
    """PyTorch's shape; `None` if there is no such output."""
    found_shape: tuple[int, ...] | None
    """The shape that was found; `None` if the output is missing."""
    expected_dtype: str | None
    """PyTorch's element type."""
    found_dtype: str | None
    """The element type that was found."""
    rtol: float
    """The relative tolerance."""
    atol: float
    """The absolute tolerance, in the output's unit."""
    expected_nan: int = 0
    """Number of NaN in the expected output."""
    found_nan: int = 0
    """Number of NaN in the output that was found."""
    expected_inf: int = 0
    """Number of infinities in the expected output."""
    found_inf: int = 0
    """Number of infinities in the output that was found."""
    max_abs: float | None = None
    """Largest |found - expected|."""
    mean_abs: float | None = None
    """Mean |found - expected|."""
    max_rel: float | None = None
    """max |found - expected| / |expected| over elements with |expected| above a thousandth of its largest magnitude."""
    cosine: float | None = None
    """Cosine of the angle between expected and found."""
    largest: float | None = None
    """Largest finite expected magnitude; with a larger atol, every value of that size passes."""
    elements: int = 0
    """Number of elements."""
    mismatched: int = 0
    """Elements outside |found - expected| <= atol + rtol * |expected|."""
    worst: tuple[Element, ...] = ()
    """The elements furthest outside the tolerance, worst first."""
    least_atol: float | None = None
    """The smallest atol with which this output passes with `rtol`; `None` if no atol does."""
    least_rtol: float | None = None
    """The smallest rtol with which this output passes with `atol`; `None` if no rtol does."""
    pattern: Pattern | None = None
    """What the difference looks like, if it is not an error of rounding; looked for in outputs that failed."""
    factor: float | None = None
    """For the pattern `scaled`: what expected has to be multiplied by."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The comparison of all outputs of one batch at one stage with the reference."""

    stage: StageName
    """The stage, such as `http`."""
    batch_size: int
    """0 if the model is not batched."""
    samples: tuple[int, ...]
    """The samples of the batch, in order."""
    tensors: tuple[TensorCheck, ...]
    """One comparison per output."""
    seconds: float = 0.0
    """How long the response took."""

    @property
    def passed(self) -> bool:
        """Whether every output passed. A comparison without outputs does not pass."""
        return bool(self.tensors) and all(tensor.passed for tensor in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A difference that is not in a tensor: a hash, a configuration field, a missing file."""

    where: str
    """The file, field or model."""
    what: str
    """What differs, in one sentence."""
    expected: str | None = None
    """The required value."""
    found: str | None = None
    """The actual value."""
    stage: StageName | None = None
    """The stage whose responses it is about: that stage failed, also if every output that it compared passed. `files` if files
    of the version are not those that were proven."""
    next_step: str = ""
    """What to do about it, with commands in backticks; empty if the report as a whole says it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run with its verdict, time and memory."""

    name: Label
    """The name of the stage; for `tritonize check`, the model file."""
    verdict: Verdict
    """The verdict of this stage alone."""
    seconds: float
    """How long it took."""
    library_seconds: float = 0.0
    """The part spent in libraries (torch, ONNX, ONNX Runtime, the server), imports included."""
    peak_memory: int = 0
    """Peak resident memory of the stage's processes in bytes; 0 if it starts none."""
    note: str = ""
    """What it did, in short, or why it did not run."""
    optional: bool = False
    """If it did not run: whether the verdict does not depend on it, such as a transport without an address."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of a run or a verification; the text, HTML and JSON reports and the exit code depend on it alone."""

    command: str
    """The command that made the report, such as `run`."""
    model: str
    """The name of the model."""
    version: int | None
    """The number of the version; `None` before it has one."""
    verdict: Verdict
    """The verdict of the whole."""
    checks: tuple[Check, ...] = ()
    """What was compared: one entry per batch and stage, with a comparison of each output."""
    rows: tuple[StageRow, ...] = ()
    """The error metrics of each output at each stage."""
    gates: tuple[Gate, ...] = ()
    """The result of every rule."""
    floors: tuple[NoiseFloor, ...] = ()
    """PyTorch's own errors, which the noise-floor ratio is relative to."""
    findings: tuple[Finding, ...] = ()
    """Differences that are not in a tensor."""
    stages: tuple[Stage, ...] = ()
    """The stages, in the order in which they ran."""
    notes: tuple[str, ...] = ()
    """Notes for the reader, in full sentences."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Name to version of every tool used."""
    proved_by: Mapping[str, str] = field(default_factory=dict)
    """Name to version of the server, backend and runtime whose outputs were compared."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Source, ONNX file and configuration as plain data."""
    tolerances: tuple[ToleranceAdvice, ...] = ()
    """For each output: the smallest tolerances with which all its comparisons pass, and what they mean."""
    left_out: tuple[LeftOut, ...] = ()
    """What the proof left out, and why. The summary of a passed report names it."""
    location: Path | None = None
    """The published version, or the staged one that failed."""
    published: bool = False
    """Whether the version is in the repository."""

    def __repr__(self) -> str:
        """One line of at most 79 characters; the full content is thousands of numbers, which are in `report.json`."""
        start = f"<Report of {self.command}, "
        without = f", {len(self.left_out)} left out" if self.left_out else ""
        rest = f"{self._of_version}: {self.verdict}, {self.comparisons} comparisons{without}>"
        model = notebook.cut(" ".join(self.model.split()), max(8, 79 - len(start) - len(rest)))
        return f"{start}{model}{rest}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, what is wrong, and a row for each stage and output. The report's page has more."""
        lines = [f"{self.comparisons} comparisons, {self.outside} outside the tolerance"] if self.checks else []
        lines += [f"left out: {each.name} ({each.part}): {each.why}" for each in self.left_out]
        lines += [f"{finding.where}: {finding.what}" for finding in self.findings]
        lines += [f"{'published' if self.published else 'lies in'}: {self.location}"] if self.location is not None else []
        compared: dict[tuple[StageName, str], list[TensorCheck]] = {}
        for check in self.checks:
            for tensor in check.tensors:
                compared.setdefault((check.stage, tensor.name), []).append(tensor)
        rows = []
        for (stage, output), tensors in compared.items():
            far = max((each.max_abs for each in tensors if each.max_abs is not None), default=None)
            bad = sum(not each.passed for each in tensors)
            rows.append([stage.heading, output, str(len(tensors)), "–" if far is None else f"{far:.2e}", str(bad)])
        header = ("stage", "output", "compared", "max error", "outside")
        return notebook.fragment(f"{self.model}{self._of_version}", self.verdict, lines, header=header, rows=rows)

    @property
    def comparisons(self) -> int:
        """Number of comparisons: one per output of each response and batch. A response without outputs counts as one."""
        return sum(max(1, len(check.tensors)) for check in self.checks)

    @property
    def outside(self) -> int:
        """Number of comparisons outside the tolerance, or with another shape or type."""
        return sum(sum(not tensor.passed for tensor in check.tensors) if check.tensors else 1 for check in self.checks)

    @property
    def _of_version(self) -> str:
        return f" version {self.version}" if self.version is not None else ""
