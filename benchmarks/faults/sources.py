"""Healthy models whose float64 is easily got wrong: complex weights, and an output that is float32 whatever the weights are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faults.models import Healthy
from tritonize.spec import schema


class Spectral(nn.Module):
    """A filter of complex numbers, as Fourier networks have it: half of what it does is in its imaginary parts."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(16, 24), nn.Linear(24, 4)
        self.filter = nn.Parameter(torch.zeros(24, dtype=torch.complex64))
        self.register_buffer("shift", torch.exp(1j * torch.arange(24)).to(torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        z = self.enter(x) * self.filter + self.shift
        answer: Tensor = self.head(torch.tanh(z.real) + z.imag)
        return answer


class _Deployed(nn.Module):
    """The same in real numbers, as exporters write it: ONNX has no complex ones."""

    def __init__(self, model: Spectral) -> None:
        super().__init__()
        self.enter, self.head = model.enter, model.head
        for name in ("filter", "shift"):
            value = getattr(model, name).detach()
            self.register_buffer(f"{name}_real", value.real.clone())
            self.register_buffer(f"{name}_imag", value.imag.clone())

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        real, imag = entered * self.filter_real + self.shift_real, entered * self.filter_imag + self.shift_imag
        answer: Tensor = self.head(torch.tanh(real) + imag)
        return answer


def in_real_numbers(module: nn.Module) -> nn.Module:
    """What is exported of a model."""
    return _Deployed(module).train(module.training) if isinstance(module, Spectral) else module


class Flagged(nn.Module):
    """A small output beside one that no weight makes float64."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(self.layers(x)) * 1e-4, torch.ones(x.shape[0], 1)


SOURCES = (
    Healthy(
        name="spectral",
        make=Spectral,
        inputs={"x": schema.Input(shape=["batch", 16])},
        outputs={"value": schema.Output()},
    ),
    Healthy(
        name="flagged",
        make=Flagged,
        inputs={"x": schema.Input(shape=["batch", 12])},
        outputs={"value": schema.Output(), "valid": schema.Output()},
    ),
)
"""Healthy models that count like the others."""
