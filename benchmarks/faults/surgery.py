"""What faults of a model are made from: which layers it has, and how one is replaced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

Put = Callable[[nn.Module, np.random.Generator], bool]
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.LSTM, nn.GRU)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Kinds = type[nn.Module] | tuple[type[nn.Module], ...]


def all_of(module: nn.Module, kinds: Kinds) -> list[nn.Module]:
    """Every layer of these kinds, in the model's own order."""
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def one_of(module: nn.Module, kinds: Kinds, generator: np.random.Generator) -> nn.Module | None:
    """One of them by chance; `None` where there is none."""
    layers = all_of(module, kinds)
    return layers[int(generator.integers(len(layers)))] if layers else None


def matrices(layer: nn.Module) -> list[Tensor]:
    """A layer's own weights, without biases."""
    return [weight for name, weight in layer.named_parameters(recurse=False) if weight.ndim > 1]


def replace(module: nn.Module, old: nn.Module, new: nn.Module) -> bool:
    """Put `new` where `old` is; whether it was found."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
                return True
    return False
