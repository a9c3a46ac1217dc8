"""Replace functions under the names by which files import them, such as `from torch import equal`. Runs in a worker process.

Patching `torch.equal` alone does not change such a name, nor one in the closure of a factory.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType

import torch

from tritonize.onnx_model.worker import origins

Write = Callable[[object], None]
"""Assigns another function to one of the names."""


@contextlib.contextmanager
def replaced(others: Mapping[str, tuple[object, object]], places: list[tuple[str, Write]]) -> Iterator[None]:
    """Assign replacements to the names in this context.

    Args:
        others: each function's original and its replacement, under any key.
        places: the result of `names` for the same keys.
    """
    try:
        for key, write in places:
            write(others[key][1])
        yield
    finally:
        for key, write in places:
            write(others[key][0])


def names(originals: Mapping[str, object], model: torch.nn.Module, *, installed: bool) -> list[tuple[str, Write]]:
    """Find every name of the functions in the loaded files and in the code of the model's classes.

    Args:
        originals: functions, under any key.
        installed: whether to search installed packages too. Torch and tritonize are always skipped.
    """
    keys = {id(original): key for key, original in originals.items()}
    spaces = {id(space): space for space in (*_loaded(installed), *(each.__globals__ for each in _functions(model)))}
    found = [
        (keys[id(value)], _in_space(space, name))
        for space in spaces.values()
        for name, value in list(space.items())
        if id(value) in keys and _counts(space, installed)
    ]
    cells = {id(cell): cell for each in _functions(model) for cell in each.__closure__ or ()}
    for cell in cells.values():
        with contextlib.suppress(ValueError):  # an empty cell
            if id(cell.cell_contents) in keys:
                found.append((keys[id(cell.cell_contents)], _in_cell(cell)))
    return found


def _loaded(installed: bool) -> Iterator[dict[str, object]]:
    for name, module in list(sys.modules.items()):
        space = getattr(module, "__dict__", None)
        if name.partition(".")[0] not in ("torch", "tritonize") and isinstance(space, dict) and _counts(space, installed):
            yield space


def _counts(space: dict[str, object], installed: bool) -> bool:
    file = space.get("__file__")
    if not isinstance(file, str):
        return space.get("__name__") == "__main__" or "__file__" not in space  # a script's code, brought along by pickle
    return not (origins.is_torch(file) if installed else origins.is_installed(file))


def _functions(model: torch.nn.Module) -> Iterator[FunctionType]:
    """Yield the functions of the classes of the model's modules."""
    kinds = {
        kind for part in model.modules() for kind in type(part).__mro__ if not kind.__module__.startswith(("torch.", "tritonize."))
    }
    for kind in kinds:
        for value in list(vars(kind).values()):
            inner = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(inner, FunctionType):
                yield inner


def _in_space(space: dict[str, object], name: str) -> Write:
    def write(value: object) -> None:
        space[name] = value

    return write


def _in_cell(cell: CellType) -> Write:
    def write(value: object) -> None:
        cell.cell_contents = value

    return write
