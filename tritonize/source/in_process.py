"""A model of the caller's own process, handed to the workers as a file that lives as long as the job.

Classes that an import finds are pickled by name, those of a script or notebook with their code (cloudpickle). Such a file
is made here and read by the job's own workers; no file that a user names is ever unpickled.
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

import numpy as np

from tritonize.core import arrays, call_arguments, errors, nested, temporary
from tritonize.core.errors import ModelRaisedError, UsageError

_handed: dict[str, Path] = {}
_numbers = itertools.count(1)


def is_model(subject: object) -> bool:
    """Whether it is a model of torch: a module, a ScriptModule or an exported program."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(subject, torch.nn.Module | torch.export.ExportedProgram)


@contextlib.contextmanager
def handed(subject: object, example: object = None) -> Iterator[str]:
    """The text for `source` in a spec, while the model lies in a file.

    Args:
        subject: the model.
        example: its inputs, as a tensor, a tuple or a dictionary. What the module answers here to them goes into the file
            beside it: a worker that imports its class may get other code than this process runs.

    Raises:
        MissingError: cloudpickle is not installed.
        UsageError: the model holds something that cannot be pickled.
        ModelRaisedError: it raises on its example.
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
            _save_witness(torch, subject, example, path=path)
        _handed[source] = path
        try:
            yield source
        finally:
            del _handed[source]


def _save(torch: Any, subject: Any, path: Path) -> None:
    errors.require("cloudpickle", extra="torch")
    import cloudpickle

    try:
        torch.save(subject, path, pickle_module=cloudpickle)
    except Exception as error:
        raise UsageError(
            "The module cannot be handed to another process.",
            where=type(subject).__qualname__,
            found=f"{type(error).__name__}: {error}",
            cause="it holds a lock, an open file or another thing that cannot be pickled",
            next_step="give a factory instead: package.module:factory",
        ) from error


def _save_witness(torch: Any, subject: Any, example: Any, *, path: Path) -> None:
    """What a copy of the module, in evaluation mode and on the CPU, answers to the example; nothing where it cannot be copied."""
    try:
        # On the CPU, as the worker answers; what torch.compile does is looked at elsewhere.
        module = copy.deepcopy(getattr(subject, "_orig_mod", subject)).eval().to("cpu")
    except Exception:  # noqa: BLE001 - whatever a module's own __deepcopy__ raises
        return
    inputs = {name: torch.as_tensor(value) for name, value in _tensors(torch, example)}
    arguments, named = call_arguments.bind(call_arguments.parameters(module.forward), list(inputs)).arguments(list(inputs.values()))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # the worker answers so too; the fast path is compared there
        with torch.no_grad():
            answer = module(*arguments, **named)
    except Exception as error:
        raise ModelRaisedError(
            "The module raised an error on its example.",
            where=type(subject).__qualname__,
            found=f"{type(error).__name__}: {error}",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    leaves = [leaf for _, leaf in nested.leaves(torch.utils._pytree, answer) if isinstance(leaf, torch.Tensor)]
    inputs = {name: torch.as_tensor(value) for name, value in _tensors(torch, example)}  # a model may write into its inputs
    outputs = [leaf.detach().cpu() for leaf in leaves]
    torch.save({"inputs": inputs, "outputs": outputs, "fast_path": fast_path}, witness(path))


def _tensors(torch: Any, example: object) -> Iterator[tuple[str, object]]:
    """The tensors of an example under the names that `arrays.named` gives them."""
    for name, array in arrays.named(example, "example"):
        if array.dtype == arrays.BFLOAT16:
            yield name, torch.from_numpy(array.astype("float32")).to(torch.bfloat16)
        else:
            yield name, torch.from_numpy(np.array(array))


def witness(path: Path) -> Path:
    """Where the answer of the caller's own module lies, beside the module."""
    return path.with_suffix(".witness")


def file(source: str) -> Path | None:
    """Where a model that was handed over lies; `None` for every other source."""
    return _handed.get(source)


def search_path() -> list[Path]:
    """The folders of the caller's own code, where the workers find the classes that are pickled by name."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    entries = [Path(entry or ".").resolve() for entry in sys.path if not entry.endswith(".zip")]
    return [entry for entry in entries if entry.is_dir() and not any(entry.is_relative_to(each) for each in installed)]
