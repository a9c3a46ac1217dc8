"""How large an error is (`metrics/`, `tracker.py`), and whether it may be (`gates.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.quality.gates import judge as judge
    from tritonize.quality.golden_set import GoldenSet as GoldenSet

__all__ = ["GoldenSet", "judge"]

__getattr__ = lazy.attach(__name__, {"GoldenSet": "golden_set", "judge": "gates"})
