"""Weights that are the same on every machine, and that let every part of a network show in its output."""

from __future__ import annotations

import torch

SEED = 20_26
SPREAD = 0.1
"""How far the elements of a parameter that was initialised with a constant are moved from it."""


def seeded(build: object, *arguments: object, **options: object) -> torch.nn.Module:
    """`build(*arguments, **options)` with fixed random weights, in evaluation mode.

    Parameters that are initialised with one constant (a scale of 0 at the end of a residual branch, a layer scale of 1e-6,
    an affine of 1) and running statistics that are still at their start are moved: else whole branches answer nothing and
    an export could drop them unseen.
    """
    torch.manual_seed(SEED)
    assert callable(build)
    module = build(*arguments, **options)
    assert isinstance(module, torch.nn.Module)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in module.parameters():
            _move_constant(parameter, generator)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(_noise(buffer, generator))
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module.eval()


def _move_constant(parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Spread a constant parameter; a scalar that is not 0 (a temperature, a logit scale) stays as it is."""
    if not parameter.is_floating_point() or not parameter.numel():
        return
    first = parameter.reshape(-1)[0]
    if parameter.numel() == 1:
        if not first.item():
            parameter.fill_(0.5)
    elif bool((parameter == first).all()):
        parameter.add_(_noise(parameter, generator))


def _noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (torch.randn(like.shape, generator=generator) * SPREAD).to(like.dtype)
