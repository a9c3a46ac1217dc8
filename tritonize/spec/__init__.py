"""The specification file that users write: `schema.py` defines it, `loader.py` reads it, `rules.py` checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.spec.loader import load as load
    from tritonize.spec.schema import Model as Model
    from tritonize.spec.schema import Spec as Spec

__all__ = ["Model", "Spec", "load"]

__getattr__ = lazy.attach(__name__, {"Model": "schema", "Spec": "schema", "load": "loader"})
