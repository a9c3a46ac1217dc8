"""Triton: `config.pbtxt` (`model_config.py`), the server (`server/`, `serving.py`), the client (`client/`), the served comparison.

`verify` compares the responses of a server for a `Target`: `served_comparison.py` chooses the requests, `inference.py` sends one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.triton.model_config import render as render
    from tritonize.triton.served_comparison import Verification as Verification
    from tritonize.triton.served_comparison import verify as verify
    from tritonize.triton.serving import serve as serve
    from tritonize.triton.target import Target as Target

__all__ = ["Target", "Verification", "render", "serve", "verify"]

__getattr__ = lazy.attach(
    __name__,
    {
        "Target": "target",
        "Verification": "served_comparison",
        "render": "model_config",
        "serve": "serving",
        "verify": "served_comparison",
    },
)
