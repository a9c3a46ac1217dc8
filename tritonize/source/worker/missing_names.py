"""Suggest the module or the callable that `package.module:name` may mean if it does not exist; runs inside a worker."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from tritonize.core import suggestions
from tritonize.core.suggestions import Meant

_ABOUT = 2
"""Largest difference in letters; `model` is not `model_signing`, which happens to be installed."""


def module(location: str, missing: str | None) -> Meant | None:
    """Return locations with a near module in place of the missing one.

    Args:
        location: `package.module:name`.
        missing: the first part of the module that Python did not find, such as `package.modul`; another module, which the user's
            code imports, gets no suggestion.
    """
    wanted, colon, rest = location.partition(":")
    if not missing or not f"{wanted}.".startswith(f"{missing}."):
        return None
    parent, _, name = missing.rpartition(".")
    try:
        path = importlib.import_module(parent).__path__ if parent else None
    except (ImportError, AttributeError):
        return None
    below = wanted[len(missing) :]
    near = [f"{parent}.{each}" if parent else each for each in suggestions.near(name, _modules(name, path))]
    return Meant(written=location, near=tuple(f"{each}{below}{colon}{rest}" for each in near)) if near else None


def _modules(name: str, path: Sequence[str] | None) -> list[str]:
    """Return the modules of a package or of the search path; of installed packages, those with a name of about the same length."""
    found = [each for each in pkgutil.iter_modules(path) if not each.name.startswith("_")]
    return [
        each.name
        for each in found
        if "-packages" not in str(getattr(each.module_finder, "path", "")) or abs(len(each.name) - len(name)) <= _ABOUT
    ]


def attribute(location: str, owner: object) -> Meant | None:
    """Return locations with a near callable of a module or class in place of a name that it lacks."""
    name = missing_part(location, owner)
    near = suggestions.near(name, callables(location, owner))
    head = location[: len(location) - len(name)]
    return Meant(written=location, near=tuple(f"{head}{each}" for each in near)) if near and location.endswith(name) else None


def missing_part(location: str, owner: object) -> str:
    """Return the part of the name after the colon that a module or class lacks."""
    wanted = location.partition(":")[2]
    return next((part for part in wanted.split(".") if not hasattr(owner, part)), wanted)


def callables(location: str, owner: object) -> list[str]:
    """Return the public callables of a module or class; those that it defines itself, if there are any."""
    home = location.partition(":")[0]
    every = [each for each in dir(owner) if not each.startswith("_") and callable(getattr(owner, each, None))]
    own = [each for each in every if str(getattr(getattr(owner, each), "__module__", home)).startswith(home)]
    return own or every
