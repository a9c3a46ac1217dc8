"""A state dict from a file into a module: an entry of the file, names without a prefix; inside a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any  # Any: what the user's file of weights holds

import torch
from torch.nn.parameter import is_lazy

from tritonize.core.errors import UsageError
from tritonize.core.messages import source as wording
from tritonize.source.worker.script_errors import last_lines


def load(module: torch.nn.Module, path: Path, *, key: str, prefix: str) -> None:
    """Load the file's state dict into the module.

    Args:
        key: entry of the file that holds it, dots lead inwards; empty where the file is the state dict.
        prefix: of its names, left out; names without it are not taken. May be empty.

    Raises:
        UsageError: there is no such file, entry or prefix, or another one is meant, which is named with what to write.
    """
    try:
        whole = _read(path)
    except FileNotFoundError as error:
        raise UsageError("There is no such weights file.", where=str(path)) from error
    except Exception as error:
        raise _refused(path, error) from error
    state = _entry(whole, key, path)
    wanted = module.state_dict()
    if not key and not _holds_tensors(state) and (guess := _guess(whole, wanted, path)):
        raise guess
    if prefix:
        state = {name[len(prefix) :]: each for name, each in state.items() if str(name).startswith(prefix)}
        if not state:
            raise UsageError.of(wording.WEIGHTS_NO_PREFIX, where=str(path), prefix=prefix)
    elif found := _prefix(state, wanted):
        written = _written(path, key, found)
        raise UsageError.of(
            wording.WEIGHTS_PREFIX, where=str(path), found=_some(state), expected=_some(wanted), prefix=found, written=written
        )
    elif (found := _prefix(wanted, state)) and all(name.startswith(found) for name in wanted):
        raise UsageError.of(wording.WEIGHTS_WRAPPED, where=str(path), found=_some(wanted), expected=_some(state), prefix=found)
    try:
        on_meta = any(each.is_meta for each in module.parameters())  # those take no values, only other tensors in their place
        module.load_state_dict(state, assign=on_meta)
    except Exception as error:
        raise _refused(path, error) from error


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _entry(whole: object, key: str, path: Path) -> dict[str, object]:
    at = whole
    for part in key.split(".") if key else ():
        if not isinstance(at, Mapping) or part not in at:
            known = ", ".join(map(str, at)) if isinstance(at, Mapping) else f"a {type(at).__name__}"
            raise UsageError.of(wording.WEIGHTS_NO_KEY, where=str(path), found=known, key=key)
        at = at[part]
    if not isinstance(at, Mapping):
        raise UsageError("The weights file holds no state dict.", where=str(path), found=f"a {type(at).__name__}")
    return dict(at)


def _holds_tensors(state: Mapping[Any, object]) -> bool:
    return any(isinstance(each, torch.Tensor) for each in state.values())


def _guess(whole: Any, wanted: Mapping[str, object], path: Path) -> UsageError | None:
    """The error that names the entry which holds the state dict, with the prefix of its names; `None` where none does."""
    entries = list(_entries(whole))
    fitting = [(key, prefix) for key, state in entries for prefix in ("", _prefix(state, wanted)) if _fits(state, prefix, wanted)]
    if not fitting and not entries:
        return None
    key, prefix = fitting[0] if fitting else (entries[0][0], "")
    found = ", ".join(each for each, _ in entries)
    return UsageError.of(wording.WEIGHTS_KEY, where=str(path), found=found, key=key, written=_written(path, key, prefix))


def _entries(whole: Mapping[object, object], path: str = "", depth: int = 2) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every entry that holds tensors by name, at most two levels down."""
    for name, each in whole.items():
        if isinstance(each, Mapping) and isinstance(name, str) and all(isinstance(inner, str) for inner in each):
            if _holds_tensors(each):
                yield f"{path}{name}", each
            elif depth > 1:
                yield from _entries(each, f"{path}{name}.", depth - 1)


def _fits(state: Mapping[str, object], prefix: str, wanted: Mapping[str, object]) -> bool:
    """Whether a state dict has all that is wanted, of the same shapes, behind a prefix."""
    if not wanted or not all(f"{prefix}{name}" in state for name in wanted):
        return False
    shapes = [(_shape(state[f"{prefix}{name}"]), _shape(each)) for name, each in wanted.items()]
    return all(one == other for one, other in shapes if one is not None and other is not None)


def _shape(each: object) -> tuple[int, ...] | None:
    """`None` where it has none, or none yet."""
    return tuple(each.shape) if isinstance(each, torch.Tensor) and not is_lazy(each) else None


def _prefix(state: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """What stands before each of the wanted names in a state dict; empty where they are there as they are, or are not there."""
    if not wanted or _fits(state, "", wanted):
        return ""
    first = next(iter(wanted))
    ends = [name[: -len(first)] for name in state if isinstance(name, str) and name.endswith(f".{first}")]
    counted = Counter(ends)
    return next((prefix for prefix in sorted(counted, key=len) if _fits(state, prefix, wanted)), "")


def _written(path: Path, key: str, prefix: str) -> str:
    """The fields of `weights` in a spec."""
    fields = {"file": path.name, "key": key, "prefix": prefix}
    return ", ".join(f"{name}: {value}" for name, value in fields.items() if value)


def _some(state: Mapping[str, object]) -> str:
    names = [str(name) for name in state]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _refused(path: Path, error: Exception) -> UsageError:
    return UsageError(
        "The weights do not load into the factory's module.",
        where=str(path),
        found=last_lines(str(error), 6),
        cause="another architecture, or a pickle with more than tensors in it, which is never loaded",
        next_step="torch.save(module.state_dict(), path) writes a state dict that loads",
    )
