"""NaN and infinities as inputs: samples with some, and whether a file treats them as PyTorch does.

They are run apart from all other samples, since their answers are no numbers that an error could be measured in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import Finding, SampleSet, TensorCheck, TensorFiles
from tritonize.core.messages import samples as wording
from tritonize.spec import schema

STREAM = 1_000_001
"""Number of the stream that says which elements they are; never that of a sample or an example."""
CASES: Mapping[str, tuple[float, ...]] = {"nan": (np.nan,), "infinity": (np.inf, -np.inf)}
_FEW, _MANY = 64, 3
"""From so many elements on there are so many places instead of one: a network often spreads one over all of its answer."""
_STRUCTURE = ("padding_mask", "one_hot")
"""Distributions of inputs whose values are no measurements."""


@dataclass(frozen=True, kw_only=True)
class NonfiniteAnswers:
    """What PyTorch answered to them."""

    samples: SampleSet
    """The cases that it answers, as edge cases by name."""
    outputs: TensorFiles


def write(model: schema.Model, drawn: SampleSet, directory: Path) -> SampleSet | None:
    """One sample per case: the first drawn one with a few elements of every floating input replaced; `None` where there is none."""
    if model.quality.nan == "off" or not model.quality.edge_cases:
        return None
    floating = [
        name
        for name, tensor in model.inputs.items()
        if dtypes.by_name(tensor.dtype).floating and tensor.distribution not in _STRUCTURE
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
    """The array with each of the values at some places of its own."""
    if not chosen or not array.size:
        return array
    count = min(array.size, len(values) * (_MANY if array.size >= _FEW else 1))
    places = np.random.default_rng([seed, STREAM]).permutation(array.size)[:count]
    changed = np.array(array)
    changed.reshape(-1)[places] = np.resize(np.asarray(values), count).astype(array.dtype)
    return changed


def differences(
    known: NonfiniteAnswers, answers: Mapping[str, Arrays | str], judge: Callable[[Arrays, Arrays], tuple[TensorCheck, ...]]
) -> Iterator[Finding]:
    """What a file answers otherwise than PyTorch.

    Args:
        answers: what the file answers, by case; why it has no answer, where it has none.
        judge: compares two answers by the tolerances.
    """
    for index, case in known.samples.edges.items():
        expected, found = arrays.load(known.outputs, index), answers[case]
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
    """The first elements, for a person."""
    if array is None:
        return None
    shown = ", ".join(f"{value:.4g}" for value in array.reshape(-1)[:6].tolist())
    return f"[{shown}{', …' if array.size > 6 else ''}]"
