"""Read the header of a TensorRT plan, and read and write the metadata file next to a plan.

A plan of TensorRT starts with `ftrt`, a plan of TensorRT-RTX with `vtrt`. Bytes 24 to 27 are the four parts of the version. The
header of a TensorRT-RTX plan also contains its size (u64 at byte 16) and a mask of compute capabilities (u32 at byte 32). The
header of a TensorRT plan names no compute capability, so the build writes it into the metadata.

Source: the TensorRT-RTX format was read off plans that this project built. The TensorRT format was not checked against a real plan.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.core import bounded_files
from tritonize.core.artifacts import TensorSpec, from_json, to_json
from tritonize.core.errors import PlanError
from tritonize.core.messages import plans as wording

Module = Literal["tensorrt", "tensorrt_rtx"]
MODULES: tuple[Module, ...] = ("tensorrt", "tensorrt_rtx")
"""The modules number their versions independently: TensorRT-RTX 1.x is not older than TensorRT 10.x."""

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""The compute capabilities in the order of the bits of the mask in a TensorRT-RTX plan's header, lowest bit first."""

_MAGIC: Mapping[bytes, Module] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
_HEADER_BYTES = 36


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a plan."""

    module: Module
    version: tuple[int, int, int, int]
    compute_capabilities: tuple[str, ...]
    """The targets of a TensorRT-RTX plan; empty for a TensorRT plan, whose header does not name them."""

    @property
    def version_text(self) -> str:
        """The version as text, such as `10.16.1.11`."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, kw_only=True)
class PlanMetadata:
    """The facts about a plan that the build recorded, in `model.plan.json` next to `model.plan`."""

    schema: int = 1
    module: Module
    version: str
    """Version of the module that built the plan, all four parts."""
    compute_capability: str
    gpu: str | None
    """Name of the GPU that the plan was built on; `None` if it was built without a GPU."""
    driver: str | None
    profiles: tuple[Mapping[str, Mapping[str, tuple[int, ...]]], ...]
    """For each profile: input to its minimum, optimal and maximum shape (`min`, `opt`, `max`)."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tf32: bool
    precision_built: Mapping[str, int] | None
    """Number of layers by precision, from the engine inspector; `None` until the plan has run on a GPU."""
    onnx_sha256: str
    """SHA-256 of the ONNX file and of its external data."""
    settings: Mapping[str, object]
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    """Duration of the builder's own call."""
    timing_cache_sha256: str | None
    built_by: str
    """tritonize and its version, such as `tritonize 1.0`."""


def read_header(path: Path) -> Header:
    """Read the header of a plan.

    Raises:
        PlanError: the file cannot be read, is not a plan, or does not have the size that its header names.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise PlanError.of(wording.PLAN_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
    module = _MAGIC.get(start[:4])
    if module is None or len(start) < _HEADER_BYTES:
        raise PlanError.of(
            wording.NOT_A_PLAN,
            where=str(path),
            expected="a file that starts with 'ftrt' (TensorRT) or 'vtrt' (TensorRT-RTX)",
            found=f"{start[:4]!r}" if start else "an empty file",
        )
    major, minor, patch, build = start[24:28]
    capabilities: tuple[str, ...] = ()
    if module == "tensorrt_rtx":
        (named,) = struct.unpack_from("<Q", start, 16)
        if named != size:
            raise PlanError.of(wording.PLAN_CUT_OFF, where=str(path), expected=f"{named:,} bytes", found=f"{size:,} bytes")
        (mask,) = struct.unpack_from("<I", start, 32)
        capabilities = tuple(name for bit, name in enumerate(RTX_CAPABILITIES) if mask >> bit & 1)
    return Header(module=module, version=(major, minor, patch, build), compute_capabilities=capabilities)


def metadata_path(plan: Path) -> Path:
    """The path of a plan's metadata: `model.plan.json` next to `model.plan`."""
    return plan.with_name(f"{plan.name}.json")


def write_metadata(plan: Path, metadata: PlanMetadata) -> None:
    """Write the metadata next to its plan."""
    metadata_path(plan).write_text(json.dumps(to_json(metadata), indent=2) + "\n", encoding="utf-8")


def read_metadata(plan: Path) -> PlanMetadata | None:
    """Read the metadata next to a plan; `None` if the file does not exist.

    Raises:
        PlanError: the file cannot be parsed.
    """
    path = metadata_path(plan)
    if not path.is_file():
        return None
    try:
        return from_json(PlanMetadata, bounded_files.json_of(path))
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise PlanError.of(wording.METADATA_UNREADABLE, where=str(path), found=str(error).splitlines()[0]) from error


def contradictions(plan: Path, header: Header, metadata: PlanMetadata | None) -> Iterator[str]:
    """The differences between a plan and its metadata, a sentence each; none without metadata."""
    if metadata is None:
        return
    if (metadata.module, metadata.version) != (header.module, header.version_text):
        yield f"its metadata names {metadata.module} {metadata.version}, its header {header.module} {header.version_text}"
    if header.compute_capabilities and metadata.compute_capability not in header.compute_capabilities:
        targets = ", ".join(header.compute_capabilities)
        yield f"its metadata names compute capability {metadata.compute_capability}, its header {targets}"
    with plan.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != metadata.plan_sha256:
            yield "the SHA-256 differs from the one in the metadata: the file changed after the build"
