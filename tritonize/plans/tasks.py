"""What workers do with TensorRT, as both sides see it: build a plan, say which version a module has, run a plan.

Free of pydantic, whose import takes a worker about as long as a small plan takes to build.
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
    """The fields of `spec.builder.Settings`, checked there; `None` is the module's own default."""

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
    """One plan, for one GPU kind, of a request that was checked before."""

    onnx: Path
    module: str
    compute_capability: str | None
    """The target of TensorRT-RTX; `None` for the GPU here."""
    profiles: tuple[Profile, ...]
    settings: BuilderSettings
    node_map: Path | None
    plan: Path
    log: Path
    timing_cache: Path | None
    """The file of this module version, GPU and driver; `None` without a timing cache."""


@dataclass(frozen=True, kw_only=True)
class PlanBuildResult:
    """What was built."""

    compute_capability: str
    inputs: tuple[TensorSpec, ...]
    """Of the network; an axis that is dynamic has the size `?`."""
    outputs: tuple[TensorSpec, ...]
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    """Of the builder alone."""
    timing_cache_sha256: str | None
    """Of the timing cache after the build; `None` without one, or where it cannot be written."""


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """Which module."""

    module: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples that are run as one batch in one profile."""

    profile: int
    samples: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """What to run."""

    plan: Path
    module: str
    samples: SampleSet
    batches: tuple[Batch, ...]
    """Profile by profile."""
    directory: Path
    log: Path
    plugins: tuple[Path, ...]
    """Libraries with plugins, loaded before the plan."""
    version_compatible: bool
    """The plan carries code of its own, which is run then."""


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """What an engine answered, batch by batch."""

    outputs: tuple[TensorFiles, ...]
    """One set of one item per batch: what an engine answers may differ in shape and type from what is expected."""
    seconds: tuple[float, ...]
    """Of each batch, with its copies."""
    gpu: str
    compute_capability: str
    driver: str
    cuda: str
    """The newest CUDA version that the driver takes."""
    version: str
    layers: Path
    """What the engine's inspector says, as JSON; in one line per layer in the file beside it."""
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
