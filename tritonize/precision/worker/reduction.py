"""Reduce a finished float32 ONNX file to float16 or bfloat16, and write the emulation for its comparison. Runs in a worker process.

The types are in the graph: TensorRT builds the file as a strongly typed network.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableSequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import onnx
import onnx.checker
import onnx.external_data_helper
import onnx.numpy_helper
import onnx.shape_inference
import onnx.version_converter
from onnx import TensorProto

from tritonize.core.errors import ExportError, NothingReducedError, UsageError
from tritonize.core.messages import precision as wording
from tritonize.onnx_model.worker import finishing, origins, writer
from tritonize.precision.tasks import ReduceRequest, ReduceResult
from tritonize.precision.worker import emulation as worker_emulation
from tritonize.precision.worker import graph_rewrite, node_choice
from tritonize.precision.worker.graph_rewrite import Rewritten
from tritonize.precision.worker.node_choice import HALVES, Half, Kept
from tritonize.process.stopwatch import Stopwatch

T = TypeVar("T")
BF16_OPSET = 22
"""The first opset in which convolutions, pooling and recurrences support bfloat16."""
BF16_IR = 10
"""The version of the file format that came with that opset."""
_CONSTANTS_IR = 4
"""The first version of the file format in which an initializer need not be an input."""
_NEAR = 3


def reduce(request: ReduceRequest) -> ReduceResult:
    """Reduce the file, and write its emulation.

    Raises:
        UsageError: a node or an operator to keep is not in the graph.
        ExportError: no node could be reduced, or what was written is invalid.
    """
    half, watch = HALVES[request.precision], Stopwatch()
    with watch.library():
        model = _prepared(request)
        kept = Kept(nodes=frozenset(request.keep_nodes), operators=frozenset(request.keep_operators))
        types = _types(model, request.source)
        value = partial(onnx.numpy_helper.to_array, base_dir=str(request.source.parent))
        choice = node_choice.Chooser(model, types, half, kept=kept, value=value).choose(half_io=request.half_io)
        done = graph_rewrite.rewrite(model.graph, types, choice, half=half, value=value, half_io=request.half_io)
        data = _write(model, request)
        del model  # the rest reads the file from disk; two models at a time would double the memory
        model, reduced = _read_back(request.path, done, half)
        if not reduced:
            raise _nothing_reduced(request, Counter(place.kept for place in choice.places if place.kept))
        node_map = _write_node_map(model, done, request)
        result = ReduceResult(
            opset=finishing.opset(model),
            ir_version=model.ir_version,
            inputs=finishing.specs(model.graph.input, "input"),
            outputs=finishing.specs(model.graph.output, "output"),
            reduced=reduced,
            kept=Counter(place.kept for place in choice.places if place.kept),
            casts=done.casts,
            data=data.name if data else None,
            node_map=node_map.name,
            library_seconds=0.0,
        )
        worker_emulation.emulate(model.graph, done.half, half)
        _types(model, request.emulation)
        writer.write(model, request.emulation)  # it refers to the reduced file's external weights, if there are any
    return replace(result, library_seconds=watch.seconds)


def _prepared(request: ReduceRequest) -> onnx.ModelProto:
    """Load the source for rewriting: in an opset that supports the type, with its float32 constants as initializers."""
    model = onnx.load(request.source, load_external_data=False)
    finishing.require_safe_external_data(model, request.source)
    _require_known(model, request)
    if request.precision == "bf16" and finishing.opset(model) < BF16_OPSET:
        model = _raised(model, BF16_OPSET)
    _constants_to_initializers(model)
    return model


def _require_known(model: onnx.ModelProto, request: ReduceRequest) -> None:
    """Reject names that are not in the graph; otherwise a misspelled node would be reduced silently."""
    nodes = list(finishing.nodes(model))
    for kind, wanted, there in (
        ("node", request.keep_nodes, {node.name for node in nodes}),
        ("operator", request.keep_operators, {node.op_type for node in nodes}),
    ):
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise UsageError.of(
                wording.KEEP_UNKNOWN,
                where=f"keep_fp32.{kind}s",
                found=", ".join(unknown),
                details=[f"{name}: nearest {', '.join(_nearest(name, there)) or 'no similar name'}" for name in unknown],
                kind=kind,
            )


def _nearest(name: str, there: Iterable[str]) -> list[str]:
    known = sorted(there)
    return difflib.get_close_matches(name, known, _NEAR, 0.4) or [each for each in known if name.lower() in each.lower()][:_NEAR]


def _raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Convert the model to a newer opset. Its weights bypass the converter, which would copy them."""
    weights = [tensor for tensor in model.graph.initializer if writer.is_weight(tensor) or writer.is_external(tensor)]
    shell = finishing.without_weights(model)
    given = {value.name for value in shell.graph.input}
    for tensor in weights:
        if tensor.name not in given:
            shell.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    names = {tensor.name for tensor in weights}
    _retain(shell.graph.initializer, lambda tensor: tensor.name not in names)
    try:
        raised = onnx.version_converter.convert_version(shell, opset)
    except Exception as error:
        raise ExportError.of(wording.OPSET, found=str(error).strip().splitlines()[0], opset=opset) from error
    _retain(raised.graph.input, lambda value: value.name in given or value.name not in names)
    raised.graph.initializer.extend(weights)
    raised.ir_version = max(raised.ir_version, BF16_IR)
    raised.producer_name, raised.producer_version = model.producer_name, model.producer_version
    return raised


