"""Public names of a folder, loaded when they are first used.

A folder's `__init__.py` names its entry without importing it, so that a worker which needs one module of the folder
does not load the others, and `tritonize --help` loads none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def attach(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return a module's `__getattr__` (PEP 562) for names that its submodules define.

    Args:
        package: the `__name__` of the package.
        homes: public name to the submodule that defines it.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load
