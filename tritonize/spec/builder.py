"""Settings of TensorRT's builder, for `builder:` in a spec and `settings:` in a plan request."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of a file that users write; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(Section):
    """Settings of the builder; `None` leaves the default of the TensorRT module."""

    workspace_mib: int | None = Field(None, gt=0, description="MiB of device memory that a layer's implementation may use")
    tactic_shared_memory_kib: int | None = Field(None, gt=0, description="KiB of shared memory that a kernel may use")
    optimization_level: int | None = Field(None, ge=0, le=5, description="0 builds fastest, 5 searches longest for fast kernels")
    max_aux_streams: int | None = Field(None, ge=0, description="largest number of further CUDA streams that an engine uses")
    tf32: bool = Field(
        False, description="TensorFloat-32 for float32 convolutions and matrix products; off, unlike the builder's default"
    )
    timing_cache: bool = Field(False, description="keep measured times of kernels in the cache, for later builds of this GPU")
    hardware_compatibility: Literal["ampere_plus", "same_compute_capability"] | None = Field(
        None, description="GPUs besides the one of the build on which the plan loads"
    )
    version_compatible: bool = Field(False, description="the plan also loads in later versions of the same major version")
    strip_plan: bool = Field(False, description="leave the weights out of the plan")
    refit: bool = Field(False, description="the weights of the plan can be replaced")
    weight_streaming: bool = Field(False, description="weights may stay in host memory and be copied to the GPU in parts")
    detailed_profiling: bool = Field(False, description="keep the names and formats of layers for the engine inspector")
    plugins: tuple[Path, ...] = Field((), description="libraries with plugins")

    def changed(self) -> dict[str, object]:
        """Return the settings that differ from their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def portable(self) -> dict[str, object]:
        """Return the settings that differ from their defaults, with file names of plugins instead of paths, for other machines."""
        return self.changed() | ({"plugins": [path.name for path in self.plugins]} if self.plugins else {})
