"""What a TorchScript file says of how it was made; runs inside a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

_TRACED = re.compile(r"^\S[^\n]*\(\d+\): \S+$", re.MULTILINE)
"""`net.py(8): forward`, which tracing writes for each call; scripting writes `File "net.py", line 8` and the code itself."""


def is_traced(module: torch.nn.Module) -> bool:
    """Whether a part of the module was traced, so that Python's branches are gone there."""
    return isinstance(module, torch.jit.ScriptModule) and any(_TRACED.search(node.sourceRange()) for node in nodes(module))


def nodes(module: torch.jit.ScriptModule) -> Iterator[Any]:
    """The nodes of forward() with all that it calls, those of blocks too."""
    yield from _within(module.inlined_graph)


def _within(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _within(inner)
