"""Export a PyTorch model to ONNX; runs inside a worker.

`STRATEGIES` is the table: each entry is a plain function that writes an ONNX file.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tritonize import arrays
from tritonize.artifacts import TensorFiles, TensorSpec, from_json
from tritonize.errors import ExportError
from tritonize.operators import Operator
from tritonize.workers import rescues, symbolic_sizes
from tritonize.workers.stopwatch import Stopwatch
from tritonize.workers.torch_model import LoadedModel, LoadRequest, load, place

DYNAMO_OPSET = 18
"""The lowest opset that the dynamo exporter writes; below it, it keeps 18 and only logs that."""
Tensors = Sequence[torch.Tensor]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export, and how."""

    model: LoadRequest
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """As the reference found them, with the batch axis by name where the model is batched."""
    example: TensorFiles
    strategy: str
    opset: int
    path: Path


def run(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `ExportRequest` in; the file is written to `path`, the answer says what it cost."""
    asked = from_json(ExportRequest, request)
    watch = Stopwatch()
    with watch.library():
        model = load(asked.model)
        tensors = model.tensors(arrays.load(asked.example, 0))
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a TracerWarning is no guide: the comparison decides
                STRATEGIES[asked.strategy](model, tensors, asked)
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(
                f"PyTorch's {asked.strategy} exporter could not export the model.",
                where=place(error),
                found=_reason(error),
                cause="an operator or a construct that this exporter does not know",
            ) from error
    return {"library_seconds": watch.seconds, "torch": torch.__version__}


def _reason(error: BaseException) -> str:
    """The innermost cause in one line, without colours: the outer messages of the exporters are advice of pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _legacy(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> None:
    """The TorchScript-based exporter: takes ScriptModules, and traces the others."""
    module: torch.nn.Module = model
    if isinstance(model.module, torch.jit.ScriptModule):
        plain = not model.by_name and isinstance(model.call(tensors), torch.Tensor | tuple)
        module = model.module if plain else torch.jit.trace(model, tuple(tensors), check_trace=False)  # type: ignore[no-untyped-call]
    for each in model.translations:
        if each.opset <= asked.opset:
            torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
                each.name, _symbolic(each, asked.opset), asked.opset
            )
    torch.onnx.export(
        module,
        tuple(tensors),
        str(asked.path),
        dynamo=False,
        input_names=[tensor.name for tensor in asked.inputs],
        output_names=[tensor.name for tensor in asked.outputs],
        dynamic_axes={tensor.name: _dynamic(tensor) for tensor in (*asked.inputs, *asked.outputs) if _dynamic(tensor)},
        opset_version=asked.opset,
    )


def _symbolic(each: Operator, opset: int) -> Callable[..., Any]:
    """The user's function as the legacy exporter calls it: with its graph, and arguments that may be None or constants."""
    function = _script(each, opset)
    wanted = len(inspect.signature(each.function).parameters)

    def symbolic(g: Any, *arguments: Any) -> Any:
        return g.onnxscript_op(function, *arguments[:wanted]).setTypeAs(arguments[0])

    return symbolic


def _script(each: Operator, opset: int) -> Any:
    """The user's function compiled by onnxscript."""
    import onnxscript

    local = onnxscript.values.Opset("tritonize.local", 1)
    return onnxscript.script(local, default_opset=_bind(each, opset))(each.function)


def _bind(each: Operator, opset: int) -> Any:
    """Let the function's file use the opset that is asked for, whichever it imported: a model has one version of it."""
    import onnxscript

    wanted = getattr(onnxscript, f"opset{opset}")
    names = each.function.__globals__
    for name in [name for name, value in names.items() if isinstance(value, onnxscript.values.Opset) and not value.domain]:
        names[name] = wanted
    return wanted


def _translations(model: LoadedModel, opset: int) -> dict[Any, Any]:
    """The user's functions as the dynamo exporter takes them, by overload."""
    table = {}
    for each in model.translations:
        if each.opset <= opset:
            packet = getattr(getattr(torch.ops, each.namespace), each.operator)
            _bind(each, max(opset, DYNAMO_OPSET))
            table[getattr(packet, each.overload)] = each.function  # traced as it is, so nothing is left to inline
    return table


def _dynamo(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> None:
    """The torch.export-based exporter: takes modules whose Python code can be captured."""
    _write(_captured(model, tensors, asked), model, asked)


def _dynamo_decomposed(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> None:
    """The same with sizes kept symbolic, and operators that have no ONNX function, or another one, in terms of others."""
    with symbolic_sizes.kept(model):
        captured = _captured(model, tensors, asked)
    _write(rescues.decomposed(captured), model, asked)


def _converted(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> None:
    """TorchScript turned into an exported program, then as `dynamo`."""
    _write(_recaptured(model, tensors, asked), model, asked)


def _converted_decomposed(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> None:
    """The same with operators that have no ONNX function in terms of others."""
    _write(rescues.decomposed(_recaptured(model, tensors, asked)), model, asked)


def _captured(module: torch.nn.Module, tensors: Tensors, asked: ExportRequest) -> torch.export.ExportedProgram:
    shapes = tuple(dict.fromkeys(_dynamic(tensor), torch.export.Dim.DYNAMIC) for tensor in asked.inputs)
    # One group of shapes for the one variadic parameter of `LoadedModel.forward`.
    return torch.export.export(module, tuple(tensors), dynamic_shapes=(shapes,), strict=False)


def _recaptured(model: LoadedModel, tensors: Tensors, asked: ExportRequest) -> torch.export.ExportedProgram:
    """The converter makes every size symbolic or none; capturing its module again makes dynamic what was asked for."""
    from torch._export.converter import TS2EPConverter  # private, and the only way from TorchScript to torch.export

    flat = torch.jit.trace(model, tuple(tensors), check_trace=False)  # type: ignore[no-untyped-call]
    program = TS2EPConverter(flat, tuple(tensors)).convert()
    shapes = tuple(dict.fromkeys(_dynamic(tensor), torch.export.Dim.DYNAMIC) for tensor in asked.inputs)
    return torch.export.export(program.module(), tuple(tensors), dynamic_shapes=shapes, strict=False)


def _write(program: torch.export.ExportedProgram, model: LoadedModel, asked: ExportRequest) -> None:
    if asked.opset < DYNAMO_OPSET:
        raise ExportError(
            "The dynamo exporter does not write that opset.",
            expected=f"opset {DYNAMO_OPSET} or newer",
            found=f"opset {asked.opset}",
        )
    made = torch.onnx.export(
        program,
        dynamo=True,
        input_names=[tensor.name for tensor in asked.inputs],
        output_names=[tensor.name for tensor in asked.outputs],
        opset_version=asked.opset,
        custom_translation_table={**rescues.TRANSLATIONS, **_translations(model, asked.opset)},
        verbose=False,
    )
    if made is None:
        raise ExportError("The exporter returned nothing.")
    # The weights beside the graph: inside it, serializing would hold them in memory several times over.
    made.save(str(asked.path), external_data=True)


def _dynamic(tensor: TensorSpec) -> dict[int, str]:
    return {axis: size for axis, size in enumerate(tensor.shape) if isinstance(size, str)}


Strategy = Callable[[LoadedModel, Tensors, ExportRequest], None]
STRATEGIES: dict[str, Strategy] = {
    "legacy": _legacy,
    "dynamo": _dynamo,
    "dynamo_decomposed": _dynamo_decomposed,
    "converted": _converted,
    "converted_decomposed": _converted_decomposed,
}
