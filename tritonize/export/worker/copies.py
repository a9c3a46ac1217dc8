"""Keep `x.data`, `copy.copy(x)` and `copy.deepcopy(x)` in a trace, where PyTorch would make constants of them. Runs in a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any  # Any: attributes of torch.Tensor are replaced, which its type forbids

import torch


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Record `x.data`, `copy.copy(x)` and `copy.deepcopy(x)` as operators instead of constants while PyTorch traces."""
    inherited: Any = torch.Tensor.data
    deep: Any = torch.Tensor.__deepcopy__

    def get(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach() if torch._C._get_tracing_state() is not None else inherited.__get__(tensor)

    def copied(tensor: torch.Tensor) -> object:
        if torch._C._get_tracing_state() is not None:
            return tensor.detach()
        return _as_python_copies(tensor)

    def deeply(tensor: torch.Tensor, memo: dict[int, object]) -> object:
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
    """Copy like `copy.copy` does for an object without `__copy__`."""
    constructor, arguments, *state = tensor.__reduce_ex__(4)
    copy = constructor(*arguments)
    if state and state[0] is not None:
        copy.__setstate__(state[0])
    return copy
