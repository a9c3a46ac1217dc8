"""A model whose forward() imports what nobody has, and one whose factory fails inside Python's standard library."""

from __future__ import annotations

import json

from torch import Tensor, nn


class Imports(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        import no_such_module_anywhere  # noqa: F401

        return x


def reads() -> nn.Module:
    json.loads("{")
    return Imports()
