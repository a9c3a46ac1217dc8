"""What PyTorch takes out of a trace although it stays a tensor: `x.data` and Python's copies, kept in it. Runs inside a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Let `x.data`, `copy.copy(x)` and `copy.deepcopy(x)` be operators while PyTorch traces, and not constants."""
    inherited: Any = torch.Tensor.data
    deep: Any = torch.Tensor.__deepcopy__

    def get(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach() if torch._C._get_tracing_state() is not None else inherited.__get__(tensor)

    def copied(tensor: torch.Tensor) -> Any:
        if torch._C._get_tracing_state() is not None:
            return tensor.detach()
        return _as_python_copies(tensor)

    def deeply(tensor: torch.Tensor, memo: dict[int, Any]) -> Any:
        if torch._C._get_tracing_state() is None:
            return deep(tensor, memo)
        return memo.setdefault(id(tensor), tensor.detach().clone())

    kind: Any = torch.Tensor
    kind.data = property(get, inherited.__set__, inherited.__delete__)
    kind.__copy__, kind.__deepcopy__ = copied, deeply
    try:
        yield
    finally:
        del kind.data, kind.__copy__
        kind.__deepcopy__ = deep


def _as_python_copies(tensor: Any) -> Any:
    """What `copy.copy` does of itself with what has no `__copy__`."""
    made, arguments, *state = tensor.__reduce_ex__(4)
    copy = made(*arguments)
    if state and state[0] is not None:
        copy.__setstate__(state[0])
    return copy
