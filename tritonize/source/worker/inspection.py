"""Read inputs, outputs, operators and number of parameters from a model; runs inside a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any  # Any: TorchScript's graphs and SymPy's bounds have no public types

from tritonize.core import arrays, dtypes, named_arrays
from tritonize.core.artifacts import Inspection, TensorSpec, to_json
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import files as wording
from tritonize.source.tasks import InspectRequest, LoadRequest


def inspect(request: InspectRequest) -> Inspection:
    """The task.

    Raises:
        UsageError, ExportError: the model cannot be loaded.
    """
    inspect_kind = {
        "torchscript": _torchscript,
        "exported_program": _exported_program,
        "factory": _factory,
        "module": _factory,
        "onnx": _onnx,
    }
    return inspect_kind[request.kind](request)


def _torchscript(request: InspectRequest) -> Inspection:
    from tritonize.source.worker import first_layers, modes, script_facts

    module, torch = _module(request)
    schema = module._c._get_method("forward").schema
    inputs = tuple(_described(argument.name, str(argument.type)) for argument in list(schema.arguments)[1:])
    outputs = tuple(_described(value.name or f"OUTPUT__{index}", str(value.type)) for index, value in enumerate(schema.returns))
    graph = module.inlined_graph
    operators = Counter(node.kind() for node in _torch_nodes(graph))
    for structural in [name for name in operators if name.startswith("prim::")]:
        del operators[structural]
    return Inspection(
        kind="torchscript",
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators.most_common()),
        parameters=sum(tensor.numel() for tensor in module.parameters()),
        details={
            "torch": torch.__version__,
            "training": modes.is_training(module),
            "traced": script_facts.is_traced(module),
            **({"devices": devices} if (devices := _devices(module)) else {}),
            **({"likely_inputs": likely} if (likely := first_layers.likely_inputs(module)) else {}),
        },
    )


def _devices(module: Any) -> dict[str, str]:
    """Devices that the code names, with the line in words."""
    from tritonize.source.worker import script_facts

    return {name: f"at {line}" if line else "" for name, line in script_facts.devices(module).items()}


def _torch_nodes(graph: Any) -> Iterable[Any]:
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _torch_nodes(block)


def _described(name: str, kind: str) -> TensorSpec:
    """An argument or a return value of forward(). TorchScript does not store shapes."""
    return TensorSpec(name=name, dtype="tensor" if kind == "Tensor" else kind, shape=("?",) if kind == "Tensor" else ())


def _module(request: InspectRequest) -> tuple[Any, Any]:
    import torch

    from tritonize.source.worker import loader

    model = LoadRequest(kind=request.kind, location=request.location, kwargs=request.kwargs, weights=request.weights)
    return loader.load_module(model), torch


def _factory(request: InspectRequest) -> Inspection:
    module, torch = _module(request)
    kinds = Counter(type(part).__name__ for part in module.modules() if not list(part.children()))
    from tritonize.source.worker.signature import parameters_of

    parameters = parameters_of(module)
    return Inspection(
        kind=request.kind,
        inputs=tuple(
            TensorSpec(name=parameter.name, dtype="required" if parameter.required else "optional", shape=("?",))
            for parameter in (parameters.named if parameters else ())
        ),
        outputs=(),
        operators=dict(kinds.most_common()),
        parameters=sum(tensor.numel() for tensor in module.parameters()),
        details={"torch": torch.__version__, "class": type(module).__qualname__, **_example(module)},
    )


def _example(module: Any) -> dict[str, object]:
    """The inputs that a module says itself, as Lightning's modules may: names, types, shapes, and the values of integers."""
    example = getattr(module, "example_input_array", None)
    if example is None:
        return {}
    try:
        found = dict(named_arrays.named(example, "example_input_array"))
    except UsageError:
        return {}
    specs = [arrays.spec_of(name, array) for name, array in found.items()]
    ranges = {
        name: [int(array.min()), int(array.max())] for name, array in found.items() if array.dtype.kind in "iu" and array.size
    }
    return {"example": [to_json(each) for each in specs], "example_ranges": ranges}


def _exported_program(request: InspectRequest) -> Inspection:
    import torch

    from tritonize.source.worker.loader import load_program, user_inputs

    program = load_program(request.location)
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = [argument.name for argument in user_inputs(program) if isinstance(placeholders.get(argument.name), torch.Tensor)]
    inputs = tuple(_tensor(name, placeholders[name]) for name in names)
    last = next(node for node in reversed(program.graph.nodes) if node.op == "output")
    outputs = tuple(
        _tensor(f"OUTPUT__{index}", node.meta.get("val")) for index, node in enumerate(last.args[0]) if node is not None
    )[-len(program.graph_signature.user_outputs) :]
    operators = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    ranges = {str(symbol): [int(span.lower), _upper(span.upper)] for symbol, span in program.range_constraints.items()}
    return Inspection(
        kind="exported_program",
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators.most_common()),
        parameters=sum(tensor.numel() for tensor in program.parameters()),
        details={"torch": torch.__version__, "ranges": ranges},
    )


def _upper(value: Any) -> int | None:
    """An upper bound as a number; `None` if the axis is unbounded."""
    return int(value) if value.is_Integer else None


def _tensor(name: str, value: object) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size) for size in getattr(value, "shape", ()))
    return TensorSpec(name=name, dtype=_torch_dtype(getattr(value, "dtype", type(value).__name__)), shape=shape)


def _torch_dtype(dtype: object) -> str:
    text = str(dtype).removeprefix("torch.")
    try:
        return dtypes.by_name(text).name
    except KeyError:
        return text


def _onnx(request: InspectRequest) -> Inspection:
    import onnx

    from tritonize.onnx_model.worker import finishing

    path = Path(request.location)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise UsageError.of(wording.NOT_ONNX, where=str(path), found=str(error).splitlines()[0] or type(error).__name__) from error
    finishing.require_safe_external_data(model, path)
    graph = model.graph
    if not graph.node and not graph.output:
        raise ExportError.of(wording.ONNX_EMPTY, where=str(path))
    initializers = {tensor.name for tensor in graph.initializer}
    operators = Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in finishing.nodes(model))
    return Inspection(
        kind="onnx",
        inputs=finishing.specs([value for value in graph.input if value.name not in initializers], "input"),
        outputs=finishing.specs(graph.output, "output"),
        operators=dict(operators.most_common()),
        parameters=sum(finishing.elements(tensor) for tensor in graph.initializer),
        opset=finishing.opset(model),
        details={
            "ir_version": model.ir_version,
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "domains": {entry.domain: entry.version for entry in model.opset_import if entry.domain not in ("", "ai.onnx")},
            "optional_inputs": sorted(initializers & {value.name for value in graph.input}),
            "external_data": sorted(finishing.external_locations(model)),
        },
    )