def _retain(field: MutableSequence[T], wanted: Callable[[T], bool]) -> None:
    left = [each for each in field if wanted(each)]
    del field[:]
    field.extend(left)


def _constants_to_initializers(model: onnx.ModelProto) -> None:
    """Turn float32 Constant nodes into initializers, and remove initializers from the inputs, where old files list them."""
    graph, left = model.graph, []
    named = {tensor.name for tensor in graph.initializer}
    if named.intersection(value.name for value in graph.input):
        _retain(graph.input, lambda value: value.name not in named)
        model.ir_version = max(model.ir_version, _CONSTANTS_IR)
    for node in graph.node:
        tensor = _constant(node) if node.op_type == "Constant" and node.domain in ("", "ai.onnx") else None
        if tensor is None:
            left.append(node)
        else:
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(left)


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """Return a Constant node's value as an initializer; `None` if it is not a float32 tensor."""
    (attribute,) = node.attribute
    initializer = TensorProto()
    if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
        initializer.CopyFrom(attribute.t)
    elif attribute.name in ("value_float", "value_floats"):
        dims = [] if attribute.name == "value_float" else [len(attribute.floats)]
        numbers = attribute.floats if dims else [attribute.f]
        initializer.CopyFrom(onnx.helper.make_tensor(node.output[0], TensorProto.FLOAT, dims, numbers))
    else:
        return None
    initializer.name = node.output[0]
    return initializer


def _types(model: onnx.ModelProto, path: Path) -> dict[str, int]:
    """Return the element types of the graph's tensors, by ONNX's strict shape inference."""
    try:
        light = finishing.without_weights(model)
        graph = onnx.shape_inference.infer_shapes(light, check_type=True, strict_mode=True).graph
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise _invalid(path, error) from error
    values = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _write(model: onnx.ModelProto, request: ReduceRequest) -> Path | None:
    """Write the reduced file. Returns the path of the weights if they are too large to be inside."""
    folder = request.source.parent
    weights = writer.external_or_large(model)
    if sum(writer.size(tensor, folder) for tensor in weights) > request.inline_limit:
        return writer.write_with_data(model, request.path, folder)
    for tensor in weights:
        if writer.is_external(tensor):
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    writer.write(model, request.path)
    return None


def _read_back(path: Path, done: Rewritten, half: Half) -> tuple[onnx.ModelProto, int]:
    """Load the written file, check it and its tensors' types; return it with its number of reduced nodes."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise _invalid(path, error) from error
    model = onnx.load(path, load_external_data=False)
    found = {name for name, kind in _types(model, path).items() if kind == half.onnx}
    made = {name for node in model.graph.node for name in (*node.input, *node.output)}
    differing = sorted((found ^ done.half) & made)
    if differing:
        raise _invalid(path, ValueError(f"the type of {', '.join(differing[:_NEAR])} differs from the requested one"))
    return model, sum(1 for node in model.graph.node if node.op_type not in node_choice.AGNOSTIC and found.intersection(node.input))


def _invalid(path: Path, error: Exception) -> ExportError:
    return ExportError.of(wording.INVALID, where=path.name, found=str(error).strip().splitlines()[0])


def _nothing_reduced(request: ReduceRequest, kept: Mapping[str, int]) -> NothingReducedError:
    return NothingReducedError.of(
        wording.NOTHING_REDUCED,
        expected=f"at least one node in {request.precision}",
        found="; ".join(f"{count} nodes kept: {reason}" for reason, count in kept.items()) or "no float32 node at all",
        precision=request.precision,
    )


def _write_node_map(model: onnx.ModelProto, done: Rewritten, request: ReduceRequest) -> Path:
    """Write the origins of the reduced file's nodes, as in the source; a cast belongs to the module whose tensor it casts."""
    known: dict[str, origins.Origin] = {}
    listed = json.loads(request.node_map.read_text(encoding="utf-8"))["nodes"] if request.node_map else []
    for entry in listed:
        if "unmapped" not in entry:
            origin = origins.Origin(module=entry.get("module"), source=entry.get("source"), function=entry.get("function"))
            known.update(dict.fromkeys(entry["outputs"], origin))
    known |= {new: known[old] for new, old in done.came_from.items() if old in known}
    path = request.path.with_name(finishing.NODE_MAP)
    origins.write(model, known, path)
    return path
