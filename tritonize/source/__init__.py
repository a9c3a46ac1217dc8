"""The model as the user provides it: its kind, its inputs, and samples of them.

`model_files/` checks a model file before PyTorch reads it; `worker/` loads the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.source.drawing import Drawn as Drawn
    from tritonize.source.drawing import draw as draw
    from tritonize.source.inspection import inspect as inspect
    from tritonize.source.samples import generate as generate

__all__ = ["Drawn", "draw", "generate", "inspect"]

__getattr__ = lazy.attach(__name__, {"Drawn": "drawing", "draw": "drawing", "generate": "samples", "inspect": "inspection"})
