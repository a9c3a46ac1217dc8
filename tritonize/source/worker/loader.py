"""The user's module, from wherever it is: TorchScript, an exported program, a factory, or the caller's own process; in a worker."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # Any: torch.export's signature and tree specs have no public types

import numpy as np
import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register
from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument

from tritonize.core import nested
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import source as source_wording
from tritonize.onnx_model.worker.origins import is_standard
from tritonize.source import model_files
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import module_state, operators_used, weights
from tritonize.source.worker.script_errors import last_lines, wants_gpu


class ProgramModule(torch.nn.Module):
    """An exported program behind its flat tensors, by the names that it gives them itself.

    What it was exported with beside tensors, such as None for an optional input, is part of it and passed again.

    Raises:
        UsageError: it takes a number that may vary.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        self._spec = program.call_spec.in_spec
        taken = user_inputs(program)
        self._constants = [None if isinstance(each, TensorArgument) else getattr(each, "value", None) for each in taken]
        self._places = [place for place, each in enumerate(taken) if isinstance(each, TensorArgument)]
        self.names = tuple(taken[place].name for place in self._places)
        paths = _paths(self._spec)
        self.paths = tuple(paths[place] for place in self._places)
        """The same by their places in the arguments: `INPUT__0`, `INPUT__1.mask`, `image`."""

    def forward(self, *tensors: torch.Tensor) -> object:
        """The program's answer to its tensors in its own order."""
        leaves = list(self._constants)
        for place, tensor in zip(self._places, tensors, strict=True):
            leaves[place] = tensor
        arguments, named = pytree.tree_unflatten(leaves, self._spec)
        return self.program(*arguments, **named)


def user_inputs(program: torch.export.ExportedProgram) -> list[Any]:
    """What a program is called with, in its order: tensors, and constants with the value that it was exported for.

    Raises:
        UsageError: it takes a number that may vary.
    """
    taken = [each.arg for each in program.graph_signature.input_specs if each.kind == InputKind.USER_INPUT]
    if others := [each.name for each in taken if not isinstance(each, TensorArgument | ConstantArgument)]:
        raise UsageError(
            "The exported program takes an input that is no tensor, which nothing can serve.",
            found=", ".join(others),
            next_step="export it with that value as a constant",
        )
    return taken


def _paths(spec: Any) -> list[str]:
    """The places of a program's leaves in its arguments, as inputs are named."""
    arguments, named = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    found = [f"INPUT__{number}" for number in range(len(arguments))]
    roots = {**dict(zip(found, arguments, strict=True)), **named}
    return [".".join(nested.step(part) for part in path) for path, _ in pytree.tree_flatten_with_path(roots)[0]]


def load_module(request: LoadRequest) -> torch.nn.Module:
    """The module alone, on the CPU. Raises like `load`."""
    if request.kind == "torchscript":
        return _load_torchscript(request.location)
    if request.kind == "exported_program":
        return ProgramModule(load_program(request.location))
    module = _load_handed(request.location) if request.kind == "module" else _load_factory(request)
    module_state.require_values(module)
    return module.to("cpu")


def load_program(location: str) -> torch.export.ExportedProgram:
    """A program that torch.export saved.

    Raises:
        ExportError: it was written by another version of torch, or is damaged.
    """
    model_files.require_safe("exported_program", location)
    try:
        with _tensors_alone():
            program = torch.export.load(location)
    except Exception as error:
        raise ExportError(
            "The exported program cannot be loaded.",
            where=location,
            found=last_lines(str(error)),
            cause="a truncated file, or one that another version of torch wrote",
            next_step=f"save it with torch.export.save under torch {torch.__version__}",
        ) from error
    operators_used.require_harmless_program(program, location)
    return program


@contextlib.contextmanager
def _tensors_alone() -> Iterator[None]:
    """torch.export.load falls back to pickles; meanwhile torch itself refuses what is more than tensors."""
    forced, forbidden = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name, None) for name in (forced, forbidden)}
    os.environ[forced] = "1"
    try:
        yield
    finally:
        del os.environ[forced]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _load_handed(location: str) -> torch.nn.Module:
    """A module that the caller's own process pickled for this job."""
    try:
        module: torch.nn.Module = torch.load(location, map_location="cpu", weights_only=False)
    except Exception as error:
        raise UsageError(
            "The module cannot be loaded in another process.",
            where=Path(location).stem,
            found=f"{type(error).__name__}: {last_lines(str(error))}",
            next_step="give a factory instead: package.module:factory",
        ) from error
    return module


def _load_torchscript(location: str) -> torch.nn.Module:
    model_files.require_safe("torchscript", location)
    try:
        module: torch.nn.Module = torch.jit.load(location, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ExportError(
            "The TorchScript file cannot be loaded.",
            where=location,
            found=last_lines(str(error)),
            cause="a truncated file, or custom operators that are not registered here",
        ) from error
    operators_used.require_harmless_script(module, location)
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
        raise _no_factory(request.location, owner) from error
    random.seed(0)  # every process that loads the model has to see the same weights
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        module = owner(**request.kwargs)
    except Exception as error:
        if wants_gpu(str(error)):
            raise ExportError.of(
                source_wording.WANTS_GPU,
                where=place(error) or request.location,
                found=f"{type(error).__name__}: {last_lines(str(error))}",
            ) from error
        raise ExportError(
            "The factory raised an error.",
            where=place(error) or request.location,
            found=f"{type(error).__name__}: {last_lines(str(error))}",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            "The factory did not return a torch.nn.Module.", where=request.location, found=f"a {type(module).__name__}"
        )
    if request.weights:
        weights.load(module, request.weights, key=request.weights_key, prefix=request.weights_prefix)
    return module


def _no_factory(location: str, owner: object) -> UsageError:
    """The error of a name that a module or a class does not have, with the nearest that it has."""
    module, _, attribute = location.partition(":")
    name = next((part for part in attribute.split(".") if not hasattr(owner, part)), attribute)
    callables = [each for each in dir(owner) if not each.startswith("_") and callable(getattr(owner, each, None))]
    callables = [
        each for each in callables if str(getattr(getattr(owner, each), "__module__", module)).startswith(module)
    ] or callables
    lowered = {each.lower(): each for each in callables}
    near = [lowered[each] for each in difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=0.6)]
    values = {"module": module, "name": name}
    if not near:
        return UsageError.of(source_wording.NO_FACTORY, where=location, found=", ".join(callables[:8]) or None, **values)
    written = " or ".join(f"{location[: len(location) - len(name)]}{each}" for each in near)
    return UsageError.of(source_wording.NEAR_FACTORY, where=location, near=", ".join(near), written=written, **values)


def place(error: BaseException) -> str | None:
    """File and line of the user's code that raised, where it is not torch's."""
    traceback, place = error.__traceback__, None
    while traceback:
        filename = traceback.tb_frame.f_code.co_filename
        foreign = "site-packages" in filename or "/tritonize/" in filename or is_standard(filename)
        if not foreign and not filename.startswith("<"):
            place = f"{filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
