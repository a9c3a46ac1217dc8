"""Worker tasks that run the PyTorch model: once for the reference, and once more in another precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.process.tasks import Task
from tritonize.source.tasks import LoadRequest

Cause = Literal["training", "evaluation", "attention", "compiled"]
Precision = Literal["fp64", "fp16", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """Run a model on samples and batches."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...] = ()
    """Batches of two or more samples that PyTorch also runs, to check that the model is batchable."""
    directory: Path
    float64: bool = False
    """Whether to run float64 too, if the model is small enough to need neither limits nor its own process."""
    apart: SampleSet | None = None
    """Further samples with names, each run alone; the model may fail on them or return NaN."""
    tolerance: tuple[float, float] = (1e-4, 9e-4)
    """rtol and atol of the outputs that `tolerances` does not name; by default those of a spec."""
    tolerances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """rtol and atol by output, for outputs with other tolerances than that."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Outputs of the model in another state than the reference."""

    cause: Cause
    """What differs: `training` is the model in training mode, as loaded; `evaluation` is evaluation mode, while the reference keeps
    training mode; `attention` takes attention's other path; `compiled` is the compiled model, as loaded."""
    parts: tuple[str, ...]
    """Parts of the model that are in that state; empty if the whole model is."""
    outputs: TensorFiles | None
    """For the first samples, or for all of them; `None` if there are none."""
    why_not: str = ""
    """Why there are none."""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """PyTorch's outputs in another precision, one item per sample, or the reason why there are none."""

    outputs: TensorFiles | None
    """Floating-point outputs in that precision, without those that the model does not return in it."""
    reason: str = ""
    """Why there are none."""
    without: Mapping[str, str] = field(default_factory=dict)
    """Missing output to the reason."""
    library_seconds: float = 0.0
    """0 if the run was part of the reference run, whose seconds include it."""
    peak_memory: int = 0
    """Bytes; 0 if the run was part of the reference run."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the reference run found out besides the expected outputs."""

    unusable: Mapping[str, str] = field(default_factory=dict)
    """Edge case to the reason why the model does not support it: PyTorch raises, an output is not finite, or PyTorch cannot batch
    it with another sample. `outputs` has no item for it."""
    apart: TensorFiles | None = None
    """The outputs for the samples of `ReferenceRequest.apart` on which the model does not fail, in their order."""
    failed_apart: Mapping[str, str] = field(default_factory=dict)
    """Name of the other samples of `ReferenceRequest.apart` to the model's error."""
    unpadded: str = ""
    """Why the output for a sample changes if zeros are in the same batch; empty if it does not change."""
    exact: Recomputed | None = None
    """The outputs in float64, or the reason why there are none; `None` if float64 was not tried."""
    variants: tuple[Variant, ...] = ()
    """The outputs of the model in other states, such as the one in which it was loaded."""
    changed: tuple[str, ...] = ()
    """Python attributes that the model changed while it ran, with their values before and after."""
    traced: bool = False
    """Whether the model is a traced file, which contains no Python branches any more."""
    moved: tuple[Mapping[str, float], ...] = ()
    """For each sample, output to max |difference| when the weights are rounded differently; empty for large models."""


@dataclass(frozen=True, kw_only=True)
class ReferenceResult:
    """The model's outputs, and facts about the model."""

    outputs: TensorFiles
    """One item per sample."""
    batched: TensorFiles
    """One item per batch of the request."""
    samples: SampleSet
    """Those of the request; of a stateful model, with the state of every step."""
    parameters: int
    """Number of elements."""
    renamed: Mapping[str, str]
    """The model's name of an output to its new name, for outputs that have the name of an input."""
    state: str
    """Checksum of the parameters and buffers."""
    code: Mapping[str, str]
    """File name to SHA-256, for the file that defines a factory."""
    observed: Observed
    library_seconds: float


@dataclass(frozen=True, kw_only=True)
class RecomputeRequest:
    """Run a model on samples in another precision."""

    model: LoadRequest
    samples: SampleSet
    expected: TensorFiles
    """The outputs in the model's own precision, for the names and types of the outputs."""
    dtype: Precision
    directory: Path


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """Call the function of a Python step on samples and batches."""

    function: str
    """`file.py:function`; the file is in `folder`."""
    folder: Path
    """Holds the step's files, and nothing else."""
    inputs: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    """The outputs that the spec describes, with the batch axis if the model is batched."""
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...] = ()
    directory: Path
    decoupled: bool = False
    """Whether the function yields several responses to a sample."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What the function returned."""

    outputs: TensorFiles
    """One item per sample."""
    samples: SampleSet
    """Those of the request; of a decoupled step one for each response, without the edge cases that it does not support."""
    batched: TensorFiles
    """One item per batch of the request."""
    unusable: Mapping[str, str]
    """Edge case to the reason why the step does not support it; `outputs` has no item for it."""
    library_seconds: float


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
CALL_STEP = Task(
    name="tritonize.reference.tasks:CALL_STEP",
    function="tritonize.reference.worker.python_step:call",
    request=StepRequest,
    result=StepResult,
)
