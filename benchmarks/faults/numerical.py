"""Numerical faults: changes of a PyTorch model. The changed model is exported, served, and asked in float64.

Each `put` changes the module in place and says whether there was anything to change. Rounding is put in by hooks on the layers,
which the exporter traces like the layers themselves; in float64 the same hooks round the float64 values, so that what is
measured there is the rounding that the fault does and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faults.layers import Attention, Normalize, Scale
from benchmarks.faults.rounding import to_half, to_tf32
from benchmarks.faults.surgery import BATCH_NORMS, CONVOLUTIONS, WEIGHTED, Kinds, Put, all_of, matrices, one_of, replace

STEPS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, kw_only=True)
class Numerical:
    """A fault that changes what a model computes."""

    name: str
    put: Put


def perturb(step: float, *, everywhere: bool) -> Put:
    """Every weight of one layer, or of all, times 1 + step * normal."""

    def put(module: nn.Module, generator: np.random.Generator) -> bool:
        chosen = all_of(module, WEIGHTED) if everywhere else [one_of(module, WEIGHTED, generator)]
        for weight in (weight for layer in chosen if layer for weight in matrices(layer)):
            weight *= torch.from_numpy(1 + step * generator.standard_normal(weight.shape)).float()
        return True

    return put


def _zeroed_channel(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, (*CONVOLUTIONS, nn.Linear), generator)
    if layer is None:
        return False
    channel = int(generator.integers(layer.weight.shape[0]))
    layer.weight[channel] = 0
    layer.bias[channel] = 0
    return True


def _no_bias(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, (*CONVOLUTIONS, nn.Linear), generator)
    if layer is not None:
        layer.bias.zero_()  # type: ignore[operator, union-attr]
    return layer is not None


def _sign_flipped(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, WEIGHTED, generator)
    for weight in matrices(layer) if layer else ():
        weight.neg_()
    return True


def _one_weight_zeroed(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, WEIGHTED, generator)
    flat = matrices(layer)[0].view(-1) if layer else torch.zeros(1)
    flat[int(generator.integers(flat.numel()))] = 0
    return True


def _eight_bits(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
    for weight in (weight for layer in all_of(module, WEIGHTED) for weight in matrices(layer)):
        step = weight.abs().max() / 127
        weight.copy_(torch.round(weight / step) * step)
    return True


def _layers_exchanged(module: nn.Module, generator: np.random.Generator) -> bool:
    layers = all_of(module, WEIGHTED)
    pairs = [
        (one, other)
        for position, one in enumerate(layers)
        for other in layers[position + 1 :]
        if type(one) is type(other) and one.weight.shape == other.weight.shape  # type: ignore[union-attr]
    ]
    if not pairs:
        return False
    one, other = pairs[int(generator.integers(len(pairs)))]
    state = {name: value.clone() for name, value in one.state_dict().items()}
    one.load_state_dict(other.state_dict())
    other.load_state_dict(state)
    return True


def _gates_exchanged(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, (nn.LSTM, nn.GRU), generator)
    for _, weight in layer.named_parameters() if layer else ():
        size = weight.shape[0] // (4 if isinstance(layer, nn.LSTM) else 3)
        weight[: 2 * size] = weight[: 2 * size].roll(size, dims=0)
    return layer is not None


class _BatchStatistics(nn.Module):
    """A batch normalization left in training mode: statistics of the batch."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps

    def forward(self, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean = x.mean(dim=axes, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=axes, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight.reshape(shape) + self.bias.reshape(shape)


def _statistics(name: str, value: float) -> Put:
    def put(module: nn.Module, generator: np.random.Generator) -> bool:
        layer = one_of(module, BATCH_NORMS, generator)
        if layer is not None:
            getattr(layer, name).fill_(value)
        return layer is not None

    return put


def _eps(kinds: Kinds, value: float = 1e-3) -> Put:
    def put(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
        layers = all_of(module, kinds)
        for layer in layers:
            layer.eps = value
        return bool(layers)

    return put


def _normalized_weight(module: nn.Module, generator: np.random.Generator) -> bool:
    """One layer's answer 2e-5 larger: below what ONNX Runtime's own sums are off over 96³."""
    layer = one_of(module, nn.InstanceNorm3d, generator)
    if layer is not None:
        layer.weight *= 1 + 2e-5  # type: ignore[operator, assignment]
    return layer is not None


def _complex(change: Callable[[Tensor], Tensor]) -> Put:
    """The complex weights changed."""

    def put(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
        weights = [weight for weight in module.parameters() if weight.is_complex()]
        for weight in weights:
            weight.copy_(change(weight))
        return bool(weights)

    return put


def _normalization(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Put:
    """Another mean and standard deviation of the input."""

    def put(module: nn.Module, generator: np.random.Generator) -> bool:
        layer = one_of(module, Normalize, generator)
        if layer is None:
            return False
        mean, std = change(layer.mean, layer.std)  # type: ignore[arg-type]
        changed = not (torch.equal(mean, layer.mean) and torch.equal(std, layer.std))  # type: ignore[arg-type]
        layer.mean, layer.std = mean, std
        return changed

    return put


def _unscaled(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, Scale, generator)
    if layer is not None:
        layer.factor.fill_(1.0)  # type: ignore[operator, union-attr]
    return layer is not None


def _places_shifted(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
    places = getattr(module, "places", None)
    if places is not None:
        places.weight.copy_(places.weight.roll(1, dims=0))
    return places is not None


_OTHER: dict[type[nn.Module], Callable[[], nn.Module]] = {
    nn.ReLU: nn.LeakyReLU,
    nn.LeakyReLU: nn.ReLU,
    nn.GELU: nn.SiLU,
    nn.SiLU: nn.Hardswish,
    nn.ELU: nn.SELU,
    nn.Sigmoid: nn.Hardsigmoid,
    nn.Tanh: nn.Hardtanh,
}


def _activation(make: Callable[[nn.Module], nn.Module]) -> Put:
    def put(module: nn.Module, generator: np.random.Generator) -> bool:
        layer = one_of(module, tuple(_OTHER), generator)
        return layer is not None and replace(module, layer, make(layer))

    return put


def _every(kinds: Kinds, make: Callable[[Any], nn.Module]) -> Put:
    """All layers of a kind replaced."""

    def put(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
        layers = all_of(module, kinds)
        for layer in layers:
            replace(module, layer, make(layer))
        return bool(layers)

    return put


def _padding_mode(module: nn.Module, generator: np.random.Generator) -> bool:
    layers = [layer for layer in all_of(module, CONVOLUTIONS) if layer.padding[0]]  # type: ignore[index, union-attr]
    if layers:
        layers[int(generator.integers(len(layers)))].padding_mode = "replicate"
    return bool(layers)


def _mask_ignored(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, Attention, generator)
    if layer is not None:
        layer.register_forward_pre_hook(lambda _, given: (given[0], torch.ones_like(given[1])))
    return layer is not None


def _input_cast(module: nn.Module, generator: np.random.Generator) -> bool:
    layer = one_of(module, Normalize, generator)
    if layer is not None:
        layer.register_forward_pre_hook(lambda _, given: (given[0].to(torch.int32).to(given[0].dtype),))
    return layer is not None


def _upsample(mode: str, align: bool | None) -> Put:
    return _every(nn.Upsample, lambda _: nn.Upsample(scale_factor=2, mode=mode, align_corners=align))


def _faults() -> Sequence[tuple[str, Put]]:
    return (
        *((f"weights of one layer {step:.0e}", perturb(step, everywhere=False)) for step in STEPS),
        *((f"weights of all layers {step:.0e}", perturb(step, everywhere=True)) for step in STEPS),
        ("one channel zeroed", _zeroed_channel),
        ("one weight zeroed", _one_weight_zeroed),
        ("bias dropped", _no_bias),
        ("sign flipped in one layer", _sign_flipped),
        ("weights rounded to 8 bits", _eight_bits),
        ("two layers exchanged", _layers_exchanged),
        ("gates of a recurrence exchanged", _gates_exchanged),
        ("batchnorm in training mode", _every(BATCH_NORMS, _BatchStatistics)),
        ("batchnorm without mean", _statistics("running_mean", 0.0)),
        ("batchnorm without variance", _statistics("running_var", 1.0)),
        ("batchnorm eps 1e-3", _eps(BATCH_NORMS)),
        ("layernorm eps 1e-3", _eps(nn.LayerNorm)),
        ("instancenorm eps 1e-4", _eps(nn.InstanceNorm3d, 1e-4)),
        ("instancenorm weight 2e-5", _normalized_weight),
        ("imaginary parts dropped", _complex(lambda value: value.real.to(value.dtype))),
        ("imaginary parts 5 % off", _complex(lambda value: torch.complex(value.real, 1.05 * value.imag))),
        ("complex weights 1e-05", _complex(lambda value: value * (1 + 1e-5))),
        ("complex weights conjugated", _complex(torch.conj_physical)),
        ("normalization without mean", _normalization(lambda mean, std: (torch.zeros_like(mean), std))),
        ("normalization std 1 % off", _normalization(lambda mean, std: (mean, std * 1.01))),
        ("normalization channels reversed", _normalization(lambda mean, std: (mean.flip(0), std.flip(0)))),
        ("normalization left out", _normalization(lambda mean, std: (torch.zeros_like(mean), torch.ones_like(std)))),
        ("scale dropped", _unscaled),
        ("positions one off", _places_shifted),
        ("activation replaced", _activation(lambda layer: _OTHER[type(layer)]())),
        ("activation left out", _activation(lambda _: nn.Identity())),
        ("GELU by tanh", _every(nn.GELU, lambda _: nn.GELU(approximate="tanh"))),
        ("upsampling align_corners", _upsample("trilinear", True)),
        ("upsampling by nearest", _upsample("nearest", None)),
        ("average for maximum pooling", _every(nn.MaxPool2d, lambda layer: nn.AvgPool2d(layer.kernel_size))),
        ("padding mode replicate", _padding_mode),
        ("softmax over another axis", _every(nn.Softmax, lambda _: nn.Softmax(dim=-2))),
        ("attention without its mask", _mask_ignored),
        ("input cast to int and back", _input_cast),
        ("TF32", to_tf32),
        ("FP16", to_half(torch.float16)),
        ("BF16", to_half(torch.bfloat16)),
    )


NUMERICAL = tuple(Numerical(name=name, put=put) for name, put in _faults())
