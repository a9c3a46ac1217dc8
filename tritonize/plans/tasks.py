"""The worker tasks that use TensorRT, with their requests and results: build a plan, read a module's version, run a plan.

This module does not import pydantic, since that takes about as long as building a small plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.process.tasks import Task

Profile = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Input to its shapes `min`, `opt` and `max`."""


@dataclass(frozen=True, kw_only=True)
class BuilderSettings:
    """The fields of `spec.builder.Settings`, already validated; `None` stands for the module's default."""

    workspace_mib: int | None = None
    tactic_shared_memory_kib: int | None = None
    optimization_level: int | None = None
    max_aux_streams: int | None = None
    tf32: bool = False
    timing_cache: bool = False
    hardware_compatibility: str | None = None
    version_compatible: bool = False
    strip_plan: bool = False
    refit: bool = False
    weight_streaming: bool = False
    detailed_profiling: bool = False
    plugins: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlanBuildRequest:
    """Build one plan for one compute capability. `plans.builder.build` has already validated the request."""

    onnx: Path
    module: str
    compute_capability: str | None
    """The target of TensorRT-RTX; `None` for the GPU of this machine."""
    profiles: tuple[Profile, ...]
    settings: BuilderSettings
    node_map: Path | None
    plan: Path
    log: Path
    timing_cache: Path | None
    """The timing cache file of this module version, GPU and driver; `None` without a timing cache."""


@dataclass(frozen=True, kw_only=True)
class PlanBuildResult:
    """The facts about a plan that was built."""

    compute_capability: str
    inputs: tuple[TensorSpec, ...]
    """Inputs of the network; a dynamic axis has the size `?`."""
    outputs: tuple[TensorSpec, ...]
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    """Duration of the builder's own call."""
    timing_cache_sha256: str | None
    """SHA-256 of the timing cache after the build; `None` without a timing cache, or if it cannot be written."""


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """Read the version of a module."""

    module: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples that are run as one batch in one profile."""

    profile: int
    samples: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """Run one plan on batches of samples."""

    plan: Path
    module: str
    samples: SampleSet
    batches: tuple[Batch, ...]
    """The batches, sorted by profile."""
    directory: Path
    log: Path
    plugins: tuple[Path, ...]
    """Plugin libraries, loaded before the plan."""
    version_compatible: bool
    """Whether the plan contains host code, which TensorRT may run only if this is true."""


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """The outputs of an engine, batch by batch, and facts about the run."""

    outputs: tuple[TensorFiles, ...]
    """One `TensorFiles` with one item per batch, since an engine's outputs may differ from the expected ones in shape and type."""
    seconds: tuple[float, ...]
    """Duration of each batch, with the copies to and from the GPU."""
    gpu: str
    compute_capability: str
    driver: str
    cuda: str
    """The newest CUDA version that the driver supports."""
    version: str
    layers: Path
    """File with the output of the engine inspector as JSON; `layers.txt` next to it has one line per layer."""
    load_seconds: float
    library_seconds: float


BUILD = Task(
    name="tritonize.plans.tasks:BUILD",
    function="tritonize.plans.worker.build_plan:build",
    request=PlanBuildRequest,
    result=PlanBuildResult,
    writes=("plan", "log", "timing_cache"),
    gpu=True,
)
VERSION = Task(
    name="tritonize.plans.tasks:VERSION",
    function="tritonize.plans.worker.build_plan:version",
    request=VersionRequest,
    result=str,
    gpu=True,
)
RUN = Task(
    name="tritonize.plans.tasks:RUN",
    function="tritonize.plans.worker.engine:run",
    request=EngineRequest,
    result=EngineResult,
    writes=("log",),
    gpu=True,
)
