"""Finish an exported ONNX file: strip, simplify, infer shapes, write, check and read its properties. Runs in a worker process."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner
import onnx.shape_inference
import onnxslim

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import ExportError, SimplifyError, UsageError
from tritonize.core.messages import export as wording
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import onnx_files
from tritonize.onnx_model.tasks import FinishRequest, FinishResult
from tritonize.onnx_model.worker import origins, ports, writer
from tritonize.process.stopwatch import Stopwatch

NODE_MAP = "node_map.json"
_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def finish(request: FinishRequest) -> FinishResult:
    """Finish the file.

    Raises:
        ExportError: the file is invalid, draws random numbers, has another opset, or an input or output that Triton cannot serve.
        SimplifyError: onnxslim fails, changes the inputs or outputs, or makes the file invalid.
        UsageError: external data is missing, cut off or outside the file's folder.
    """
    with (watch := Stopwatch()).library():
        model = _load(request.exported)
        files = [request.exported, *(request.exported.parent / location for location in external_locations(model))]
        weights = writer.external_or_large(model)
        large = sum(writer.size(tensor, request.exported.parent) for tensor in weights) > request.inline_limit
        if not large:
            onnx.load_external_data_for_model(model, str(request.exported.parent))
        if request.inputs is not None:
            ports.name(model, request.inputs, request.outputs)
        constants = ports.unlist_weights(model, request.optional)
        optional = ports.weights_of(model.graph)
        parameters = sum(elements(tensor) for tensor in model.graph.initializer)  # before simplification adds constants
        came_from = origins.of_graph(model, request.roots, request.scope, modules=request.modules)
        _strip(model)
        _declare(model, request.outputs)
        if model.functions:
            model = _inlined(model)
            came_from = origins.of_inlined(model, came_from)
        _require_no_random_operators(model)
        # onnxslim would hold large weights in memory several times, and it folds optional inputs into constants.
        simplify = request.simplify and not large and not optional
        if simplify:
            model = _simplified(model)
            gc.collect()  # onnxslim leaves its copies of the weights in reference cycles
        _infer_output_shapes(model, request.path)
        data = None
        if large:
            data = writer.write_with_data(model, request.path, request.exported.parent).name
        else:
            writer.write(model, request.path)
        origins.write(model, came_from, request.path.with_name(NODE_MAP))
        del model
        _check(request.path, simplified=simplify)
        _remove(files if request.consume else [])  # last: after a SimplifyError, the caller finishes the same file unsimplified
        finished = onnx.load(request.path, load_external_data=False)
    if request.opset is not None:
        _require_opset(opset(finished), request.opset)
    return FinishResult(
        opset=opset(finished),
        ir_version=finished.ir_version,
        inputs=specs(finished.graph.input, "input"),
        outputs=specs(finished.graph.output, "output"),
        nodes=len(finished.graph.node),
        parameters=parameters,
        producer=f"{finished.producer_name} {finished.producer_version}".strip(),
        optional=tuple(optional),
        constants=constants,
        simplified=simplify,
        data=data,
        node_map=NODE_MAP,
        library_seconds=watch.seconds,
    )


def _require_opset(found: int, wanted: int) -> None:
    if found != wanted:
        raise ExportError.of(onnx_files.OPSET, expected=f"opset {wanted}", found=f"opset {found}", written=found)


def _load(path: Path) -> onnx.ModelProto:
    model = onnx.load(path, load_external_data=False)
    require_safe_external_data(model, path)
    return model


def _remove(files: Iterable[Path]) -> None:
    """Delete the exported files, which the finished file replaces, so that a large model is not on the disk twice."""
    for file in files:
        file.unlink()


def _declare(model: onnx.ModelProto, outputs: Iterable[TensorSpec]) -> None:
    """Give outputs that lack a type or a shape the type and shape of the model's outputs."""
    known = {tensor.name: tensor for tensor in outputs}
    for value in model.graph.output:
        tensor = value.type.tensor_type
        if value.name in known and not (tensor.elem_type and tensor.HasField("shape")):
            spec = known[value.name]
            value.CopyFrom(onnx.helper.make_tensor_value_info(spec.name, dtypes.by_name(spec.dtype).onnx, spec.shape))


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Inline the model's local functions, such as custom operators, since not every runtime supports local functions."""
    inlined = onnx.inliner.inline_local_functions(model)
    used = {node.domain for node in nodes(inlined)}
    for entry in [entry for entry in inlined.opset_import if entry.domain and entry.domain not in used]:
        inlined.opset_import.remove(entry)
    return inlined


def external_locations(model: onnx.ModelProto) -> set[str]:
    """Return the names of the external data files, relative to the model's folder."""
    tensors = [tensor for tensor in writer.external_or_large(model) if writer.is_external(tensor)]
    return {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}


