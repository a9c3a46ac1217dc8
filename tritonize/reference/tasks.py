"""Worker tasks that run the PyTorch model: the reference, and its answers in another precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.process.tasks import Task
from tritonize.source.tasks import LoadRequest

Cause = Literal["training", "evaluation", "attention", "compiled"]
Precision = Literal["fp64", "fp16", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """What to run."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...] = ()
    """Batches of two samples and more that PyTorch runs too, to see whether the model may be batched at all."""
    directory: Path
    float64: bool = False
    """Whether float64 is wanted too, where the model is so small that it needs no bounds and no process of its own."""
    apart: SampleSet | None = None
    """Further samples with names, each run alone, whose answers may be anything."""
    tolerances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """rtol and atol by output, where they are not the default."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Answers of the model in another state than that of the reference."""

    cause: Cause
    """What differs: it is in training mode, as loaded; it is in evaluation mode, while the reference keeps its own; its attention
    takes the other path; it is compiled, as loaded."""
    parts: tuple[str, ...]
    """Of the model, which are in that state; empty where all are."""
    outputs: TensorFiles | None
    """To the first samples, or to all of them."""
    why_not: str = ""
    """Why there are none."""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """PyTorch's answers in another precision, one item per sample, or why there are none."""

    outputs: TensorFiles | None
    """Floating outputs in that precision, without those that the model does not answer in it."""
    reason: str = ""
    """Why there are none."""
    without: Mapping[str, str] = field(default_factory=dict)
    """The outputs that are missing, with the reason."""
    library_seconds: float = 0.0
    """0 where it was computed beside the reference, and counts there."""
    peak_memory: int = 0
    """Bytes, likewise."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What running the model showed beside the expected outputs."""

    unusable: Mapping[str, str] = field(default_factory=dict)
    """Edge case to why it is no sample of this model: PyTorch raises, answers nothing finite, or cannot batch it with another. Its
    files are left out of the outputs."""
    apart: TensorFiles | None = None
    """The answers to the samples run apart, in their order, of those that it answers."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Of the samples run apart: name to why the model has no answer to it."""
    unpadded: str = ""
    """Why a sample beside zeros is not answered as alone; empty where it is."""
    exact: Recomputed | None = None
    """The answers in float64, or why there are none; `None` where they were not tried."""
    variants: tuple[Variant, ...] = ()
    """What the model answers in another state, such as that in which it was loaded."""
    changed: tuple[str, ...] = ()
    """Attributes of Python's that were others after the answers than before, with what they held."""
    traced: bool = False
    """Whether it is a traced file, which has no branches of Python's left."""
    moved: tuple[Mapping[str, float], ...] = ()
    """By sample, output to max |difference| of answers with weights rounded otherwise; of small models alone."""


@dataclass(frozen=True, kw_only=True)
class ReferenceResult:
    """What was run."""

    outputs: TensorFiles
    """One item per sample."""
    batched: TensorFiles
    """One item per batch of the request."""
    parameters: int
    """Number of elements."""
    renamed: Mapping[str, str]
    """Outputs that are called otherwise than the model calls them, since an input has the name."""
    state: str
    """Checksum of its parameters and buffers."""
    code: Mapping[str, str]
    """SHA-256 of the file that defines a factory, by its name."""
    observed: Observed
    library_seconds: float


@dataclass(frozen=True, kw_only=True)
class RecomputeRequest:
    """What to run."""

    model: LoadRequest
    samples: SampleSet
    expected: TensorFiles
    """What it answered in its own precision, whose names and types the outputs are compared with."""
    dtype: Precision
    directory: Path


COMPUTE = Task(
    name="tritonize.reference.tasks:COMPUTE",
    function="tritonize.reference.worker.runner:compute",
    request=ReferenceRequest,
    result=ReferenceResult,
)
RECOMPUTE = Task(
    name="tritonize.reference.tasks:RECOMPUTE",
    function="tritonize.reference.worker.recompute:recompute",
    request=RecomputeRequest,
    result=Recomputed,
)
