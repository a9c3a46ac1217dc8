"""Render a Report as text and JSON (`text.py`) and as an HTML page (`html/`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.report.text import as_json as as_json
    from tritonize.report.text import as_text as as_text
    from tritonize.report.text import dumps as dumps

__all__ = ["as_json", "as_text", "dumps"]

__getattr__ = lazy.attach(__name__, {"as_json": "text", "as_text": "text", "dumps": "text"})
