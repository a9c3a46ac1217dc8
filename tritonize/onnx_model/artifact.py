"""Describe an ONNX file that a worker wrote: where its parts lie, its size and its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tritonize.core.artifacts import OnnxArtifact
from tritonize.onnx_model.tasks import WrittenFile


def describe(
    path: Path, written: WrittenFile, *, exporter: str, strategy: str, simplified: bool, optional: tuple[str, ...]
) -> OnnxArtifact:
    """Return the artifact of a file that was just written; `written` is what the worker read back from it."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    data = path.with_name(written.data) if written.data else None
    return OnnxArtifact(
        path=path,
        data=data,
        node_map=path.with_name(written.node_map),
        sha256=sha256,
        size=path.stat().st_size + (data.stat().st_size if data else 0),
        opset=written.opset,
        ir_version=written.ir_version,
        inputs=written.inputs,
        outputs=written.outputs,
        exporter=exporter,
        strategy=strategy,
        simplified=simplified,
        optional=optional,
    )
