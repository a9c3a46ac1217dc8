"""A PyTorch model on the CPU, ready to be called with named arrays; runs inside a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tritonize.core import arrays, call_arguments
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import CodePlace, ExportError, ModelRaisedError, UsageError
from tritonize.core.messages import source as source_wording
from tritonize.core.messages import state as wording
from tritonize.source import in_process, operators
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import modes, script_errors, script_facts
from tritonize.source.worker.loader import ProgramModule, load_module, place
from tritonize.source.worker.script_errors import last_lines
from tritonize.source.worker.signature import name_outputs, parameters_of, program_order


class LoadedModel(torch.nn.Module):
    """A model in evaluation mode behind flat tensors: positional tensors in the spec's order in, a tuple of tensors out.

    It is a module itself, so that exporters see the flat form of a model whose own inputs or outputs are nested.
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
        self.found = modes.Found(training=(), compiled=(), fast_path=False)
        """How the module was loaded, before that was changed."""
        self.inputs = tuple(inputs)
        self.wanted_outputs = tuple(outputs)
        self.how = call_arguments.bind(parameters_of(module), inputs)
        self._program_order = program_order(module, inputs) if isinstance(module, ProgramModule) and inputs else []

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of the module's answer, in order, without what is None in it."""
        return tuple(tensor for _, tensor in name_outputs(self.call(tensors), self.wanted_outputs, self.inputs))

    def call(self, tensors: Sequence[torch.Tensor]) -> object:
        """The module's own answer."""
        if isinstance(self.module, ProgramModule):
            return self.module(*(tensors[position] for position in self._program_order))
        arguments, named = self.how.arguments(tensors)
        return self.module(*arguments, **named)

    def renamed(self, batch: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, str]:
        """The model's own names of outputs that are called otherwise, since an input has them, to their names.

        Args:
            batch: the model runs on it where one of the names looks like that.
            outputs: the names of its answer.
        """
        if not any(name.startswith(each) and name.endswith("_out") for name in outputs for each in self.inputs):
            return {}
        with torch.no_grad():
            answer = self.call(self.tensors(batch))
        own, found = ([name for name, _ in name_outputs(answer, (), inputs)] for inputs in ((), self.inputs))
        return {one: other for one, other in zip(own, found, strict=True) if one != other and other in outputs}

    def tensors(self, batch: Mapping[str, Array]) -> tuple[torch.Tensor, ...]:
        """The arrays as tensors, in the spec's order. A sample's file is never written through them."""
        return tuple(to_torch(batch[name]) for name in self.inputs)

    def run(self, batch: Mapping[str, Array]) -> Arrays:
        """Named outputs for one batch.

        Raises:
            ModelRaisedError: the model raises.
            ExportError: it wants a GPU, or answers something that is no tensor.
        """
        try:
            with torch.no_grad():
                answer = self.call(self.tensors(batch))
        except (Exception, RecursionError) as error:
            raise self._raised(error, batch) from error
        return {name: to_numpy(tensor) for name, tensor in name_outputs(answer, self.wanted_outputs, self.inputs)}

    def _raised(self, error: BaseException, batch: Mapping[str, Array]) -> ExportError:
        """The error of a model that raised on a batch."""
        text = str(error)
        line, found = place(error) or script_errors.place(text), f"{type(error).__name__}: {last_lines(text)}"
        where = CodePlace(line=line) if line else None
        if script_errors.wants_gpu(text):
            if frozen := script_facts.devices(self.module):
                device = ", ".join(f"{name} at {line}" if line else name for name, line in frozen.items())
                return ExportError.of(source_wording.FROZEN_DEVICE, where=where, found=found, device=device)
            return ExportError.of(source_wording.WANTS_GPU, where=where, found=found)
        if isinstance(error, ModuleNotFoundError):
            return ExportError.of(source_wording.MISSING_MODULE, where=where, found=found, module=error.name or last_lines(text))
        described = ", ".join(f"{name}: {arrays.dtype_name(batch[name])} {list(batch[name].shape)}" for name in self.inputs)
        return ModelRaisedError.of(source_wording.MODEL_RAISED, where=where, found=found, described=described)


def load(request: LoadRequest) -> LoadedModel:
    """The model of a request, on the CPU, in evaluation mode unless the request keeps the mode, and without torch.compile.

    Raises:
        UsageError: there is no such model, or its inputs are not the spec's.
        ExportError: it is there and cannot be loaded.
    """
    torch.backends.mha.set_fastpath_enabled(True)  # as in every new process; the user's code may say otherwise
    translations = operators.load(request.operators)
    module = load_module(request)
    found = modes.found(module)
    # Eager PyTorch has a fast path for attention that no exporter knows; both sides take the documented one.
    torch.backends.mha.set_fastpath_enabled(request.fast_path)
    settled = modes.settled(module, keep_training=request.training == "keep")
    model = LoadedModel(settled, request.inputs, request.outputs, translations=translations)
    model.found = found
    if request.kind == "module":
        _require_callers_answer(model, in_process.witness(Path(request.location)))
    return model


def _require_callers_answer(model: LoadedModel, witness: Path) -> None:
    """Compare with what the caller's own process answered to the example, where that is known.

    Raises:
        UsageError: another answer: classes are imported by name, and there they may be other code.
    """
    if not witness.is_file():
        return
    told = torch.load(witness, map_location="cpu", weights_only=True)
    if set(told["inputs"]) != set(model.inputs):
        return  # the inputs were described apart from the example
    if not told["fast_path"]:
        model.found = replace(model.found, fast_path=False)  # the caller has switched it off
    with torch.no_grad(), modes.fast_path(enabled=False), modes.evaluating(model.module):
        found = model(*(told["inputs"][name] for name in model.inputs))
    same = len(found) == len(told["outputs"]) and all(
        one.shape == other.shape and torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5, equal_nan=True)
        for one, other in zip(found, told["outputs"], strict=True)
    )
    if not same:
        raise UsageError(
            "The module answers otherwise in another process than in yours.",
            cause="its class is imported there by name, without a global or a method that was changed, as the file is now",
            next_step="make what it depends on a part of the module, or give a factory: package.module:factory",
        )


def to_torch(array: Array) -> torch.Tensor:
    """A tensor with the array's values, in memory of its own: a model may write into its input."""
    if array.dtype == arrays.BFLOAT16:
        return torch.from_numpy(np.array(array.view(np.uint16))).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def to_numpy(tensor: torch.Tensor) -> Array:
    """The tensor's values; bfloat16 as ml_dtypes.bfloat16."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        raise ExportError.of(wording.OUTPUT_TYPE, found=f"{tensor.layout}, {tensor.dtype}, on {tensor.device}")
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(arrays.BFLOAT16)
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except TypeError as error:  # float8 and others that NumPy has no type for
        raise ExportError.of(wording.OUTPUT_TYPE, found=str(tensor.dtype)) from error
