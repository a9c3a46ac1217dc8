"""Parse the network: an ONNX file as TensorRT's own, or the nodes that it has no implementation of, by module and line.

Runs inside a worker, without torch; one core for `tensorrt` and `tensorrt_rtx`, as `workers.plan`.
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
from tritonize.plans.tasks import PlanBuildRequest

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from tritonize.backends.plans import bindings
    from tritonize.backends.plans.bindings import TensorRT

_MOST_LINES = 20
_NO_REASON = "the parser gives no reason"


def parse(trt: TensorRT, builder: bindings.Builder, logger: bindings.BuildLog, *, request: PlanBuildRequest) -> bindings.Network:
    """The network of the ONNX file. Unsupported nodes are looked for first, since parsing stops at one.

    Raises:
        UsageError: it has types that the module would turn into others in silence.
        PlanError: it is no ONNX file, or the module has no implementation of a node, or cannot parse it.
    """
    _require_types(trt, request)
    _require_supported_nodes(trt, builder, logger, request=request)
    network = builder.create_network(_network_flags(trt))
    network.name = request.onnx.stem  # it is kept in the plan, where its default counts the networks of the process
    parser = _parser(trt, network, logger)
    before = len(logger.errors)
    if not parser.parse_from_file(str(request.onnx)):
        nodes = _node_map(request.node_map)
        problems = [_described(parser.get_error(index), nodes) for index in range(parser.num_errors)]
        raise PlanError(
            f"{request.module} cannot parse the ONNX file.",
            where=request.onnx.name,
            found=problems[0] if problems else None,
            details=shortened([*problems[1:], *logger.errors[before:]]),
            next_step="look at the whole log beside the plan",
        )
    return network


def _parser(trt: TensorRT, network: bindings.Network, logger: bindings.BuildLog) -> bindings.Parser:
    """A parser that keeps instance normalization as one of TensorRT's own layers.

    From 10.0 on that is its default. 8.6 asks for it where a plan is to be version or hardware compatible.
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
    """List every node that the module has no implementation of, all at once, those of subgraphs and functions too."""
    network = builder.create_network(_network_flags(trt))  # named, since the parser does not keep it alive
    parser = _parser(trt, network, logger)
    knows = hasattr(parser, "supports_model_v2")
    if knows and parser.supports_model_v2(request.onnx.read_bytes(), str(request.onnx)):
        return
    model = _model(request.onnx)
    every, plugins = list(_every_node(model)), _plugins(builder)
    plain = {node.op_type for node in every if not node.domain} - plugins  # of which the parser's list of importers knows nothing
    missing = {operator for operator in plain if not parser.supports_operator(operator)}
    of_node: dict[tuple[str, str], str] = {}
    of_operator = dict.fromkeys(missing, "no importer")
    for index in range(parser.num_errors if knows else 0):
        said = parser.get_error(index)
        operator, name, why = said.node_operator(), said.node_name(), _reason(said.desc())
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
    found += [(name, operator, reason) for (name, operator), reason in of_node.items()]  # of no node that the file has by this name
    if not found:
        return
    _require_wired(model, request)
    nodes = _node_map(request.node_map)
    lines = [_line(name, operator, nodes, why=reason) for name, operator, reason in found]
    for line in lines:
        logger.note(line)
    operators = sorted({operator for _, operator, _ in found})
    raise PlanError(
        f"{request.module} has no implementation of {len(lines)} node{'s' if len(lines) > 1 else ''}: {', '.join(operators)}.",
        where=request.onnx.name,
        details=shortened(lines),
        next_step="write these lines of the model with other operators, or name a library with a plugin",
    )


def _require_wired(model: ModelProto, request: PlanBuildRequest) -> None:
    """Refuse a graph in which a node takes what nothing gives: a parser calls such a node unsupported."""
    given = {each.name for each in model.graph.input} | {each.name for each in model.graph.initializer}
    given |= {each.values.name for each in model.graph.sparse_initializer}
    for node in model.graph.node:
        if absent := [name for name in node.input if name and name not in given]:
            raise ExportError.of(
                files_wording.ONNX_NOT_WELL_FORMED,
                where=request.onnx.name,
                found=f"{node.op_type}{f' (node {node.name})' if node.name else ''} takes {', '.join(absent)}",
            )
        given.update(node.output)