def require_safe_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Check that external data is inside the model's folder, present and complete.

    Raises:
        UsageError: a data file is outside the folder, missing, or shorter than its tensors.
    """
    for location in sorted(external_locations(model)):
        target = path.parent / location
        inside = not Path(location).is_absolute() and target.resolve().is_relative_to(path.parent.resolve())
        if not inside:
            raise UsageError.of(files_wording.DATA_OUTSIDE, where=str(path), found=location)
        if not target.is_file():
            raise UsageError.of(files_wording.DATA_MISSING, where=str(path), expected=location)
    for tensor in writer.external_or_large(model):
        if writer.is_external(tensor):
            data, offset, length = writer.reference(tensor, path.parent)
            if offset + length > data.stat().st_size:
                raise UsageError.of(
                    onnx_files.DATA_CUT_OFF,
                    where=str(path),
                    expected=f"{offset + length} bytes in {data.name}, for tensor {tensor.name!r}",
                    found=f"{data.stat().st_size} bytes",
                )


def opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set; 0 if the file does not import it."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def elements(tensor: onnx.TensorProto) -> int:
    """Return the number of elements of an initializer."""
    return math.prod(tensor.dims)


def _require_no_random_operators(model: onnx.ModelProto) -> None:
    """Refuse random operators: their outputs differ from run to run, so they cannot be compared."""
    operators = sorted({node.op_type for node in nodes(model) if node.op_type in _RANDOM})
    if operators:
        raise ExportError.of(onnx_files.RANDOM, found=", ".join(operators))


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of the graph, its subgraphs and the model's functions."""
    pending = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while pending:
        node = pending.pop()
        yield node
        pending += [inner for attribute in node.attribute for inner in attribute.g.node]


def _strip(model: onnx.ModelProto) -> None:
    """Remove the source paths, stack traces and metadata that exporters write; names stay."""
    del model.metadata_props[:]
    model.doc_string = ""
    graphs: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        for value in (*graph.value_info, *getattr(graph, "initializer", ()), *_values(graph)):
            value.doc_string = ""
            del value.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            graphs += [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]


def _values(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterable[onnx.ValueInfoProto]:
    return (*graph.input, *graph.output) if isinstance(graph, onnx.GraphProto) else ()


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify the model with onnxslim; inputs and outputs stay the same.

    Raises:
        SimplifyError: onnxslim fails, or changes the inputs or outputs.
    """
    inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    try:
        slim = onnxslim.slim(model)
    except Exception as error:
        text = str(error).strip().splitlines()
        raise SimplifyError.of(
            wording.NOT_SIMPLIFIED, found=f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        ) from error
    if not isinstance(slim, onnx.ModelProto):
        raise SimplifyError.of(wording.NOT_SIMPLIFIED, found="onnxslim returned no model")
    foreign = {value.name for value in slim.graph.input} - {value.name for value in inputs}
    if foreign or [value.name for value in slim.graph.output] != outputs:
        raise SimplifyError.of(wording.NOT_SIMPLIFIED, found="onnxslim changed the inputs or outputs")
    del slim.graph.input[:]  # onnxslim drops unused inputs, but clients send all inputs of the configuration
    slim.graph.input.extend(inputs)
    return slim


def _infer_output_shapes(model: onnx.ModelProto, path: Path) -> None:
    """Write the inferred shapes of the outputs, which config.pbtxt declares; other inferred shapes are discarded."""
    light = without_weights(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        try:  # data propagation also fails on valid graphs, such as an If with two branches
            inferred = onnx.shape_inference.infer_shapes(light, strict_mode=True)
        except (onnx.shape_inference.InferenceError, ValueError) as error:
            raise _invalid(path, error) from error
    for declared, value in zip(model.graph.output, inferred.graph.output, strict=True):
        declared.CopyFrom(value)


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with large initializers declared but without values: shapes do not depend on them."""
    graph = model.graph
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    light.graph.name = graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(light.graph, field).extend(getattr(graph, field))
    for tensor in graph.initializer:
        if not writer.is_weight(tensor) and not writer.is_external(tensor):
            light.graph.initializer.append(tensor)
        else:
            named = light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            named.data_location = onnx.TensorProto.EXTERNAL
            named.external_data.add(key="location", value="left-out")
    return light


def _check(path: Path, *, simplified: bool = False) -> None:
    """Run the ONNX checker on the written file, which also covers models larger than 2 GiB."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        if simplified:
            raise SimplifyError.of(wording.NOT_SIMPLIFIED, found=str(error).strip().splitlines()[0]) from error
        raise _invalid(path, error) from error


def _invalid(path: Path, error: Exception) -> ExportError:
    return ExportError.of(onnx_files.INVALID, where=path.name, found=str(error).strip().splitlines()[0])


def specs(values: Iterable[onnx.ValueInfoProto], kind: str) -> tuple[TensorSpec, ...]:
    """Return name, type and shape of inputs or outputs of a graph.

    Raises:
        ExportError: one of them is not a tensor, has no rank, or has an element type that Triton cannot serve.
    """
    return tuple(_spec(value, kind) for value in values)


def _spec(value: onnx.ValueInfoProto, kind: str) -> TensorSpec:
    if not value.type.HasField("tensor_type"):
        kind_found = str(value.type.WhichOneof("value"))
        raise ExportError.of(onnx_files.NOT_A_TENSOR, expected="tensor_type", found=kind_found, kind=kind, name=value.name)
    tensor = value.type.tensor_type
    try:
        dtype = dtypes.by_onnx(tensor.elem_type).name
    except KeyError as error:
        raise ExportError.of(onnx_files.NOT_SERVABLE, found=str(error), kind=kind, name=value.name) from error
    if not tensor.HasField("shape"):
        raise ExportError.of(onnx_files.NO_RANK, kind=kind, name=value.name)
    dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim]
    return TensorSpec(name=value.name, dtype=dtype, shape=tuple(dims))
