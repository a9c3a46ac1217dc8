"""Export a PyTorch model to ONNX. Runs in a worker process.

`STRATEGIES` maps each name to a function that writes an ONNX file and returns the path of the user's module in the exported
program.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any  # Any: torch.onnx.TrainingMode is an enum without a public type

import torch

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorSpec
from tritonize.core.errors import ExportError, TritonizeError, UsageError
from tritonize.core.messages import export as wording
from tritonize.export.tasks import ExportRequest, ExportResult
from tritonize.export.worker import (
    custom_operators,
    decisions,
    decompositions,
    deferred_weights,
    failures,
    legacy_operators,
    symbolic_sizes,
)
from tritonize.export.worker.custom_operators import DYNAMO_OPSET
from tritonize.export.worker.export_checks import ExportedWays
from tritonize.export.worker.swallowed_errors import SwallowedErrors
from tritonize.onnx_model.worker import ports
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.worker import determinism
from tritonize.source.worker import modes
from tritonize.source.worker.loader import ProgramModule
from tritonize.source.worker.torch_model import LoadedModel, load

SCOPE = "module"
"""Attribute of `LoadedModel` that holds the user's module, and so the module's path in the exported program."""
Tensors = Sequence[torch.Tensor]


def run(request: ExportRequest) -> ExportResult:
    """The task: write the file to `path`."""
    watch = Stopwatch()
    with watch.library():
        model = load(request.model)
        _require_same_model(request, model)
        tensors = model.tensors(arrays.load(request.example, 0))
        recorder, refused, ways = decisions.Recorder(len(tensors), model), SwallowedErrors(), ExportedWays(model)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer's own are recorded
                # A tracer freezes what is read off a tensor; torch.export refuses it, which the model's code may catch.
                with ways.watching(), recorder.watching() if request.strategy in TRACING else refused.watching():
                    scope = STRATEGIES[request.strategy](model, tensors, request)
        except TritonizeError:
            raise
        except Exception as error:
            if fixed := failures.fixed_axis(error, request.inputs, request.strategy):
                raise fixed from error
            if failures.autocasts(model.module):
                raise ExportError.of(
                    wording.AUTOCAST_IN_SCRIPT,
                    where=failures.place(error, model.module),
                    found=failures.reason(error),
                    strategy=request.strategy,
                ) from error
            raise ExportError(
                wording.EXPORT_FAILED.text(strategy=request.strategy),
                where=failures.place(error, model.module),
                found=failures.reason(error),
                cause=wording.EXPORT_FAILED.cause,
                next_step=failures.next_step(error),
                code=wording.EXPORT_FAILED.code,
            ) from error
        found = (
            *decisions.found(model, tensors, _inputs(model, request.samples), first=recorder.run),
            *refused.found(model, _inputs(model, request.samples), tensors),
        )
    return ExportResult(
        library_seconds=watch.seconds,
        torch=torch.__version__,
        scope=scope,
        modules=_modules(model),
        decisions=found,
        ways=tuple(ways.places),
        warned=tuple(recorder.warned),
    )


def _input_names(request: ExportRequest) -> list[str]:
    """What the inputs are called in the exported file; `finishing.finish` gives them their own names."""
    return ports.exported_as("input", request.inputs)


def _output_names(request: ExportRequest) -> list[str]:
    """Likewise the outputs."""
    return ports.exported_as("output", request.outputs)


def _inputs(model: LoadedModel, samples: SampleSet | None) -> Iterator[tuple[torch.Tensor, ...]]:
    if samples is not None:
        for index in range(samples.files.count):
            yield model.tensors(arrays.load(samples.files, index))


def _require_same_model(request: ExportRequest, model: LoadedModel) -> None:
    if request.state is not None and determinism.checksum(determinism.fingerprint(model.module)) != request.state:
        raise UsageError.of(wording.SOURCE_NOT_REPRODUCIBLE, where=request.model.location)


def _legacy(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> str:
    """Use the TorchScript-based exporter: it accepts ScriptModules and traces other modules."""
    module: torch.nn.Module = model
    if isinstance(model.module, torch.jit.ScriptModule):
        plain = model.assignment.plain and isinstance(model.call(tensors), torch.Tensor | tuple)
        module = model.module if plain else torch.jit.trace(model, tuple(tensors), check_trace=False)  # type: ignore[no-untyped-call]
    legacy_operators.register()
    for each in model.translations:
        if each.opset <= request.opset:
            torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
                each.name, custom_operators.symbolic_function(each, request.opset), request.opset
            )
    scope = "" if module is model.module else _scope(model)
    graph = request.path.with_name("graph.txt")
    try:
        with failures.printing_to(graph), deferred_weights.deferred(model, request.path):
            torch.onnx.export(
                module,
                tuple(tensors),
                str(request.path),
                dynamo=False,
                input_names=_input_names(request),
                output_names=_output_names(request),
                dynamic_axes=_dynamic_axes(request),
                opset_version=request.opset,
                training=_mode(model),
                verbose=True,  # keeps the lines of the user's code in the file
            )
    except torch.onnx.errors.UnsupportedOperatorError as error:
        raise failures.unsupported_in_graph(error, graph, scope) from error
    return scope


def _mode(model: LoadedModel) -> Any:
    """Return the training mode for the exporter, which switches a model to evaluation mode unless it gets PRESERVE."""
    kept = any(modes.is_training(part) for part in model.module.modules())
    return torch.onnx.TrainingMode.PRESERVE if kept else torch.onnx.TrainingMode.EVAL


def _dynamo(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> str:
    """Use the torch.export-based exporter, for modules whose Python code can be captured."""
    return _write(_captured(model, tensors, request), model, request)


def _dynamo_decomposed(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> str:
    """Like `_dynamo`, with sizes kept symbolic and operators decomposed that have no ONNX function or an inexact one."""
    with symbolic_sizes.preserved(model):
        captured = _captured(model, tensors, request)
    return _write(decompositions.decomposed(captured), model, request)


def _converted(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> str:
    """Convert TorchScript to an exported program, then go on as `_dynamo`."""
    return _write(_recaptured(model, tensors, request), model, request)


def _converted_decomposed(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> str:
    """Like `_converted`, with operators decomposed that have no ONNX function."""
    return _write(decompositions.decomposed(_recaptured(model, tensors, request)), model, request)


def _captured(module: torch.nn.Module, tensors: Tensors, request: ExportRequest) -> torch.export.ExportedProgram:
    shapes = tuple(dict.fromkeys(_dynamic(tensor), torch.export.Dim.DYNAMIC) for tensor in request.inputs)
    # One group of shapes for the one variadic parameter of `LoadedModel.forward`.
    return torch.export.export(module, tuple(tensors), dynamic_shapes=(shapes,), strict=False)


def _recaptured(model: LoadedModel, tensors: Tensors, request: ExportRequest) -> torch.export.ExportedProgram:
    """Convert and capture again: the converter makes all sizes symbolic or none, the second capture only those of the spec."""
    from torch._export.converter import TS2EPConverter  # private, and the only way from TorchScript to torch.export

    flat = torch.jit.trace(model, tuple(tensors), check_trace=False)  # type: ignore[no-untyped-call]
    program = TS2EPConverter(flat, tuple(tensors)).convert()
    shapes = tuple(dict.fromkeys(_dynamic(tensor), torch.export.Dim.DYNAMIC) for tensor in request.inputs)
    return torch.export.export(program.module(), tuple(tensors), dynamic_shapes=shapes, strict=False)


def _write(program: torch.export.ExportedProgram, model: LoadedModel, request: ExportRequest) -> str:
    if request.opset < DYNAMO_OPSET:
        raise ExportError.of(
            wording.EXPORTER_OPSET,
            expected=f"opset {DYNAMO_OPSET} or newer",
            found=f"opset {request.opset}",
            opset=request.opset,
            lowest=DYNAMO_OPSET,
        )
    try:
        written = torch.onnx.export(
            program,
            dynamo=True,
            input_names=_input_names(request),
            output_names=_output_names(request),
            opset_version=request.opset,
            custom_translation_table={**decompositions.TRANSLATIONS, **custom_operators.translations(model, request.opset)},
            verbose=False,
        )
    except Exception as error:
        untranslated = failures.untranslated(error, program, _scope(model))
        if untranslated is None:
            raise
        raise untranslated from error
    if written is None:
        raise ExportError.of(wording.EXPORTER_SILENT)
    # Save the weights in a file of their own: inside the graph, serializing would hold them in memory several times.
    written.save(str(request.path), external_data=True)
    return _scope(model)


def _modules(model: LoadedModel) -> tuple[str, ...]:
    """Return the paths of the user's modules."""
    root = model.module.program if isinstance(model.module, ProgramModule) else model.module
    return tuple(name for name, _ in root.named_modules())


def _scope(model: LoadedModel) -> str:
    """Return the path of the user's module in a program that is exported through the wrapper."""
    return f"{SCOPE}.program" if isinstance(model.module, ProgramModule) else SCOPE


def _dynamic(tensor: TensorSpec) -> dict[int, str]:
    return {axis: size for axis, size in enumerate(tensor.shape) if isinstance(size, str)}


def _dynamic_axes(request: ExportRequest) -> dict[str, dict[int, str]]:
    """Return the dynamic axes by the names in the exported file."""
    named = (*zip(_input_names(request), request.inputs, strict=True), *zip(_output_names(request), request.outputs, strict=True))
    return {name: axes for name, tensor in named if (axes := _dynamic(tensor))}


TRACING = ("legacy", "converted", "converted_decomposed")
"""Strategies that trace one run of the model."""
Strategy = Callable[[LoadedModel, Tensors, ExportRequest], str]
STRATEGIES: dict[str, Strategy] = {
    "legacy": _legacy,
    "dynamo": _dynamo,
    "dynamo_decomposed": _dynamo_decomposed,
    "converted": _converted,
    "converted_decomposed": _converted_decomposed,
}
