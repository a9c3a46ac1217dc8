"""The acceptance rules of other tools, each a function of one answer: expected and found outputs by name, True where accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from tritonize.core.arrays import Array

Rule = Callable[[Mapping[str, Array], Mapping[str, Array]], bool]


def recorded(expected: Mapping[str, Array], found: Mapping[str, Array]) -> bool:
    """The largest difference is computed and recorded, and judges nothing: every answer that can be subtracted is accepted.

    Source: PyTorch, `torch/onnx/_internal/exporter/_verification.py`, `verify_onnx_program` and `_compare_tensors`. Outputs are
    paired by position.
    """
    for one, other in zip(expected.values(), found.values(), strict=False):
        try:
            np.subtract(one, other)
        except ValueError:
            return False  # the subtraction raises, and that is noticed
    return True


def finite_and_shape(expected: Mapping[str, Array], found: Mapping[str, Array]) -> bool:
    """As many outputs, of the right shape, without NaN and infinity; the differences are recorded as the tolerance.

    Source: NVIDIA Triton Model Navigator, `model_navigator/commands/correctness/correctness_script.py`, `correctness`. A shape
    that can be broadcast is accepted there; here it is not, which is to the rule's advantage.
    """
    if len(expected) != len(found) or set(expected) != set(found):
        return False
    return all(found[name].shape == array.shape and bool(np.isfinite(found[name]).all()) for name, array in expected.items())


def _close(expected: Mapping[str, Array], found: Mapping[str, Array], rtol: float, atol: float) -> bool:
    for name, array in expected.items():
        if name not in found:
            return False
        try:
            if not np.allclose(found[name], array, rtol=rtol, atol=atol):
                return False
        except ValueError:
            return False
    return True


def allclose(expected: Mapping[str, Array], found: Mapping[str, Array]) -> bool:
    """`np.allclose(found, expected)` with its own defaults, rtol 1e-5 and atol 1e-8.

    Source: NumPy, `numpy/_core/numeric.py`, `allclose`; used so by export scripts that compare without further thought.
    """
    return _close(expected, found, 1e-5, 1e-8)


def loose(expected: Mapping[str, Array], found: Mapping[str, Array]) -> bool:
    """`np.allclose` with rtol 1e-4 and atol 9e-4, whatever the output's size.

    Source: `check.py` of a public guide to converting models from .pt to ONNX to a TensorRT plan for Triton; the same numbers are
    the default tolerance in `tritonize/spec/schema.py`.
    """
    return _close(expected, found, 1e-4, 9e-4)


def torch_default(expected: Mapping[str, Array], found: Mapping[str, Array]) -> bool:
    """`torch.testing.assert_close` with its own defaults: for float32 rtol 1.3e-6 and atol 1e-5; shape and type must be equal.

    Source: PyTorch, `torch/testing/_comparison.py`, `assert_close`; onnx/turnkeyml, `src/turnkeyml/build/export.py`, takes the
    same numbers.
    """
    try:
        for name, array in expected.items():
            torch.testing.assert_close(torch.from_numpy(np.array(found[name])), torch.from_numpy(np.array(array)))
    except (AssertionError, KeyError):
        return False
    return True


RULES: Mapping[str, Rule] = {
    "max-abs recorded only": recorded,
    "finite and shape": finite_and_shape,
    "np.allclose, 1e-5/1e-8": allclose,
    "rtol 1e-4, atol 9e-4": loose,
    "torch, 1.3e-6/1e-5": torch_default,
}
