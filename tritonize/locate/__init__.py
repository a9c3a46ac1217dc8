"""The node that an error comes from: `search.py` tries each node, `bisection.py` which nodes have to stay in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.locate.bisection import smallest as smallest
    from tritonize.locate.search import locate as locate

__all__ = ["locate", "smallest"]

__getattr__ = lazy.attach(__name__, {"locate": "search", "smallest": "bisection"})
