"""Parse an ONNX file into a TensorRT network, or list the nodes that TensorRT has no implementation of, by module and source line.

Runs inside a worker, without torch; the same code serves `tensorrt` and `tensorrt_rtx`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonize.core import dtypes, onnx_protobuf
from tritonize.core.errors import ExportError, PlanError, UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import plans as wording
from tritonize.plans.tasks import PlanBuildRequest

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from tritonize.backends.plans import bindings
    from tritonize.backends.plans.bindings import TensorRT

_MOST_LINES = 20
_NO_REASON = "the parser logs no reason"


def parse(trt: TensorRT, builder: bindings.Builder, logger: bindings.BuildLog, *, request: PlanBuildRequest) -> bindings.Network:
    """Parse the ONNX file of a request. All unsupported nodes are listed first, because parsing stops at the first one.

    Raises:
        UsageError: the file is not an ONNX file, or has types that the module would replace silently.
        ExportError: a node takes a tensor that no node before it computes.
        PlanError: the module has no implementation of a node, or cannot parse the file.
    """
    _require_types(trt, request)
    _require_supported_nodes(trt, builder, logger, request=request)
    network = builder.create_network(_network_flags(trt))
    network.name = request.onnx.stem  # the plan contains it; the default name counts the networks of the process
    parser = _parser(trt, network, logger)
    before = len(logger.errors)
    if not parser.parse_from_file(str(request.onnx)):
        nodes = _node_map(request.node_map)
        problems = [_described(parser.get_error(index), nodes) for index in range(parser.num_errors)]
        raise PlanError.of(
            wording.PARSE_FAILED,
            where=request.onnx.name,
            found=problems[0] if problems else None,
            details=shortened([*problems[1:], *logger.errors[before:]]),
            module=request.module,
        )
    return network


def _parser(trt: TensorRT, network: bindings.Network, logger: bindings.BuildLog) -> bindings.Parser:
    """A parser that maps instance normalization to TensorRT's own layer.

    That is the default from 10.0 on. TensorRT 8.6 needs the flag for version- and hardware-compatible plans.
    """
    parser = trt.OnnxParser(network, logger)
    flags = getattr(trt, "OnnxParserFlag", None)
    if flags is not None:
        parser.set_flag(flags.NATIVE_INSTANCENORM)
    return parser


def _network_flags(trt: TensorRT) -> int:
    """Explicit batch for 8.6, which requires the flag; strongly typed if the module supports it."""
    names = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
    kinds = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(kinds, name)) for name in names if hasattr(kinds, name))


def _require_supported_nodes(
    trt: TensorRT, builder: bindings.Builder, logger: bindings.BuildLog, *, request: PlanBuildRequest
) -> None:
    """Check that the module implements every node, also those in subgraphs and functions; the error lists all that it lacks."""
    network = builder.create_network(_network_flags(trt))  # in a variable, since the parser does not keep it alive
    parser = _parser(trt, network, logger)
    knows = hasattr(parser, "supports_model_v2")
    if knows and parser.supports_model_v2(request.onnx.read_bytes(), str(request.onnx)):
        return
    model = _model(request.onnx)
    every, plugins = list(_every_node(model)), _plugins(builder)
    plain = {node.op_type for node in every if not node.domain} - plugins  # the parser's list of importers does not include plugins
    missing = {operator for operator in plain if not parser.supports_operator(operator)}
    of_node: dict[tuple[str, str], str] = {}
    of_operator = dict.fromkeys(missing, "no importer")
    for index in range(parser.num_errors if knows else 0):
        error = parser.get_error(index)
        operator, name, why = error.node_operator(), error.node_name(), _reason(error.desc())
        if not operator or (why == _NO_REASON and operator in of_operator):
            continue
        if name and not _of_operator(why):
            of_node[name, operator] = why
        else:
            of_operator[operator] = why
    found = [
        (node.name, node.op_type, reason)
        for node in every
        if (reason := of_node.pop((node.name, node.op_type), "") or of_operator.get(node.op_type))
    ]
    found += [
        (name, operator, reason) for (name, operator), reason in of_node.items()
    ]  # errors about nodes whose names the file does not have
    if not found:
        return
    _require_wired(model, request)
    nodes = _node_map(request.node_map)
    lines = [_line(name, operator, nodes, why=reason) for name, operator, reason in found]
    for line in lines:
        logger.note(line)
    operators = sorted({operator for _, operator, _ in found})
    raise PlanError.of(
        wording.NODES_UNSUPPORTED,
        where=request.onnx.name,
        details=shortened(lines),
        module=request.module,
        nodes=f"{len(lines)} node{'s' if len(lines) > 1 else ''}",
        operators=", ".join(operators),
    )


def _require_wired(model: ModelProto, request: PlanBuildRequest) -> None:
    """Check that every tensor that a node takes is computed before it; the parser reports such a node as unsupported.

    Raises:
        ExportError: a node takes a tensor that is neither an input nor a weight nor an output of an earlier node.
    """
    available = {each.name for each in model.graph.input} | {each.name for each in model.graph.initializer}
    available |= {each.values.name for each in model.graph.sparse_initializer}
    for node in model.graph.node:
        if absent := [name for name in node.input if name and name not in available]:
            raise ExportError.of(
                files_wording.ONNX_NOT_WELL_FORMED,
                where=request.onnx.name,
                found=f"{node.op_type}{f' (node {node.name})' if node.name else ''} takes {', '.join(absent)}",
            )
        available.update(node.output)


def _plugins(builder: bindings.Builder) -> set[str]:
    """The operators that registered plugins implement, in any namespace."""
    registry = builder.get_plugin_registry()
    creators = registry.all_creators if hasattr(registry, "all_creators") else registry.plugin_creator_list
    return {creator.name for creator in creators}


def _of_operator(why: str) -> bool:
    """Whether a parser's reason applies to all nodes of the operator (no plugin) and not only to the attributes of one node.

    The parser reports such a reason only for the first node.
    """
    why = why.lower()
    return "plugin" in why and "not found" in why


def _every_node(model: ModelProto) -> Iterator[NodeProto]:
    """All nodes of a model, with those of subgraphs and functions."""
    yield from _nodes(model.graph.node)
    for function in model.functions:
        yield from _nodes(function.node)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def shortened(lines: Sequence[str]) -> list[str]:
    """The first 20 lines and the number of further ones; the log contains all of them."""
    return [*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more in the log"] if len(lines) > _MOST_LINES else [])]


def with_nodes(messages: Sequence[str], request: PlanBuildRequest) -> list[str]:
    """The builder's messages. Those that name nodes of the ONNX file come first, each with the node's module and source line.

    TensorRT joins nodes to layers, so one message may name several nodes; each of them gets its own line.
    """
    nodes = _node_map(request.node_map)
    operators = {node.name: node.op_type for node in _every_node(_model(request.onnx)) if node.name}
    names = "|".join(re.escape(name) for name in sorted(operators, key=len, reverse=True))  # the longest match counts
    pattern = re.compile(rf"(?<![\w/.])(?:{names})(?![\w/]|\.\w)") if names else None
    located: list[str] = []
    others: list[str] = []
    for text in dict.fromkeys(messages):
        found = list(dict.fromkeys(pattern.findall(text))) if pattern else []
        for number, name in enumerate(found):
            located.append(_line(name, operators[name], nodes, why="named in the same message" if number else text))
        others += [] if found else [text]
    return [*located, *others]


def _require_types(trt: TensorRT, request: PlanBuildRequest) -> None:
    """Check that the module supports the types of inputs and outputs, and half precision, instead of replacing them silently.

    Raises:
        UsageError: the module lacks a type, or the file is not an ONNX file.
    """
    double, long = dtypes.by_name("fp64").onnx, dtypes.by_name("int64").onnx
    replaced = {double: ("fp64", "fp32")} | ({} if hasattr(trt.DataType, "INT64") else {long: ("int64", "int32")})
    try:
        declared = onnx_protobuf.types(request.onnx)
    except ValueError as error:
        raise UsageError.of(files_wording.NOT_ONNX, where=request.onnx.name, found=str(error)) from error
    if not declared:
        raise UsageError.of(files_wording.NOT_ONNX, where=request.onnx.name, found="it declares no inputs and no outputs")
    kinds = [(name, *replaced[kind]) for name, kind in declared.items() if kind in replaced]
    if kinds:
        raise UsageError.of(
            wording.TYPES_CHANGED,
            where=request.onnx.name,
            found="; ".join(f"{name} is {kind}, and would be {other}" for name, kind, other in kinds),
            module=request.module,
            version=trt.__version__,
        )
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        return
    halves = {dtypes.by_name(name).onnx for name in ("fp16", "bf16")}
    model = _model(request.onnx)
    types = {each.data_type for each in model.graph.initializer} | set(declared.values())
    casts = {each.i for node in model.graph.node if node.op_type == "Cast" for each in node.attribute if each.name == "to"}
    if halves & (types | casts):
        raise UsageError.of(
            wording.HALF_UNSUPPORTED, where=request.onnx.name, found="a graph in half precision", version=trt.__version__
        )


def _model(path: Path) -> ModelProto:
    """The model of an ONNX file, without external data. `onnx` is imported late: that takes as long as building a small plan."""
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:
        raise UsageError.of(files_wording.NOT_ONNX, where=path.name, found=f"{error}".splitlines()[0]) from error


def _described(error: bindings.ParserError, nodes: Mapping[str, Mapping[str, str]]) -> str:
    """The text of a parser error, with the node; older versions of the parser do not name the node."""
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    name = error.node_name() if hasattr(error, "node_name") else ""
    return _line(name, operator, nodes, why=_reason(error.desc()))


def _line(name: str, operator: str, nodes: Mapping[str, Mapping[str, str]], *, why: str) -> str:
    """One line of an error: operator, node, module and source line of the user's code, and the reason."""
    origin = nodes.get(name, {})
    places = [
        f"node {name}" if name else "",
        f"module {origin['module']}" if origin.get("module") else "",
        origin.get("source", ""),
    ]
    inside = ", ".join(place for place in places if place)
    return f"{operator or 'the graph'} ({inside}): {why}" if inside else f"{operator or 'the graph'}: {why}"


def _reason(text: str) -> str:
    """The parser's text on one line; a fixed text if it contains no reason."""
    text = " ".join(text.split())
    return _NO_REASON if text in ("", "false", "Assertion failed: false") else text


def _node_map(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None or not path.is_file():
        return {}
    return {entry["node"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
