"""Load a state dict from a file into a module, from an entry of the file or under a prefix; runs inside a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any  # Any: what the user's file of weights holds

import torch
from torch.nn.parameter import is_lazy

from tritonize.core import near_files
from tritonize.core.errors import UsageError
from tritonize.core.messages import source as wording
from tritonize.source.worker.script_errors import last_lines

_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def load(module: torch.nn.Module, path: Path, *, key: str, prefix: str) -> None:
    """Load the file's state dict into the module.

    Args:
        module: the module, which is changed in place.
        path: a file that torch.save wrote, or a `.safetensors` file.
        key: path to the entry that holds the state dict, such as `checkpoint.model`; empty if the file is the state dict.
        prefix: is removed from the names in the state dict; names without it are skipped. May be empty.

    Raises:
        UsageError: the file, the entry or the prefix does not exist, or the state dict does not fit the module. If another entry
            or prefix fits, the error states what to write.
    """
    try:
        whole = _read(path)
    except FileNotFoundError as error:
        instead = near_files.missing(path, suffixes=_SUFFIXES)
        raise UsageError.of(wording.WEIGHTS_MISSING, where=str(path), found=instead.found, meant=instead.meant) from error
    except Exception as error:
        raise _not_loaded(path, error) from error
    state = _entry(whole, key, path)
    wanted = module.state_dict()
    if not key and not _holds_tensors(state) and (suggestion := _suggested_entry(whole, wanted, path)):
        raise suggestion
    if prefix:
        state = {name[len(prefix) :]: value for name, value in state.items() if str(name).startswith(prefix)}
        if not state:
            raise UsageError.of(wording.WEIGHTS_NO_PREFIX, where=str(path), prefix=prefix)
    elif extra := _prefix(state, wanted):
        written = _written(path, key, extra)
        raise UsageError.of(
            wording.WEIGHTS_PREFIX, where=str(path), found=_some(state), expected=_some(wanted), prefix=extra, written=written
        )
    elif (lacking := _prefix(wanted, state)) and all(name.startswith(lacking) for name in wanted):
        raise UsageError.of(wording.WEIGHTS_WRAPPED, where=str(path), found=_some(wanted), expected=_some(state), prefix=lacking)
    try:
        on_meta = any(parameter.is_meta for parameter in module.parameters())  # copying into them fails, so they are replaced
        module.load_state_dict(state, assign=on_meta)
    except Exception as error:
        raise _not_loaded(path, error) from error


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _entry(whole: object, key: str, path: Path) -> dict[str, object]:
    """The dictionary at the dotted path `key` in the file."""
    entry = whole
    for part in key.split(".") if key else ():
        if not isinstance(entry, Mapping) or part not in entry:
            found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else f"a {type(entry).__name__}"
            raise UsageError.of(wording.WEIGHTS_NO_KEY, where=str(path), found=found, key=key)
        entry = entry[part]
    if not isinstance(entry, Mapping):
        raise UsageError.of(wording.WEIGHTS_NO_STATE_DICT, where=str(path), found=f"a {type(entry).__name__}")
    return dict(entry)


def _holds_tensors(state: Mapping[Any, object]) -> bool:
    return any(isinstance(value, torch.Tensor) for value in state.values())


def _suggested_entry(whole: Any, wanted: Mapping[str, object], path: Path) -> UsageError | None:
    """The error that names the entry with the state dict, and the prefix of its names; `None` if no entry holds tensors."""
    entries = list(_entries(whole))
    fitting = [(key, prefix) for key, state in entries for prefix in ("", _prefix(state, wanted)) if _fits(state, prefix, wanted)]
    if not fitting and not entries:
        return None
    key, prefix = fitting[0] if fitting else (entries[0][0], "")
    found = ", ".join(name for name, _ in entries)
    return UsageError.of(wording.WEIGHTS_KEY, where=str(path), found=found, key=key, written=_written(path, key, prefix))


def _entries(whole: Mapping[object, object], path: str = "", depth: int = 2) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every entry that holds tensors by name, at most two levels deep, with its dotted path."""
    for name, value in whole.items():
        if isinstance(value, Mapping) and isinstance(name, str) and all(isinstance(inner, str) for inner in value):
            if _holds_tensors(value):
                yield f"{path}{name}", value
            elif depth > 1:
                yield from _entries(value, f"{path}{name}.", depth - 1)


def _fits(state: Mapping[str, object], prefix: str, wanted: Mapping[str, object]) -> bool:
    """Whether a state dict has every wanted name after the prefix, with the same shape."""
    if not wanted or not all(f"{prefix}{name}" in state for name in wanted):
        return False
    shapes = [(_shape(state[f"{prefix}{name}"]), _shape(value)) for name, value in wanted.items()]
    return all(one == other for one, other in shapes if one is not None and other is not None)


def _shape(value: object) -> tuple[int, ...] | None:
    """The shape of a tensor; `None` for other values and for lazy parameters, which have no shape yet."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) and not is_lazy(value) else None


def _prefix(state: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """The prefix after which the state dict has every wanted name; empty if it has them without one, or lacks them."""
    if not wanted or _fits(state, "", wanted):
        return ""
    first = next(iter(wanted))
    prefixes = Counter(name[: -len(first)] for name in state if isinstance(name, str) and name.endswith(f".{first}"))
    return next((prefix for prefix in sorted(prefixes, key=len) if _fits(state, prefix, wanted)), "")


def _written(path: Path, key: str, prefix: str) -> str:
    """The fields of `weights` in a spec, in YAML."""
    fields = {"file": path.name, "key": key, "prefix": prefix}
    return ", ".join(f"{name}: {value}" for name, value in fields.items() if value)


def _some(state: Mapping[str, object]) -> str:
    """The first three names."""
    names = [str(name) for name in state]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _not_loaded(path: Path, error: Exception) -> UsageError:
    return UsageError.of(wording.WEIGHTS_NOT_LOADED, where=str(path), found=last_lines(str(error), 6))
