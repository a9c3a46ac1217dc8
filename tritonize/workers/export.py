"""Export a PyTorch model to ONNX; runs inside a worker.

`STRATEGIES` is the table: each entry is a plain function that writes an ONNX file.
"""

from __future__ import annotations

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
from tritonize.workers.stopwatch import Stopwatch
from tritonize.workers.torch_model import LoadedModel, LoadRequest, load, name_outputs

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
        tensors = model.arguments(arrays.load(asked.example, 0))
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a TracerWarning is no guide: the comparison decides
                STRATEGIES[asked.strategy](model, tensors, asked)
        except Exception as error:
            raise ExportError(
                f"PyTorch's {asked.strategy} exporter could not export the model.",
                where=asked.model.location,
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


class _Tuple(torch.nn.Module):
    """A module whose outputs are a flat tuple, for answers that come as a dict or a list."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self.module = model.module
        self.keywords = model.keywords
        self.outputs = model.wanted_outputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.module(**dict(zip(self.keywords, tensors, strict=True))) if self.keywords else self.module(*tensors)
        return tuple(tensor for _, tensor in name_outputs(answer, self.outputs))


def _legacy(model: LoadedModel, tensors: Sequence[torch.Tensor], asked: ExportRequest) -> None:
    """The TorchScript-based exporter: takes ScriptModules, and traces the others."""
    module = model.module
    if model.keywords or not isinstance(model.call(tensors), torch.Tensor | tuple):
        module = _Tuple(model)
        if isinstance(model.module, torch.jit.ScriptModule):
            module = torch.jit.trace(module, tuple(tensors), check_trace=False)  # type: ignore[no-untyped-call]
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


def _dynamo(model: LoadedModel, tensors: Sequence[torch.Tensor], asked: ExportRequest) -> None:
    """The torch.export-based exporter: takes modules whose Python code can be captured."""
    axes = {name: torch.export.Dim(name) for tensor in asked.inputs for name in _dynamic(tensor).values()}
    shapes = [{axis: axes[name] for axis, name in _dynamic(tensor).items()} for tensor in asked.inputs]
    program = torch.onnx.export(
        model.module,
        () if model.keywords else tuple(tensors),
        kwargs=dict(zip(model.keywords, tensors, strict=True)) if model.keywords else None,
        dynamo=True,
        input_names=[tensor.name for tensor in asked.inputs],
        output_names=[tensor.name for tensor in asked.outputs],
        dynamic_shapes=dict(zip(model.keywords, shapes, strict=True)) if model.keywords else tuple(shapes),
        opset_version=asked.opset,
        verbose=False,
    )
    if program is None:
        raise ExportError("The exporter returned nothing.")
    # The weights beside the graph: inside it, serializing would hold them in memory several times over.
    program.save(str(asked.path), external_data=True)


def _dynamic(tensor: TensorSpec) -> dict[int, str]:
    return {axis: size for axis, size in enumerate(tensor.shape) if isinstance(size, str)}


Strategy = Callable[[LoadedModel, Sequence[torch.Tensor], ExportRequest], None]
STRATEGIES: dict[str, Strategy] = {"legacy": _legacy, "dynamo": _dynamo}
