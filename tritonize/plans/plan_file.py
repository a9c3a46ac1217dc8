"""TensorRT plans as files: what the header says, and the metadata beside a plan.

A stock plan starts with `ftrt`, one of TensorRT-RTX with `vtrt`; bytes 24 to 27 are major, minor, patch and build. RTX plans
also hold their size (u64 at 16) and a mask of compute capabilities (u32 at 32); a stock plan's is nowhere in the header, so it
is written beside the plan when that is built. The RTX format was read off
plans built here; that of a stock plan is as the project's notes have it, and no stock plan was seen.
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

Module = Literal["tensorrt", "tensorrt_rtx"]
MODULES: tuple[Module, ...] = ("tensorrt", "tensorrt_rtx")
"""Their versions count apart: 1.x of TensorRT-RTX is not older than 10.x of TensorRT."""

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Bit by bit, in the order of the mask in an RTX plan's header."""

_MAGIC: Mapping[bytes, Module] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
_HEADER_BYTES = 36


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a plan says of itself."""

    module: Module
    version: tuple[int, int, int, int]
    compute_capabilities: tuple[str, ...]
    """Of an RTX plan; a stock plan does not say."""

    @property
    def version_text(self) -> str:
        """Such as `10.16.1.11`."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, kw_only=True)
class PlanMetadata:
    """What was known when a plan was built; `model.plan.json` beside `model.plan`."""

    schema: int = 1
    module: Module
    version: str
    """All four parts."""
    compute_capability: str
    gpu: str | None
    """Name of the GPU it was built on; `None` where it was built without one."""
    driver: str | None
    profiles: tuple[Mapping[str, Mapping[str, tuple[int, ...]]], ...]
    """Input to its smallest, usual and largest shape (`min`, `opt`, `max`), profile by profile."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tf32: bool
    precision_built: Mapping[str, int] | None
    """Layers by precision, as the engine inspector counts them; `None` where there was no GPU to load the engine on."""
    onnx_sha256: str
    """Of the model file, and of its external data where it has any."""
    settings: Mapping[str, object]
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    """Of the builder alone."""
    timing_cache_sha256: str | None
    built_by: str
    """tritonize and its version."""


def read_header(path: Path) -> Header:
    """The header of a plan.

    Raises:
        PlanError: it is no plan, or cut off.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise PlanError("The plan cannot be read.", where=str(path), found=error.strerror) from error
    module = _MAGIC.get(start[:4])
    if module is None or len(start) < _HEADER_BYTES:
        raise PlanError(
            "This is no TensorRT plan.",
            where=str(path),
            expected="a file that starts with 'ftrt' (TensorRT) or 'vtrt' (TensorRT-RTX)",
            found=f"{start[:4]!r}" if start else "an empty file",
        )
    major, minor, patch, build = start[24:28]
    capabilities: tuple[str, ...] = ()
    if module == "tensorrt_rtx":
        (said,) = struct.unpack_from("<Q", start, 16)
        if said != size:
            raise PlanError("The plan is cut off.", where=str(path), expected=f"{said:,} bytes", found=f"{size:,} bytes")
        (mask,) = struct.unpack_from("<I", start, 32)
        capabilities = tuple(name for bit, name in enumerate(RTX_CAPABILITIES) if mask >> bit & 1)
    return Header(module=module, version=(major, minor, patch, build), compute_capabilities=capabilities)


def metadata_path(plan: Path) -> Path:
    """Where the metadata of a plan lies: `model.plan.json` beside `model.plan`."""
    return plan.with_name(f"{plan.name}.json")


def write_metadata(plan: Path, metadata: PlanMetadata) -> None:
    """Write the metadata beside its plan."""
    metadata_path(plan).write_text(json.dumps(to_json(metadata), indent=2) + "\n", encoding="utf-8")


def read_metadata(plan: Path) -> PlanMetadata | None:
    """Read the metadata next to a plan; `None` if the file does not exist.

    Raises:
        PlanError: it is damaged.
    """
    path = metadata_path(plan)
    if not path.is_file():
        return None
    try:
        return from_json(PlanMetadata, bounded_files.json_of(path))
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise PlanError("The plan's metadata cannot be read.", where=str(path), found=str(error).splitlines()[0]) from error


def contradictions(plan: Path, header: Header, known: PlanMetadata | None) -> Iterator[str]:
    """Where a plan and the metadata beside it disagree, a sentence each."""
    if known is None:
        return
    if (known.module, known.version) != (header.module, header.version_text):
        yield f"its metadata says {known.module} {known.version}, its header {header.module} {header.version_text}"
    if header.compute_capabilities and known.compute_capability not in header.compute_capabilities:
        targets = ", ".join(header.compute_capabilities)
        yield f"its metadata says compute capability {known.compute_capability}, its header {targets}"
    with plan.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != known.plan_sha256:
            yield "its bytes are not those that were built: the SHA-256 differs from the metadata's"
