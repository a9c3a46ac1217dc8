"""Register the user's ONNX functions for operators with PyTorch's exporters. Runs in a worker process."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any  # Any: onnxscript's functions, ONNX messages and torch's overloads have no public types

import torch

from tritonize.source.operators import Operator
from tritonize.source.worker.torch_model import LoadedModel

DYNAMO_OPSET = 18
"""The lowest opset that the dynamo exporter writes. For a lower one it writes 18 and only logs that."""


def symbolic_function(each: Operator, opset: int) -> Callable[..., object]:
    """Wrap the user's function for the legacy exporter, which passes its graph and arguments that may be None or constants."""
    function = _script(each, opset)
    wanted = len(inspect.signature(each.function).parameters)

    def symbolic(g: Any, *arguments: object) -> object:
        return g.onnxscript_op(function, *arguments[:wanted]).setTypeAs(arguments[0])

    return symbolic


def _script(each: Operator, opset: int) -> object:
    """Compile the user's function with onnxscript."""
    import onnxscript

    local = onnxscript.values.Opset("tritonize.local", 1)
    return onnxscript.script(local, default_opset=_bind(each, opset))(each.function)


def _bind(each: Operator, opset: int) -> Any:
    """Set the opset in the function's file to the requested one: a model has a single version of ONNX's own domain."""
    import onnxscript

    wanted = getattr(onnxscript, f"opset{opset}")
    names = each.function.__globals__
    for name in [name for name, value in names.items() if isinstance(value, onnxscript.values.Opset) and not value.domain]:
        names[name] = wanted
    return wanted


def _register_schemas(function: Any) -> None:
    """Register schemas for a function's operators of other domains with ONNX: the exporter traces no operator without a schema."""
    from onnx import defs

    types = sorted(defs.get_schema("Identity", DYNAMO_OPSET).type_constraints[0].allowed_type_strs)  # all tensor types
    proto = function.to_function_proto()
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    for node in proto.node:
        if node.domain in ("", "ai.onnx") or defs.has(node.op_type, node.domain):
            continue
        parameter = defs.OpSchema.FormalParameter
        schema = defs.OpSchema(
            node.op_type,
            node.domain,
            versions[node.domain],
            inputs=[parameter(f"input_{index}", f"T{index}") for index in range(len(node.input))],
            outputs=[parameter(f"output_{index}", f"R{index}") for index in range(len(node.output))],
            type_constraints=[
                *((f"T{index}", types, "") for index in range(len(node.input))),
                *((f"R{index}", types, "") for index in range(len(node.output))),
            ],
            attributes=[_attribute(entry) for entry in node.attribute],
        )
        defs.register_schema(schema)


def _attribute(entry: Any) -> Any:
    from onnx import defs

    kind = defs.OpSchema.AttrType(entry.type)  # type: ignore[call-arg]
    return defs.OpSchema.Attribute(entry.name, kind, "", required=False)


def translations(model: LoadedModel, opset: int) -> dict[Any, Any]:
    """Return the user's functions for the dynamo exporter, by operator overload."""
    table = {}
    for each in model.translations:
        if each.opset <= opset:
            packet = getattr(getattr(torch.ops, each.namespace), each.operator)
            _bind(each, max(opset, DYNAMO_OPSET))
            _register_schemas(_script(each, max(opset, DYNAMO_OPSET)))
            table[getattr(packet, each.overload)] = each.function  # the exporter traces it, so no function is left to inline
    return table