def _plugins(builder: bindings.Builder) -> set[str]:
    """The operators that registered plugins implement, whatever their namespace."""
    registry = builder.get_plugin_registry()
    creators = registry.all_creators if hasattr(registry, "all_creators") else registry.plugin_creator_list
    return {creator.name for creator in creators}


def _of_operator(why: str) -> bool:
    """Whether a reason is the operator's, and not that of a node's attributes: the parser stops at the first node then."""
    why = why.lower()
    return "plugin" in why and "not found" in why


def _every_node(model: ModelProto) -> Iterator[NodeProto]:
    """The nodes of a model, those of its subgraphs and functions too."""
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
    """The first lines, and the number of further lines; the log has all of them."""
    return [*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more in the log"] if len(lines) > _MOST_LINES else [])]


def named(said: Sequence[str], request: PlanBuildRequest) -> list[str]:
    """The builder's messages: first those that name nodes of the ONNX file, each with its module and line of the user's code.

    TensorRT joins nodes to layers, so one text may name many.
    """
    nodes = _node_map(request.node_map)
    operators = {node.name: node.op_type for node in _every_node(_model(request.onnx)) if node.name}
    names = "|".join(re.escape(name) for name in sorted(operators, key=len, reverse=True))  # the longest that fits
    pattern = re.compile(rf"(?<![\w/.])(?:{names})(?![\w/]|\.\w)") if names else None
    located: list[str] = []
    others: list[str] = []
    for text in dict.fromkeys(said):
        found = list(dict.fromkeys(pattern.findall(text))) if pattern else []
        for number, name in enumerate(found):
            located.append(_line(name, operators[name], nodes, why="named in the same text" if number else text))
        others += [] if found else [text]
    return [*located, *others]


def _require_types(trt: TensorRT, request: PlanBuildRequest) -> None:
    """Refuse types that the module would turn into others in silence: of inputs and outputs, and half precision."""
    double, long = dtypes.by_name("fp64").onnx, dtypes.by_name("int64").onnx
    turned = {double: ("fp64", "fp32")} | ({} if hasattr(trt.DataType, "INT64") else {long: ("int64", "int32")})
    try:
        declared = onnx_protobuf.types(request.onnx)
    except ValueError as error:
        raise UsageError.of(files_wording.NOT_ONNX, where=request.onnx.name, found=str(error)) from error
    if not declared:
        raise UsageError.of(files_wording.NOT_ONNX, where=request.onnx.name, found="it declares no inputs and no outputs")
    kinds = [(name, *turned[kind]) for name, kind in declared.items() if kind in turned]
    if kinds:
        raise UsageError(
            f"{request.module} {trt.__version__} has no such type for inputs and outputs, and would take another in silence.",
            where=request.onnx.name,
            found="; ".join(f"{name} is {kind}, and would be {other}" for name, kind, other in kinds),
            next_step="cast in the model, so that it takes and answers the other type",
        )
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        return
    halves = {dtypes.by_name(name).onnx for name in ("fp16", "bf16")}
    model = _model(request.onnx)
    types = {each.data_type for each in model.graph.initializer} | set(declared.values())
    casts = {each.i for node in model.graph.node if node.op_type == "Cast" for each in node.attribute if each.name == "to"}
    if halves & (types | casts):
        raise UsageError(
            f"TensorRT {trt.__version__} has no strongly typed networks, so it would build this one in float32.",
            where=request.onnx.name,
            found="a graph in half precision",
            next_step="build with TensorRT 10 or newer, or ask for precision: fp32",
        )


def _model(path: Path) -> ModelProto:
    """The file's graph without its weights. Read where it is needed: onnx takes as long to import as a small plan to build."""
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:
        raise UsageError.of(files_wording.NOT_ONNX, where=path.name, found=f"{error}".splitlines()[0]) from error


def _described(said: bindings.ParserError, nodes: Mapping[str, Mapping[str, str]]) -> str:
    """An error of the parser; older ones lack the node's operator and name."""
    operator = said.node_operator() if hasattr(said, "node_operator") else ""
    name = said.node_name() if hasattr(said, "node_name") else ""
    return _line(name, operator, nodes, why=_reason(said.desc()))


def _line(name: str, operator: str, nodes: Mapping[str, Mapping[str, str]], *, why: str) -> str:
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
    return _NO_REASON if text in ("", "false", "Assertion failed: false") else text


def _node_map(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None or not path.is_file():
        return {}
    return {entry["node"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
