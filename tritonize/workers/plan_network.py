"""Parse the network: an ONNX file as TensorRT's own, or the nodes that it has no implementation of, by module and line.

Runs inside a worker, without torch; one core for `tensorrt` and `tensorrt_rtx`, as `workers.plan`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonize.errors import PlanError, UsageError

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Network:
    """What to parse."""

    onnx: Path
    module: str
    node_map: Path | None


def parse(trt: Any, builder: Any, logger: Any, asked: Network) -> Any:
    """The network of the ONNX file. Unsupported nodes are looked for first, since parsing stops at one."""
    _require_supported_nodes(trt, builder, logger, asked)
    network = builder.create_network(_network_flags(trt))
    network.name = asked.onnx.stem  # it is kept in the plan, where its default counts the networks of the process
    parser = trt.OnnxParser(network, logger)
    before = len(logger.errors)
    if not parser.parse_from_file(str(asked.onnx)):
        nodes = _node_map(asked.node_map)
        told = [_described(parser.get_error(index), nodes) for index in range(parser.num_errors)]
        raise PlanError(
            "TensorRT cannot parse the ONNX file.",
            where=asked.onnx.name,
            found=told[0] if told else None,
            details=[*told[1:_SHOWN], *logger.errors[before:]][:_SHOWN],
            next_step="look at the whole log beside the plan",
        )
    return network


def _network_flags(trt: Any) -> int:
    """Explicit batch for 8.6, where it must be asked for; precision as the graph has it, where a module knows that."""
    names = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
    kinds = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(kinds, name)) for name in names if hasattr(kinds, name))


def _require_supported_nodes(trt: Any, builder: Any, logger: Any, asked: Network) -> None:
    """List every node that the module has no implementation of, all at once."""
    import onnx

    try:
        model = onnx.load(asked.onnx, load_external_data=False)
    except Exception as error:
        raise PlanError("This is no ONNX file.", where=asked.onnx.name, found=f"{error}".splitlines()[0]) from error
    _require_typed(trt, model, asked)
    network = builder.create_network(_network_flags(trt))  # named, since the parser does not keep it alive
    parser = trt.OnnxParser(network, logger)
    found: dict[str, str] = {}
    unknown = {node.op_type for node in model.graph.node if not node.domain and not parser.supports_operator(node.op_type)}
    if hasattr(parser, "supports_model_v2") and not parser.supports_model_v2(asked.onnx.read_bytes(), str(asked.onnx)):
        for index in range(parser.num_errors):
            said = parser.get_error(index)
            if said.node_operator():
                found[said.node_operator()] = _reason(said.desc())
    found = {**dict.fromkeys(sorted(unknown), "no importer"), **found}
    if not found:
        return
    nodes = _node_map(asked.node_map)
    lines = [_line(node.name, node.op_type, nodes, found[node.op_type]) for node in model.graph.node if node.op_type in found]
    raise PlanError(
        f"{asked.module} has no implementation of {len(lines)} node{'s' if len(lines) > 1 else ''}: {', '.join(sorted(found))}.",
        where=asked.onnx.name,
        details=lines[:_SHOWN],
        next_step="write these lines of the model with other operators, or name a library with a plugin",
    )


def _require_typed(trt: Any, model: Any, asked: Network) -> None:
    """Refuse half precision where the module does not take a graph's types as they are: it would build float32 in silence."""
    import onnx

    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        return
    halves = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    tensors = {each.data_type for each in model.graph.initializer}
    tensors |= {each.type.tensor_type.elem_type for each in (*model.graph.input, *model.graph.output)}
    casts = {each.i for node in model.graph.node if node.op_type == "Cast" for each in node.attribute if each.name == "to"}
    if halves & (tensors | casts):
        raise UsageError(
            f"TensorRT {trt.__version__} has no strongly typed networks, so it would build this one in float32.",
            where=asked.onnx.name,
            found="a graph in half precision",
            next_step="build with TensorRT 10 or newer, or ask for precision: fp32",
        )


def _described(error: Any, nodes: Mapping[str, Mapping[str, str]]) -> str:
    operator, name = (_said(error, each) for each in ("node_operator", "node_name"))
    return _line(name, operator, nodes, _reason(error.desc()))


def _said(error: Any, name: str) -> str:
    """A field that older parsers lack."""
    return str(getattr(error, name)()) if hasattr(error, name) else ""


def _line(name: str, operator: str, nodes: Mapping[str, Mapping[str, str]], why: str) -> str:
    """Operator, node, module and line of the user's code, and the reason."""
    origin = nodes.get(name, {})
    places = [
        f"node {name}" if name else "",
        f"module {origin['module']}" if origin.get("module") else "",
        origin.get("source", ""),
    ]
    inside = ", ".join(place for place in places if place)
    return f"{operator or 'the graph'} ({inside}): {why}" if inside else f"{operator or 'the graph'}: {why}"


def _reason(text: str) -> str:
    """A parser's text; some say nothing."""
    text = " ".join(text.split())
    return "the parser gives no reason" if text in ("", "false", "Assertion failed: false") else text


def _node_map(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None or not path.is_file():
        return {}
    return {entry["node"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
