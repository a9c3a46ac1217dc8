"""Load the user's module from a TorchScript file, an exported program, a factory or the caller's process; runs inside a worker."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # Any: torch.export's signature and tree specs have no public types

import numpy as np
import torch
import torch.utils._pytree as pytree  # this pytree knows the classes that libraries register
from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument

from tritonize.core import nested
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import source as wording
from tritonize.onnx_model.worker.origins import is_standard
from tritonize.source import model_files
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import missing_names, module_state, operators_used, weights
from tritonize.source.worker.script_errors import last_lines, requires_gpu


class ProgramModule(torch.nn.Module):
    """An exported program as a module of flat tensors, under the names that the program gives them.

    Arguments that are not tensors, such as None for an optional input, belong to the program; every call passes them again.

    Raises:
        UsageError: the program has an input that is a variable number.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        self._spec = program.call_spec.in_spec
        arguments = user_inputs(program)
        self._constants = [None if isinstance(each, TensorArgument) else getattr(each, "value", None) for each in arguments]
        self._positions = [position for position, each in enumerate(arguments) if isinstance(each, TensorArgument)]
        self.names = tuple(arguments[position].name for position in self._positions)
        paths = _paths(self._spec)
        self.paths = tuple(paths[position] for position in self._positions)
        """The path of each tensor in the arguments: `INPUT__0`, `INPUT__1.mask`, `image`."""

    def forward(self, *tensors: torch.Tensor) -> object:
        """The program's output for its tensors, which are in the program's order."""
        leaves = list(self._constants)
        for position, tensor in zip(self._positions, tensors, strict=True):
            leaves[position] = tensor
        arguments, named = pytree.tree_unflatten(leaves, self._spec)
        return self.program(*arguments, **named)


def user_inputs(program: torch.export.ExportedProgram) -> list[Any]:
    """The inputs of a program in its order: tensors, and constants with the value that it was exported with.

    Raises:
        UsageError: the program has an input that is a variable number.
    """
    arguments = [each.arg for each in program.graph_signature.input_specs if each.kind == InputKind.USER_INPUT]
    if others := [each.name for each in arguments if not isinstance(each, TensorArgument | ConstantArgument)]:
        raise UsageError.of(wording.PROGRAM_INPUT, found=", ".join(others))
    return arguments


def _paths(spec: Any) -> list[str]:
    """The path of every leaf in the program's arguments, in the form of an input's name."""
    arguments, named = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    numbered = [f"INPUT__{number}" for number in range(len(arguments))]
    roots = {**dict(zip(numbered, arguments, strict=True)), **named}
    return [".".join(nested.step(part) for part in path) for path, _ in pytree.tree_flatten_with_path(roots)[0]]


def load_module(request: LoadRequest) -> torch.nn.Module:
    """Load only the module, onto the CPU. Raises the errors of `torch_model.load`."""
    if request.kind == "torchscript":
        return _load_torchscript(request.location)
    if request.kind == "exported_program":
        return ProgramModule(load_program(request.location))
    module = _load_pickled(request.location) if request.kind == "module" else _load_factory(request)
    module_state.require_values(module)
    return module.to("cpu")


def load_program(location: str) -> torch.export.ExportedProgram:
    """Load a program that torch.export.save wrote.

    Raises:
        UsageError: the file contains something that tritonize refuses.
        ExportError: another version of torch wrote it, or it is damaged.
    """
    model_files.require_safe("exported_program", location)
    try:
        with _weights_only():
            program = torch.export.load(location)
    except Exception as error:
        raise ExportError.of(
            wording.PROGRAM_NOT_LOADED, where=location, found=last_lines(str(error)), version=torch.__version__
        ) from error
    operators_used.require_harmless_program(program, location)
    return program


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Force `weights_only=True` in torch.load, since torch.export.load falls back to pickles."""
    forced, forbidden = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name, None) for name in (forced, forbidden)}
    os.environ[forced] = "1"
    try:
        yield
    finally:
        del os.environ[forced]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _load_pickled(location: str) -> torch.nn.Module:
    """Load a module that the caller's own process pickled for this job."""
    try:
        module: torch.nn.Module = torch.load(location, map_location="cpu", weights_only=False)
    except Exception as error:
        found = f"{type(error).__name__}: {last_lines(str(error))}"
        raise UsageError.of(wording.PICKLED_MODULE_NOT_LOADED, where=Path(location).stem, found=found) from error
    return module


def _load_torchscript(location: str) -> torch.nn.Module:
    model_files.require_safe("torchscript", location)
    try:
        module: torch.nn.Module = torch.jit.load(location, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ExportError.of(wording.SCRIPT_NOT_LOADED, where=location, found=last_lines(str(error))) from error
    operators_used.require_harmless_script(module, location)
    return module


def _load_factory(request: LoadRequest) -> torch.nn.Module:
    module_name, _, attribute = request.location.partition(":")
    try:
        owner: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            owner = getattr(owner, part)
    except ModuleNotFoundError as error:
        meant = missing_names.module(request.location, error.name)
        raise UsageError.of(wording.NO_PYTHON_MODULE, where=request.location, meant=meant, module=error.name) from error
    except AttributeError as error:
        raise _no_factory(request.location, owner) from error
    random.seed(0)  # every process that loads the model must get the same weights
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        module = owner(**request.kwargs)
    except Exception as error:
        raise ExportError.of(
            wording.WANTS_GPU if requires_gpu(str(error)) else wording.FACTORY_RAISED,
            where=user_line(error) or request.location,
            found=f"{type(error).__name__}: {last_lines(str(error))}",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError.of(wording.FACTORY_RESULT, where=request.location, found=f"a {type(module).__name__}")
    if request.weights:
        weights.load(module, request.weights, key=request.weights_key, prefix=request.weights_prefix)
    return module


def _no_factory(location: str, owner: object) -> UsageError:
    """The error for a name that a module or a class lacks; it suggests the most similar names."""
    module, name = location.partition(":")[0], missing_names.missing_part(location, owner)
    if meant := missing_names.attribute(location, owner):
        written = str(meant)
        return UsageError.of(wording.NEAR_FACTORY, where=location, meant=meant, module=module, name=name, written=written)
    found = ", ".join(missing_names.callables(location, owner)[:8]) or None
    return UsageError.of(wording.NO_FACTORY, where=location, found=found, module=module, name=name)


def user_line(error: BaseException) -> str | None:
    """`file.py:line` of the innermost frame outside installed packages, the standard library and tritonize; else `None`."""
    traceback, line = error.__traceback__, None
    while traceback:
        filename = traceback.tb_frame.f_code.co_filename
        foreign = "site-packages" in filename or "/tritonize/" in filename or is_standard(filename)
        if not foreign and not filename.startswith("<"):
            line = f"{filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return line
