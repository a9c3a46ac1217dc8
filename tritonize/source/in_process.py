"""Pass a model from the caller's own process to the workers, in a file that lives as long as the job.

Classes that can be imported are pickled by name; those of a script or notebook are pickled with their code (cloudpickle). Only
the job's own workers read such a file. tritonize never unpickles a file that a user names.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # Any: torch, which is imported by the caller and never here, and the caller's objects

from tritonize.core import call_arguments, errors, named_arrays, nested, temporary
from tritonize.core.errors import ModelRaisedError, UsageError
from tritonize.core.messages import source as wording

_model_files: dict[str, Path] = {}
_numbers = itertools.count(1)


def is_model(subject: object) -> bool:
    """Whether it is a PyTorch model: a module, a ScriptModule or an exported program."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(subject, torch.nn.Module | torch.export.ExportedProgram)


@contextlib.contextmanager
def saved_model(subject: object, example: object = None) -> Iterator[str]:
    """Save the model to a temporary file, and yield the text for `source` in a spec.

    Args:
        subject: the model.
        example: its inputs, as a tensor, a tuple or a dictionary. The module's outputs for them are saved next to it, since a
            worker that imports its class may get other code than this process runs.

    Raises:
        MissingError: cloudpickle is not installed.
        UsageError: the model holds something that cannot be pickled.
        ModelRaisedError: the model raises on its example.
    """
    torch: Any = sys.modules["torch"]
    with temporary.folder() as folder:
        name = type(subject).__name__
        if isinstance(subject, torch.jit.ScriptModule):
            subject.save(f"{folder}/{name}.pt")
            yield f"{folder}/{name}.pt"
            return
        if isinstance(subject, torch.export.ExportedProgram):
            torch.export.save(subject, f"{folder}/{name}.pt2")
            yield f"{folder}/{name}.pt2"
            return
        source, path = f"<{name} object {next(_numbers)}>", folder / f"{name}.module"
        _save(torch, subject, path)
        if example is not None:
            _save_expected_outputs(torch, subject, example, path=path)
        _model_files[source] = path
        try:
            yield source
        finally:
            del _model_files[source]


def _save(torch: Any, subject: Any, path: Path) -> None:
    errors.require("cloudpickle", extra="torch")
    import cloudpickle

    try:
        torch.save(subject, path, pickle_module=cloudpickle)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise UsageError.of(wording.MODULE_NOT_PICKLED, where=type(subject).__qualname__, found=found) from error


def _save_expected_outputs(torch: Any, subject: Any, example: Any, *, path: Path) -> None:
    """Save the outputs for the example of a copy in evaluation mode on the CPU. A module that cannot be copied is skipped."""
    try:
        # On the CPU, as in the worker. The effect of torch.compile is compared elsewhere.
        module = copy.deepcopy(getattr(subject, "_orig_mod", subject)).eval().to("cpu")
    except Exception:  # noqa: BLE001 - whatever a module's own __deepcopy__ raises
        return
    inputs = {name: torch.as_tensor(value) for name, value in _tensors(torch, example)}
    arguments, named = call_arguments.bind(call_arguments.parameters(module.forward), list(inputs)).arguments(list(inputs.values()))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # as in the worker, which compares the fast path separately
        with torch.no_grad():
            output = module(*arguments, **named)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ModelRaisedError.of(wording.EXAMPLE_RAISED, where=type(subject).__qualname__, found=found) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    leaves = [leaf for _, leaf in nested.leaves(torch.utils._pytree, output) if isinstance(leaf, torch.Tensor)]
    inputs = {name: torch.as_tensor(value) for name, value in _tensors(torch, example)}  # a model may write into its inputs
    outputs = [leaf.detach().cpu() for leaf in leaves]
    torch.save({"inputs": inputs, "outputs": outputs, "fast_path": fast_path}, expected_outputs_file(path))


def _tensors(torch: Any, example: object) -> Iterator[tuple[str, object]]:
    """The tensors of an example under the names that `arrays.named` gives them."""
    import numpy as np  # not above: most users of this module have no example, and need no NumPy

    from tritonize.core import arrays

    for name, array in named_arrays.named(example, "example"):
        if array.dtype == arrays.BFLOAT16:
            yield name, torch.from_numpy(array.astype("float32")).to(torch.bfloat16)
        else:
            yield name, torch.from_numpy(np.array(array))


def expected_outputs_file(path: Path) -> Path:
    """The file with the example and the module's outputs for it, next to the module's file `path`."""
    return path.with_suffix(".expected")


def model_file(source: str) -> Path | None:
    """The file of a model that `saved_model` saved; `None` for every other source."""
    return _model_files.get(source)


def search_path() -> list[Path]:
    """The folders with the caller's own code, where workers find the classes that are pickled by name."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    entries = [Path(entry or ".").resolve() for entry in sys.path if not entry.endswith(".zip")]
    return [entry for entry in entries if entry.is_dir() and not any(entry.is_relative_to(each) for each in installed)]
