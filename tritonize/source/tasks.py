"""Worker tasks about the model as it is given: look into it, draw samples from the user's function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import Inspection, SourceKind, TensorSpec
from tritonize.process.tasks import Task


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """Where a PyTorch model is and how it is called."""

    kind: SourceKind
    location: str
    """The file, or `package.module:factory`."""
    kwargs: Mapping[str, object] = field(default_factory=dict)
    """JSON data, for the factory."""
    weights: Path | None = None
    weights_key: str = ""
    """Entry of the weights file that holds the state dict."""
    weights_prefix: str = ""
    """Of the state dict's names, left out."""
    operators: tuple[Path, ...] = ()
    """Files that register operators, run before the model is loaded."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs in the spec's order."""
    outputs: tuple[str, ...] = ()
    """Names wanted for the outputs, in the model's order; empty for the default names."""
    training: Literal["eval", "keep", "error"] = "eval"
    """`eval`: evaluation mode is switched on. `keep`: the model stays in the mode that it is loaded in. `error`: it has to be in
    evaluation mode already."""
    fast_path: bool = False
    """Whether attention takes PyTorch's fast path for inference, which no exporter knows."""


@dataclass(frozen=True, kw_only=True)
class InspectRequest:
    """What to look at."""

    kind: SourceKind
    location: str
    """The file, or `package.module:factory`."""
    kwargs: Mapping[str, object] = field(default_factory=dict)
    """JSON data, for the factory."""
    weights: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """Which function, and how often."""

    function: str
    """`package.module:function`."""
    count: int
    seed: int
    directory: Path
    """Where the samples go, one `.npz` file each."""


@dataclass(frozen=True, kw_only=True)
class DrawResult:
    """What the samples are like."""

    tensors: tuple[TensorSpec, ...]
    """Names and types as the first sample has them, with its sizes."""
    varying: tuple[str, ...]
    """Inputs whose shape is not the same in all samples."""


INSPECT = Task(
    name="tritonize.source.tasks:INSPECT",
    function="tritonize.source.worker.inspection:inspect",
    request=InspectRequest,
    result=Inspection,
)
DRAW = Task(
    name="tritonize.source.tasks:DRAW",
    function="tritonize.source.worker.sample_function:draw",
    request=DrawRequest,
    result=DrawResult,
)
