"""A PyTorch model on the CPU that is called with named arrays; runs inside a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from tritonize.core import arrays, call_arguments
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import CodePlace, ExportError, ModelRaisedError, UsageError
from tritonize.core.messages import source as wording
from tritonize.core.messages import state as state_wording
from tritonize.source import in_process, operators
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import modes, script_errors, script_facts
from tritonize.source.worker.loader import ProgramModule, load_module, user_line
from tritonize.source.worker.script_errors import last_lines
from tritonize.source.worker.signature import name_outputs, parameters_of, program_order


class LoadedModel(torch.nn.Module):
    """A model in evaluation mode with flat arguments: positional tensors in the spec's order in, a tuple of tensors out.

    It is itself a module, so that exporters see the flat form of a model with nested inputs or outputs.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        translations: Sequence[operators.Operator] = (),
    ) -> None:
        super().__init__()
        self.translations = tuple(translations)
        self.training = False
        self.module = module
        self.as_loaded = modes.AsLoaded(training=(), compiled=(), fast_path=False)
        """The state of the module before tritonize changed it."""
        self.inputs = tuple(inputs)
        self.output_names = tuple(outputs)
        """The names from the spec; empty for the default names."""
        self.assignment = call_arguments.bind(parameters_of(module), inputs)
        self._program_order = program_order(module, inputs) if isinstance(module, ProgramModule) and inputs else []

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of the module's output, in order, without `None`."""
        return tuple(tensor for _, tensor in name_outputs(self.call(tensors), self.output_names, self.inputs))

    def call(self, tensors: Sequence[torch.Tensor]) -> object:
        """The module's output in its own form."""
        if isinstance(self.module, ProgramModule):
            return self.module(*(tensors[position] for position in self._program_order))
        arguments, named = self.assignment.arguments(tensors)
        return self.module(*arguments, **named)

    def renamed_outputs(self, batch: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, str]:
        """The outputs that were renamed because an input has their name: the model's own name to the new name.

        Args:
            batch: the model runs on it if a name in `outputs` looks like such a new name.
            outputs: the names of the model's outputs as they are now.
        """
        if not any(name.startswith(each) and name.endswith("_out") for name in outputs for each in self.inputs):
            return {}
        with torch.no_grad():
            output = self.call(self.tensors(batch))
        before, after = ([name for name, _ in name_outputs(output, (), inputs)] for inputs in ((), self.inputs))
        return {old: new for old, new in zip(before, after, strict=True) if old != new and new in outputs}

    def tensors(self, batch: Mapping[str, Array]) -> tuple[torch.Tensor, ...]:
        """The arrays as tensors, in the spec's order. They are copies, so the model cannot write into a sample's file."""
        return tuple(to_torch(batch[name]) for name in self.inputs)

    def run(self, batch: Mapping[str, Array]) -> Arrays:
        """The named outputs for one batch.

        Raises:
            ModelRaisedError: the model raises.
            ExportError: the model requires a GPU, or a value in its output is not a tensor.
        """
        try:
            with torch.no_grad():
                output = self.call(self.tensors(batch))
        except (Exception, RecursionError) as error:
            raise self._raised(error, batch) from error
        return {name: to_numpy(tensor) for name, tensor in name_outputs(output, self.output_names, self.inputs)}

    def _raised(self, error: BaseException, batch: Mapping[str, Array]) -> ExportError:
        """The error to raise for a model that raised on a batch."""
        text = str(error)
        line, found = user_line(error) or script_errors.user_line(text), last_lines(text)
        kind = f"{type(error).__name__}: "
        found = found if found.startswith(kind) else f"{kind}{found}"  # TorchScript's texts begin with the kind
        where = CodePlace(line=line) if line else None
        if script_errors.requires_gpu(text):
            if frozen := script_facts.devices(self.module):
                device = ", ".join(f"{name} at {line}" if line else name for name, line in frozen.items())
                return ExportError.of(wording.FROZEN_DEVICE, where=where, found=found, device=device)
            return ExportError.of(wording.WANTS_GPU, where=where, found=found)
        if isinstance(error, ModuleNotFoundError):
            return ExportError.of(wording.MISSING_MODULE, where=where, found=found, module=error.name or last_lines(text))
        described = ", ".join(f"{name}: {arrays.dtype_name(batch[name])} {list(batch[name].shape)}" for name in self.inputs)
        return ModelRaisedError.of(wording.MODEL_RAISED, where=where, found=found, described=described)


def load(request: LoadRequest) -> LoadedModel:
    """Load the model onto the CPU without torch.compile, in evaluation mode unless the request keeps the mode.

    Raises:
        UsageError: the model does not exist, or its inputs do not match the spec.
        ExportError: the model exists and cannot be loaded.
    """
    torch.backends.mha.set_fastpath_enabled(True)  # as in every new process; the user's code may switch it off
    translations = operators.load(request.operators)
    module = load_module(request)
    as_loaded = modes.as_loaded(module)
    # No exporter knows attention's fast path of eager PyTorch, so PyTorch and the export both take the documented path.
    torch.backends.mha.set_fastpath_enabled(request.fast_path)
    prepared = modes.prepared(module, keep_training=request.training == "keep")
    model = LoadedModel(prepared, request.inputs, request.outputs, translations=translations)
    model.as_loaded = as_loaded
    if request.kind == "module":
        _require_callers_outputs(model, in_process.expected_outputs_file(Path(request.location)))
    return model


def _require_callers_outputs(model: LoadedModel, path: Path) -> None:
    """Compare the outputs for the example with those of the caller's own process, if they were saved.

    Raises:
        UsageError: they differ; the worker imports classes by name and may import other code.
    """
    if not path.is_file():
        return
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if set(saved["inputs"]) != set(model.inputs):
        return  # the inputs were described apart from the example
    if not saved["fast_path"]:
        model.as_loaded = replace(model.as_loaded, fast_path=False)  # the caller switched it off
    with torch.no_grad(), modes.fast_path(enabled=False), modes.evaluating(model.module):
        outputs = model(*(saved["inputs"][name] for name in model.inputs))
    same = len(outputs) == len(saved["outputs"]) and all(
        one.shape == other.shape and torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5, equal_nan=True)
        for one, other in zip(outputs, saved["outputs"], strict=True)
    )
    if not same:
        raise UsageError.of(wording.MODULE_DIFFERS)


def to_torch(array: Array) -> torch.Tensor:
    """A tensor with a copy of the array's values, since a model may write into its input. Text stays a NumPy array of `str`."""
    if array.dtype == object:
        return cast("torch.Tensor", np.array(array))  # PyTorch has no text; the source of an ensemble may take it
    if array.dtype == arrays.BFLOAT16:
        return torch.from_numpy(np.array(array.view(np.uint16))).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def to_numpy(tensor: torch.Tensor) -> Array:
    """The tensor's values; bfloat16 becomes ml_dtypes.bfloat16.

    Raises:
        ExportError: NumPy has no form for this kind of tensor.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        raise ExportError.of(state_wording.OUTPUT_TYPE, found=f"{tensor.layout}, {tensor.dtype}, on {tensor.device}")
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(arrays.BFLOAT16)
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except TypeError as error:  # float8 and other types that NumPy lacks
        raise ExportError.of(state_wording.OUTPUT_TYPE, found=str(tensor.dtype)) from error
