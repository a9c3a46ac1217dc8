"""What ONNX Runtime's CPU provider lacks for a file: the operator, the element type, the node; in a worker, without torch."""

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


def lacking(told: str, path: Path) -> ExportError | None:
    """The error of an operator that ONNX Runtime does not have in the node's type; `None` where it fails for another reason.

    Args:
        told: ONNX Runtime's own words.
        path: the ONNX file.
    """
    found = _UNIMPLEMENTED.search(told) or _INVALID_TYPE.search(told)
    if not found:
        return None
    kind = found.groupdict().get("type") or _type_of(path, found["node"])
    kind = {"double": "fp64", "float": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(kind or "", kind)
    message = wording.RUNTIME_LACKS_OPERATOR if kind in _COMPUTED_IN else wording.RUNTIME_LACKS_OTHER
    return ExportError.of(
        message,
        where=path.name,
        found=without_path(told),
        operator=found["operator"],
        type=_COMPUTED_IN.get(kind or "", kind or "this type"),
        remedy=_FROM_FLOAT64 if kind == "fp64" else _FROM_HALF,
    )


def without_path(told: str) -> str:
    """The first line of what ONNX Runtime says, without the folder of the file: it goes into the evidence."""
    return _FROM.sub("", told.strip().splitlines()[0]) if told.strip() else ""


def _type_of(path: Path, node: str) -> str | None:
    """The type of the first floating input of a node, as `dtypes` calls it; `None` where it cannot be told."""
    import onnx  # for a better text alone

    model = onnx.load(path, load_external_data=False)
    with contextlib.suppress(Exception):  # a node that takes an input itself has its type without that
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
