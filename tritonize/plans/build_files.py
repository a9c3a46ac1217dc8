"""Check that every file that a build request names exists and is readable."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tritonize.core import onnx_protobuf
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import plans as wording
from tritonize.plans.request import BuildRequest


def require(request: BuildRequest) -> None:
    """Check the ONNX file, its external data, the node map and the plugin libraries of a request.

    Raises:
        UsageError: a file is missing or cannot be read.
    """
    if not request.onnx.is_file():
        raise UsageError.of(wording.ONNX_MISSING, where=str(request.onnx))
    if request.node_map is not None and not request.node_map.is_file():
        raise UsageError.of(wording.NODE_MAP_MISSING, where="node_map", found=str(request.node_map))
    _require_readable([request.onnx, *[path for path in request.settings.plugins if path.is_file()]])
    data = onnx_protobuf.data_files(request.onnx)  # called once, since it searches the whole file
    if missing := [path.relative_to(request.onnx.parent) for path in data if not path.is_file()]:
        raise UsageError.of(files_wording.DATA_MISSING, where=str(request.onnx), expected=", ".join(map(str, missing)))
    _require_readable(data)
    if missing := [path for path in request.settings.plugins if not path.is_file()]:
        raise UsageError.of(wording.PLUGINS_MISSING, where="plugins", found=", ".join(map(str, missing)))


def _require_readable(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise UsageError.of(wording.INPUT_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
