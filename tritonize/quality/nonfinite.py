"""Inputs with NaN and infinities: write such samples, and compare how a file and PyTorch treat them.

They run separately from all other samples, since no error can be measured against outputs that are NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.messages import samples as wording
from tritonize.core.reports import Finding, TensorCheck
from tritonize.spec import schema, sequences

STREAM = 1_000_001
"""Random stream that selects the replaced elements; no sample and no example uses this number."""
CASES: Mapping[str, tuple[float, ...]] = {"nan": (np.nan,), "infinity": (np.inf, -np.inf)}
_FEW, _MANY = 64, 3
"""An array with at least `_FEW` elements gets `_MANY` of each value instead of one. In a small one, a single NaN often spreads over
the whole output."""
_STRUCTURE = ("padding_mask", "one_hot")
"""Distributions of inputs that encode structure rather than measurements."""


@dataclass(frozen=True, kw_only=True)
class NonfiniteOutputs:
    """PyTorch's outputs for these samples."""

    samples: SampleSet
    """The cases on which PyTorch runs, as edge cases by name."""
    outputs: TensorFiles


def write(model: schema.Model, drawn: SampleSet, directory: Path) -> SampleSet | None:
    """Write one sample per case: the first drawn one with a few elements of every floating input replaced.

    Returns `None` if the spec turns these cases off, or no input has floating elements to replace.
    """
    if model.quality.nan == "off" or not model.quality.edge_cases:
        return None
    contract = sequences.of(model)
    kept = contract.inputs if contract else frozenset[str]()  # no client sends them
    floating = [
        name
        for name, tensor in model.inputs.items()
        if dtypes.by_name(tensor.dtype).floating and tensor.distribution not in _STRUCTURE and name not in kept
    ]
    first = arrays.load(drawn.files, 0)
    if not any(first[name].size for name in floating):
        return None
    files = TensorFiles(directory=directory, tensors=drawn.files.tensors, count=len(CASES))
    for index, values in enumerate(CASES.values()):
        item = {name: _with(array, values, model.samples.seed, chosen=name in floating) for name, array in first.items()}
        arrays.save(files, index, item)
    return SampleSet(files=files, batched=drawn.batched, origin=drawn.origin, edges=dict(enumerate(CASES)))


def _with(array: Array, values: tuple[float, ...], seed: int, *, chosen: bool) -> Array:
    """Return the array with each of the values at random places."""
    if not chosen or not array.size:
        return array
    count = min(array.size, len(values) * (_MANY if array.size >= _FEW else 1))
    places = np.random.default_rng([seed, STREAM]).permutation(array.size)[:count]
    changed = np.array(array)
    changed.reshape(-1)[places] = np.resize(np.asarray(values), count).astype(array.dtype)
    return changed


def differences(
    reference: NonfiniteOutputs, outputs: Mapping[str, Arrays | str], judge: Callable[[Arrays, Arrays], tuple[TensorCheck, ...]]
) -> Iterator[Finding]:
    """Yield the differences between a file and PyTorch.

    Args:
        reference: PyTorch's outputs.
        outputs: the file's outputs by case, or the reason why it failed.
        judge: compares two sets of outputs by the tolerances.
    """
    for index, case in reference.samples.edges.items():
        expected, found = arrays.load(reference.outputs, index), outputs[case]
        if isinstance(found, str):
            yield Finding(where=f"edge case {case}", what=wording.NONFINITE_FAILS.text(case=case), found=found)
            continue
        for tensor in judge(expected, found):
            if not tensor.passed:
                what = wording.NONFINITE.text(case=case, output=tensor.name, reason=tensor.reason)
                yield Finding(
                    where=f"edge case {case}",
                    what=what,
                    expected=_short(expected[tensor.name]),
                    found=_short(found.get(tensor.name)),
                )


def _short(array: Array | None) -> str | None:
    """Format the first elements."""
    if array is None:
        return None
    first = ", ".join(f"{value:.4g}" for value in array.reshape(-1)[:6].tolist())
    return f"[{first}{', …' if array.size > 6 else ''}]"
