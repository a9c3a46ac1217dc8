"""The request for a plan build, and the settings that each TensorRT module supports.

A request with a setting that the module ignores or fails on is rejected before the build, because a plan does not show whether a
setting was ignored.

Source of the table `SUPPORT`: for TensorRT-RTX, builds with version 1.7; a setting that changes no byte of the plan is ignored. For
TensorRT, the Python bindings of 8.6.1, 10.0.1, 10.3, 10.5, 10.8, 10.9, 10.11 to 10.13, 10.16 and 11.4; the table names the first of
them that has the setting, and no build was run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from tritonize.core.errors import UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans.plan_file import RTX_CAPABILITIES, Module
from tritonize.spec.builder import Section, Settings

Support = Literal["supported", "ignored", "failing"]


class Shapes(Section):
    """The shapes of one input in one profile."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Shapes:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError(f"min, opt and max must have the same number of axes; found {self.min}, {self.opt}, {self.max}")
        if any(not 0 < low <= usual <= high for low, usual, high in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError(f"0 < min <= opt <= max must hold on every axis; found {self.min}, {self.opt}, {self.max}")
        return self


class BuildRequest(Section):
    """Everything that a build depends on. Together with the files that it names, it can be copied to another machine."""

    schema_version: Literal[1] = Field(1, alias="schema")
    onnx: Path
    module: Module = "tensorrt"
    compute_capabilities: tuple[Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")], ...] = Field(
        (), description='targets of TensorRT-RTX, such as ["8.9"]; TensorRT builds for the GPU it runs on'
    )
    profiles: tuple[Mapping[str, Shapes], ...] = ()
    settings: Settings = Settings()
    node_map: Path | None = Field(None, description="node_map.json of the ONNX file; errors then name modules and source lines")
    deadline_s: float = Field(3600.0, gt=0)
    memory_mib: int | None = Field(None, gt=0)

    def shapes(self) -> tuple[dict[str, dict[str, tuple[int, ...]]], ...]:
        """For each profile: input to its shapes `min`, `opt` and `max`."""
        return tuple({name: each.model_dump() for name, each in profile.items()} for profile in self.profiles)

    @field_validator("compute_capabilities")
    @classmethod
    def _distinct(cls, capabilities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(capabilities)) < len(capabilities):
            raise ValueError(f"duplicate values: {', '.join(capabilities)}")
        return capabilities

    @model_serializer(mode="wrap")
    def _with_schema(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        """The schema is written although it has its default value, so that later versions can recognize the file."""
        fields: dict[str, object] = plain(self)
        fields.pop("schema_version", None)
        return {"schema": self.schema_version} | fields


SUPPORT: Mapping[Module, Mapping[str, tuple[Support, str]]] = {
    "tensorrt": {
        "workspace_mib": ("supported", ""),
        "tactic_shared_memory_kib": ("supported", "10.0"),
        "optimization_level": ("supported", ""),
        "max_aux_streams": ("supported", ""),
        "tf32": ("supported", ""),
        "timing_cache": ("supported", ""),
        "hardware_compatibility": ("supported", ""),
        "version_compatible": ("supported", ""),
        "strip_plan": ("supported", "10.0"),
        "refit": ("supported", ""),
        "weight_streaming": ("supported", "10.0"),
        "detailed_profiling": ("supported", ""),
        "plugins": ("supported", ""),
        "compute_capabilities": ("failing", ""),
    },
    "tensorrt_rtx": {
        "workspace_mib": ("supported", ""),
        "tactic_shared_memory_kib": ("supported", ""),
        "optimization_level": ("ignored", ""),
        "max_aux_streams": ("ignored", ""),
        "tf32": ("supported", ""),
        "timing_cache": ("ignored", ""),
        "hardware_compatibility": ("ignored", ""),
        "version_compatible": ("failing", ""),
        "strip_plan": ("failing", ""),
        "refit": ("failing", ""),
        "weight_streaming": ("supported", ""),
        "detailed_profiling": ("supported", ""),
        "plugins": ("failing", ""),
        "compute_capabilities": ("supported", ""),
    },
}
"""Module to setting to its support and the first version that has it; empty if all supported versions have it."""

_NAMES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_PHRASES = {"ignored": "is ignored by", "failing": "fails in"}
_SAME_CAPABILITY_SINCE = "10.9"


def require_supported(request: BuildRequest, version: str, *, section: str = "settings") -> None:
    """Check that the module supports the settings and targets of a request.

    Args:
        version: of the module.
        section: the section of the settings, for errors: `settings` of a request, `builder` of a spec.

    Raises:
        UsageError: the module ignores a setting or fails on it; the error lists every such setting and the modules that support it.
    """
    refusals = list(_refusals(request, version, section))
    if refusals:
        raise UsageError.of(
            wording.SETTINGS_UNSUPPORTED, where=section, details=refusals, module=_NAMES[request.module], version=version
        )


def _refusals(request: BuildRequest, version: str, section: str) -> Iterator[str]:
    settings = request.settings.changed()
    if request.compute_capabilities:
        settings["compute_capabilities"] = request.compute_capabilities
    module = request.module
    for name in settings:
        support, since = SUPPORT[module][name]
        field = name if name == "compute_capabilities" else f"{section}.{name}"
        if support != "supported":
            yield f"{field}: {_PHRASES[support]} {_NAMES[module]}{_elsewhere(name, module)}"
        elif since and _parts(version) < _parts(since):
            yield f"{field}: needs {_NAMES[module]} {since} or newer"
    if module == "tensorrt_rtx":
        for each in request.compute_capabilities:
            if each not in RTX_CAPABILITIES:
                yield f"compute_capabilities: TensorRT-RTX does not support {each}, only {', '.join(RTX_CAPABILITIES)}"
        if not request.compute_capabilities:
            yield "compute_capabilities: TensorRT-RTX needs at least one target"
    if (
        module == "tensorrt"
        and request.settings.hardware_compatibility == "same_compute_capability"
        and _parts(version) < _parts(_SAME_CAPABILITY_SINCE)
    ):
        yield f"{section}.hardware_compatibility: same_compute_capability needs TensorRT {_SAME_CAPABILITY_SINCE} or newer"


def _elsewhere(name: str, module: Module) -> str:
    """The other modules that support a setting, with the first version if not all versions do."""
    rows = {other: SUPPORT[other][name] for other in SUPPORT if other != module}
    return "".join(
        f"; {_NAMES[other]}{f' {since} and newer' if since else ''} supports it"
        for other, (support, since) in rows.items()
        if support == "supported"
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
