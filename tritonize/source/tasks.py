"""Worker tasks of this folder: inspect a model, and call the user's sample function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import Inspection, SourceKind, TensorSpec
from tritonize.process.tasks import Task


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """Which PyTorch model to load, and how to call it."""

    kind: SourceKind
    location: str
    """The file, or `package.module:factory`."""
    kwargs: Mapping[str, object] = field(default_factory=dict)
    """Keyword arguments of the factory, as JSON data."""
    weights: Path | None = None
    weights_key: str = ""
    """Entry of the weights file that holds the state dict; empty if the file is the state dict."""
    weights_prefix: str = ""
    """Prefix to remove from the names in the state dict."""
    operators: tuple[Path, ...] = ()
    """Files that register operators; they run before the model is loaded."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs in the spec's order."""
    outputs: tuple[str, ...] = ()
    """Names for the outputs, in the model's order; empty for the default names."""
    training: Literal["eval", "keep", "error"] = "eval"
    """`eval`: switch evaluation mode on. `keep`: keep the mode that the model is loaded in. `error`: require evaluation mode."""
    fast_path: bool = False
    """Whether attention takes PyTorch's fast path for inference, which no exporter supports."""


@dataclass(frozen=True, kw_only=True)
class InspectRequest:
    """Which model to inspect."""

    kind: SourceKind
    location: str
    """The file, or `package.module:factory`."""
    kwargs: Mapping[str, object] = field(default_factory=dict)
    """Keyword arguments of the factory, as JSON data."""
    weights: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """Which sample function to call, and how often."""

    function: str
    """`package.module:function`."""
    count: int
    """Number of samples."""
    seed: int
    directory: Path
    """Folder for the samples, one `.npz` file each."""


@dataclass(frozen=True, kw_only=True)
class DrawResult:
    """A description of the samples."""

    tensors: tuple[TensorSpec, ...]
    """Name, type and shape of each input in the first sample."""
    varying: tuple[str, ...]
    """Names of inputs whose shape differs between samples."""


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
