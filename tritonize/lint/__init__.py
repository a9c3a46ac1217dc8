"""Check a model repository without running it: Triton's own acceptance rules, and ours (`Repository.lint`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.lint.repository import Repository as Repository
    from tritonize.lint.rule import Diagnostic as Diagnostic

__all__ = ["Diagnostic", "Repository"]

__getattr__ = lazy.attach(__name__, {"Diagnostic": "rule", "Repository": "repository"})
