"""Find what ONNX Runtime's CPU provider lacks for a file: operator, element type and node. Runs in a worker, without torch."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from tritonize.core import dtypes
from tritonize.core.errors import ExportError
from tritonize.core.messages import export as wording

_UNIMPLEMENTED = re.compile(r"Could not find an implementation for (?P<operator>\w+)\(\d+\) node with name '(?P<node>[^']*)'")
_INVALID_TYPE = re.compile(
    r"Type '(tensor\()?(?P<type>\w+)\)?' of input parameter \([^)]*\) of operator \((?P<operator>\w+)\) in node \((?P<node>[^)]*)\)"
)
_FROM = re.compile(r"Load model from \S+ failed: ?")
_COMPUTED_IN = {"fp64": "float64", "bf16": "bfloat16", "fp16": "float16"}
"""Element types that PyTorch computes in and that this provider has few operators for, as PyTorch calls them."""


_FROM_FLOAT64 = "call float() on it, and give fp32 inputs"
_FROM_HALF = "leave torch.autocast out of forward(), or call float() on the model"


def lacking(error_text: str, path: Path) -> ExportError | None:
    """Build the error for an operator that ONNX Runtime lacks in the node's type; `None` if it failed for a different reason.

    Args:
        error_text: text of ONNX Runtime's error.
        path: the ONNX file.
    """
    match = _UNIMPLEMENTED.search(error_text) or _INVALID_TYPE.search(error_text)
    if not match:
        return None
    kind = match.groupdict().get("type") or _type_of(path, match["node"])
    kind = {"double": "fp64", "float": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(kind or "", kind)
    where, reason, operator = path.name, without_path(error_text), match["operator"]
    if kind not in _COMPUTED_IN:
        return ExportError.of(wording.RUNTIME_LACKS_OTHER, where=where, found=reason, operator=operator, type=kind or "this type")
    return ExportError.of(
        wording.RUNTIME_LACKS_OPERATOR,
        where=where,
        found=reason,
        operator=operator,
        type=_COMPUTED_IN[kind],
        remedy=_FROM_FLOAT64 if kind == "fp64" else _FROM_HALF,
    )


def without_path(error_text: str) -> str:
    """Return the first line of ONNX Runtime's error without the file's folder, since it is written into the evidence."""
    return _FROM.sub("", error_text.strip().splitlines()[0]) if error_text.strip() else ""


def _type_of(path: Path, node: str) -> str | None:
    """Return the name in `dtypes` of the type of a node's first floating-point input; `None` if it is unknown."""
    import onnx  # only for a better error text

    model = onnx.load(path, load_external_data=False)
    with contextlib.suppress(Exception):  # the types of the graph's inputs are known without inference
        model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for name in (name for each in graph.node if each.name == node for name in each.input):
        try:
            dtype = dtypes.by_onnx(types.get(name, 0))
        except KeyError:
            continue
        if dtype.floating:
            return dtype.name
    return None
