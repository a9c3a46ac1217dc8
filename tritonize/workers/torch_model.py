"""Load a PyTorch model on the CPU, ready to be called with named arrays; runs inside a worker."""

from __future__ import annotations

import importlib
import inspect
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register

from tritonize import arrays, handover, operators
from tritonize.arrays import Array, Arrays
from tritonize.errors import ExportError, UsageError


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """Where the model is and how it is called."""

    kind: str
    """`torchscript`, `exported_program`, `factory` or `module`."""
    location: str
    kwargs: Mapping[str, Any]
    weights: Path | None
    operators: tuple[Path, ...] = ()
    """Files that register operators, run before the model is loaded."""
    inputs: tuple[str, ...]
    """Names of the inputs in the spec's order."""
    outputs: tuple[str, ...]
    """Names wanted for the outputs, in the model's order; empty for the default names."""


class LoadedModel(torch.nn.Module):
    """A model in evaluation mode behind flat tensors: positional tensors in the spec's order in, a tuple of tensors out.

    It is a module itself, so that exporters see the flat form of a model whose own inputs or outputs are nested.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[str],
        outputs: Sequence[str],
        translations: Sequence[operators.Operator] = (),
    ) -> None:
        super().__init__()
        self.translations = tuple(translations)
        self.training = False
        self.module = _evaluating(module)
        self.inputs = tuple(inputs)
        self.wanted_outputs = tuple(outputs)
        self.by_name = _by_name(module, inputs)
        """Whether the inputs are passed as keyword arguments; by position otherwise."""
        self._program_order = _program_order(module, inputs) if isinstance(module, ProgramModule) and inputs else []

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of the module's answer, in order, without what is None in it."""
        return tuple(tensor for _, tensor in name_outputs(self.call(tensors), self.wanted_outputs))

    def call(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The module's own answer."""
        if isinstance(self.module, ProgramModule):
            return self.module(*(tensors[position] for position in self._program_order))
        if self.by_name:
            return self.module(**nested(dict(zip(self.inputs, tensors, strict=True))))
        return self.module(*(tensors[position] for position in _positions(self.inputs)))

    def tensors(self, batch: Mapping[str, Array]) -> tuple[torch.Tensor, ...]:
        """The arrays as tensors, in the spec's order. A sample's file is never written through them."""
        return tuple(to_torch(batch[name]) for name in self.inputs)

    def answer(self, batch: Mapping[str, Array]) -> Arrays:
        """Named outputs for one batch.

        Raises:
            ExportError: the model raises, or answers something that is no tensor.
        """
        try:
            with torch.no_grad():
                answer = self.call(self.tensors(batch))
        except (Exception, RecursionError) as error:
            described = ", ".join(f"{name}: {arrays.dtype_name(batch[name])} {list(batch[name].shape)}" for name in self.inputs)
            raise ExportError(
                "The model raised an error when PyTorch ran it on a sample.",
                where=place(error),
                found=f"{type(error).__name__}: {_last_lines(str(error))}",
                cause=f"a name, shape, type or range of values that the model does not take; it was given {described}",
                next_step=(
                    "correct --input or the spec's inputs (dtype, shape, range, or the step of an axis that takes not every size), "
                    "or give real samples (samples.files)"
                ),
            ) from error
        return {name: to_numpy(tensor) for name, tensor in name_outputs(answer, self.wanted_outputs)}


class ProgramModule(torch.nn.Module):
    """An exported program behind its flat tensors, by the names that it gives them itself.

    Raises:
        UsageError: it takes something beside tensors.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        self.names = tuple(str(name) for name in program.graph_signature.user_inputs)
        self._spec = program.call_spec.in_spec
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        others = [name for name in self.names if not isinstance(values.get(name), torch.Tensor)]
        if others:
            raise UsageError(
                "The exported program takes an input that is no tensor, which nothing can serve.",
                found=", ".join(others),
                next_step="export it with that value as a constant",
            )

    def forward(self, *tensors: torch.Tensor) -> Any:
        """The program's answer to its tensors in its own order."""
        arguments, named = pytree.tree_unflatten(list(tensors), self._spec)
        return self.program(*arguments, **named)


def _evaluating(module: torch.nn.Module) -> torch.nn.Module:
    """The module in evaluation mode; an exported program is in the mode it was captured in, and has no eval()."""
    if not isinstance(module, torch.fx.GraphModule | ProgramModule):
        return module.eval()
    for part in module.modules():
        part.training = False
    return module


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"x.mask": a, "x.image": b, "ys.0": c}` as `{"x": {"mask": a, "image": b}, "ys": [c]}`: a name's dots lead inwards."""
    root: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = root
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner


def load(request: LoadRequest) -> LoadedModel:
    """The model of a request, on the CPU, in evaluation mode.

    Raises:
        UsageError: there is no such model, or its inputs are not the spec's.
        ExportError: it is there and cannot be loaded.
    """
    # Eager PyTorch has a fast path for attention that no exporter knows; both sides take the documented one.
    torch.backends.mha.set_fastpath_enabled(False)
    translations = operators.load(request.operators)
    model = LoadedModel(load_module(request), request.inputs, request.outputs, translations)
    if request.kind == "module":
        _require_callers_answer(model, handover.witness(Path(request.location)))
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
    with torch.no_grad():
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


def load_module(request: LoadRequest) -> torch.nn.Module:
    """The module alone. Raises like `load`."""
    if request.kind == "torchscript":
        return _load_torchscript(request.location)
    if request.kind == "module":
        return _load_handed(request.location)
    if request.kind == "exported_program":
        return ProgramModule(load_program(request.location))
    return _load_factory(request)


def load_program(location: str) -> torch.export.ExportedProgram:
    """A program that torch.export saved.

    Raises:
        ExportError: it was written by another version of torch, or is damaged.
    """
    # torch.export.load falls back to pickles; with this torch itself refuses what is more than tensors.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        return torch.export.load(location)
    except Exception as error:
        raise ExportError(
            "The exported program cannot be loaded.",
            where=location,
            found=_last_lines(str(error)),
            cause="a truncated file, or one that another version of torch wrote",
            next_step=f"save it with torch.export.save under torch {torch.__version__}",
        ) from error


def _load_handed(location: str) -> torch.nn.Module:
    """A module that the caller's own process pickled for this job."""
    try:
        module: torch.nn.Module = torch.load(location, map_location="cpu", weights_only=False)
    except Exception as error:
        raise UsageError(
            "The module cannot be loaded in another process.",
            where=Path(location).stem,
            found=f"{type(error).__name__}: {_last_lines(str(error))}",
            next_step="give a factory instead: package.module:factory",
        ) from error
    return module.to("cpu")


def _load_torchscript(location: str) -> torch.nn.Module:
    try:
        module: torch.nn.Module = torch.jit.load(location, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ExportError(
            "The TorchScript file cannot be loaded.",
            where=location,
            found=_last_lines(str(error)),
            cause="a truncated file, or custom operators that are not registered here",
        ) from error
    return module


def _load_factory(request: LoadRequest) -> torch.nn.Module:
    module_name, _, attribute = request.location.partition(":")
    try:
        owner: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            owner = getattr(owner, part)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"There is no Python module {error.name!r}.",
            where=request.location,
            next_step="run from the folder that holds it, or put it beside the spec file, or install it",
        ) from error
    except AttributeError as error:
        raise UsageError("The module has no such factory.", where=request.location, found=str(error)) from error
    random.seed(0)  # every process that loads the model has to see the same weights
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        module = owner(**request.kwargs)
    except Exception as error:
        raise ExportError(
            "The factory raised an error.",
            where=place(error) or request.location,
            found=f"{type(error).__name__}: {_last_lines(str(error))}",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            "The factory did not return a torch.nn.Module.", where=request.location, found=f"a {type(module).__name__}"
        )
    if request.weights:
        _load_weights(module, request.weights)
    return module.to("cpu")


def _load_weights(module: torch.nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(_state_dict(path))
    except FileNotFoundError as error:
        raise UsageError("There is no such weights file.", where=str(path)) from error
    except Exception as error:
        raise UsageError(
            "The weights do not load into the factory's module.",
            where=str(path),
            found=_last_lines(str(error), 6),
            cause="another architecture, or a pickle with more than tensors in it, which is never loaded",
            next_step="torch.save(module.state_dict(), path) writes a state dict that loads",
        ) from error


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _positions(inputs: Sequence[str]) -> list[int]:
    """In which order inputs go by position: INPUT__0 first, wherever the spec lists it; others as they are listed."""
    if not _numbered(inputs):
        return list(range(len(inputs)))
    return sorted(range(len(inputs)), key=lambda position: int(inputs[position].rpartition("__")[2]))


def _numbered(inputs: Sequence[str]) -> bool:
    return set(inputs) == {f"INPUT__{number}" for number in range(len(inputs))}


def _by_name(module: torch.nn.Module, inputs: Sequence[str]) -> bool:
    """Whether the inputs are named after forward()'s parameters (up to the first dot).

    Raises:
        UsageError: the number of inputs does not fit the signature, or only some names are parameters.
    """
    parameters = parameters_of(module)
    if parameters is None or isinstance(module, ProgramModule):
        return False
    names = [name for name, _ in parameters]
    required = [name for name, is_required in parameters if is_required]
    roots = list(dict.fromkeys(name.partition(".")[0] for name in inputs))
    known = [root for root in roots if root in names]
    kinds = _kinds(module)
    by_keyword = len(known) == len(roots) or (inspect.Parameter.VAR_KEYWORD in kinds and not _numbered(inputs))
    if by_keyword and not set(required) - set(known):
        return True
    clear = _numbered(inputs) or (len(inputs) == 1 and not inputs[0].startswith("INPUT__"))  # one input has one place to go
    too_many = len(inputs) > len(names) and inspect.Parameter.VAR_POSITIONAL not in kinds
    if too_many or len(inputs) < len(required) or (not clear and len(names) > 0):
        raise UsageError(
            "The inputs are not those of the model's forward().",
            expected=", ".join(name if is_required else f"{name} (optional)" for name, is_required in parameters) or "none",
            found=", ".join(inputs),
            next_step="name every input after its parameter, or use INPUT__0, INPUT__1, … in order",
        )
    return False


def _program_order(program: ProgramModule, inputs: Sequence[str]) -> list[int]:
    """Position in the spec of every input of the program, in its order.

    Raises:
        UsageError: the spec's names are neither the program's nor INPUT__0, INPUT__1, …
    """
    if set(inputs) == set(program.names) and len(inputs) == len(program.names):
        return [list(inputs).index(name) for name in program.names]
    one = len(inputs) == 1 and not inputs[0].startswith("INPUT__")
    if len(inputs) == len(program.names) and (_numbered(inputs) or one):
        return _positions(inputs)
    raise UsageError(
        "The inputs are not those of the exported program.",
        expected=", ".join(program.names),
        found=", ".join(inputs),
        next_step="name every input as the program does, or use INPUT__0, INPUT__1, … in order",
    )


def _kinds(module: torch.nn.Module) -> set[Any]:
    """The kinds of forward()'s parameters: whether it takes more than it names."""
    if isinstance(module, torch.jit.ScriptModule):
        return set()
    return {each.kind for each in inspect.signature(module.forward).parameters.values()}


def parameters_of(module: torch.nn.Module) -> list[tuple[str, bool]] | None:
    """forward()'s parameters and whether each is required; `None` where they are open (`*args`) or unknown."""
    if isinstance(module, torch.jit.ScriptModule):
        arguments = list(module._c._get_method("forward").schema.arguments)[1:]
        return [(argument.name, not argument.has_default_value()) for argument in arguments]
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if len(named) == len(parameters):
        return [(each.name, each.default is each.empty) for each in named]
    # Open ends hide nothing of what is named: t5 with `decoder_input_ids` second must not get it as `attention_mask`.
    return [(each.name, each.default is each.empty) for each in named] if named else None


def name_outputs(answer: Any, wanted: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of an answer with their names: a tensor, or tensors in tuples, lists, dicts and registered classes.

    Wanted names go in order. By default a flat answer's are OUTPUT__0, OUTPUT__1, …, a nested one's the path to each, such as
    `boxes` or `features.0`. What is None is left out.

    Raises:
        ExportError: something that is no tensor is among them.
        UsageError: there are more or fewer than names.
    """
    leaves = [(path, leaf) for path, leaf in pytree.tree_flatten_with_path(answer)[0] if leaf is not None]
    if not leaves:
        raise ExportError("The model's output is no tensor.", found=f"a {type(answer).__name__}", expected="tensors")
    if wanted and len(wanted) != len(leaves):
        raise UsageError(
            "The spec names another number of outputs than the model has.",
            expected=f"{len(leaves)} outputs",
            found=f"{len(wanted)}: {', '.join(wanted)}",
        )
    defaults = [".".join(_key(part) for part in path) for path, _ in leaves]
    flat = all(len(path) == 0 or (len(path) == 1 and isinstance(path[0], pytree.SequenceKey)) for path, _ in leaves)
    if flat:
        defaults = [f"OUTPUT__{position}" for position in range(len(leaves))]
    if set(wanted) == set(defaults):
        wanted = defaults  # the model names them itself: then a name means its own tensor, in whatever order it is listed
    elif set(wanted) & set(defaults):
        raise UsageError(
            "Only some of the spec's outputs are named as the model names them.",
            expected=", ".join(defaults),
            found=", ".join(wanted),
            next_step="use the model's names for all outputs, or other names for all of them",
        )
    for position, (path, tensor) in enumerate(leaves):
        default = defaults[position]
        if not isinstance(tensor, torch.Tensor):
            raise ExportError(
                "The model's output is no tensor." if not path else f"Output {default!r} of the model is no tensor.",
                expected="a tensor",
                found=f"a {type(tensor).__name__}",
                next_step="wrap the model so that it returns tensors only",
            )
        yield wanted[position] if wanted else default, tensor


def _key(part: Any) -> str:
    """One step of a path as text: an index, a key, an attribute."""
    found = next((getattr(part, field) for field in ("idx", "key", "name") if hasattr(part, field)), part)
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(found))


def to_torch(array: Array) -> torch.Tensor:
    """A tensor with the array's values, in memory of its own: a model may write into its input."""
    if array.dtype == arrays.BFLOAT16:
        return torch.from_numpy(np.array(array.view(np.uint16))).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def to_numpy(tensor: torch.Tensor) -> Array:
    """The tensor's values; bfloat16 as ml_dtypes.bfloat16."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ExportError(
            "An output is a sparse or quantized tensor, which Triton cannot serve.", found=f"{tensor.layout}, {tensor.dtype}"
        )
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(arrays.BFLOAT16)
    return tensor.resolve_conj().numpy()


def place(error: BaseException) -> str | None:
    """File and line of the user's code that raised, where it is not torch's."""
    traceback, place = error.__traceback__, None
    while traceback:
        filename = traceback.tb_frame.f_code.co_filename
        if "site-packages" not in filename and "/tritonize/" not in filename and not filename.startswith("<"):
            place = f"{filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _last_lines(text: str, count: int = 3) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:] if line.strip())
