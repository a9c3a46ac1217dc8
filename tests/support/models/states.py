"""Models whose parameters and buffers are no ordinary tensors: float8, sparse, quantized, nested, lazy, on the meta device."""

from __future__ import annotations

import torch
from torch import nn


def tensors() -> dict[str, torch.Tensor]:
    """A tensor of each kind."""
    ones, eye = torch.ones(3, 2), torch.eye(3)
    return {
        "float8": ones.to(torch.float8_e4m3fn),
        "float4": torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        "complex32": ones.to(torch.complex32),
        "sparse": eye.to_sparse(),
        "csr": eye.to_sparse_csr(),
        "csc": eye.to_sparse_csc(),
        "mkldnn": ones.to_mkldnn(),
        "quantized": torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
        "per_channel": torch.quantize_per_channel(ones, torch.ones(3), torch.zeros(3, dtype=torch.long), 0, torch.qint8),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "jagged": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "conjugate": torch.ones(3, dtype=torch.complex64).conj(),
        "expanded": torch.ones(1).expand(5),
    }


class Holder(nn.Module):
    """Answers x * 2, beside a buffer of some kind."""

    def __init__(self, kind: str = "float8") -> None:
        super().__init__()
        self.register_buffer("kept", tensors()[kind])
        self.register_buffer("two", torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.two


class Float8(nn.Module):
    """A linear layer with weights in float8, as they are stored by large language models."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 4).to(torch.float8_e4m3fn), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.to(x.dtype).T


class Answers(nn.Module):
    """Answers with a tensor of a kind that cannot be served."""

    def __init__(self, kind: str = "float8") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(3, device="meta") if self.kind == "meta" else tensors()[self.kind]


def lazy() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(3))


def on_meta() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3, device="meta"))


def quantized() -> nn.Module:
    """A layer that keeps its weights packed, outside parameters and buffers."""
    module = torch.ao.nn.quantized.Linear(4, 3)
    module.set_weight_bias(torch.quantize_per_tensor(torch.ones(3, 4), 0.1, 0, torch.qint8), torch.ones(3))
    return module
