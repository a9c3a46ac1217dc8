"""A place in the user's model, which an error names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CodePlace:
    """A place in the user's model: a line of its code, a module, or both. One of them is known."""

    line: str | None = None
    """`file.py:line`."""
    module: str | None = None
    """Path of the module in the model, such as `encoder.0.conv`."""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.line, self.module and f"module {self.module}")))
