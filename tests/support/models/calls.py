"""Models that are called with nested, optional or unusually named inputs, and that answer with caches and dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


class Layer:
    def __init__(self, keys: torch.Tensor | None, values: torch.Tensor | None) -> None:
        self.keys, self.values, self.is_initialized = keys, values, keys is not None


class DynamicCache:
    """Like the class of that name in transformers: a list of layers with keys and values, of which torch knows nothing."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = list(layers)


class EncoderDecoderCache:
    def __init__(self, own: DynamicCache, cross: DynamicCache) -> None:
        self.self_attention_cache, self.cross_attention_cache = own, cross


class OldCache:
    """As caches were before transformers 4.54."""

    def __init__(self, *pairs: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.key_cache, self.value_cache = [key for key, _ in pairs], [value for _, value in pairs]


@dataclass
class Answer:
    logits: torch.Tensor
    past_key_values: Any = None
    hidden: torch.Tensor | None = None


class Everything(nn.Module):
    """A nested input, an optional one between two others, a cache in a dataclass as the answer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)

    def forward(
        self, batch: dict[str, torch.Tensor], mask: torch.Tensor | None = None, scale: torch.Tensor | None = None
    ) -> Answer:
        y = self.linear(batch["image"]) + batch["other"]
        if mask is not None:
            y = y * mask
        if scale is not None:
            y = y * scale
        cache = DynamicCache(Layer(y + 1, y - 1), Layer(None, None), Layer(y + 2, y - 2))
        return Answer(logits=y, past_key_values=cache)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def sample(index: int) -> tuple[dict[str, torch.Tensor], None, torch.Tensor]:
    """The tuple that a sample may be, with a nested and a missing input."""
    return {"image": torch.randn(1, 4), "other": torch.randn(1, 4)}, None, torch.randn(1, 1)
