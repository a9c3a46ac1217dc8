"""Carry the state of a stateful model from step to step, as Triton does between the requests of a sequence.

A step with its controls and its state is an ordinary sample: one call of the model computes outputs and next state from it. So a
sequence is run once, step by step, and from then on every step can be compared by itself, in any batch and at any stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays, progress
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, Sequences
from tritonize.core.errors import UsageError
from tritonize.core.messages import sequences as wording

Run = Callable[[Arrays], Arrays]
"""Computes the outputs of one step, by name."""


class Carrier:
    """Holds the state between the steps of a sequence. The steps come in the samples' order."""

    def __init__(self, sequences: Sequences | None) -> None:
        self._sequences = sequences
        self._state: Arrays = {}

    def into(self, index: int, item: Arrays) -> Arrays:
        """The step with the state of the step before it; unchanged at the start of a sequence."""
        sequences = self._sequences
        if sequences is None or index in sequences.starts:
            return item
        return {**item, **self._state}

    def take(self, outputs: Arrays) -> None:
        """Keep the state that a step returned.

        Raises:
            UsageError: the model does not return it.
        """
        states = self._sequences.states if self._sequences else {}
        if missing := [output for output in states.values() if output not in outputs]:
            raise UsageError.of(wording.NO_STATE_OUTPUT, found=", ".join(outputs), output=missing[0])
        self._state = {own: outputs[output] for own, output in states.items()}


def roll_out(samples: SampleSet, run: Run, directory: Path) -> SampleSet:
    """Run every sequence step by step, and write all samples with the states that the model returned.

    Raises:
        UsageError: the model does not return a state, or one of another type than it takes.
    """
    sequences = samples.sequences
    assert sequences is not None
    files = replace(samples.files, directory=directory)
    carrier, dtypes = Carrier(sequences), {tensor.name: tensor.dtype for tensor in files.tensors}
    for index in progress.counted(range(samples.files.count), "step"):
        item = carrier.into(index, arrays.load(samples.files, index))
        for name in sequences.states:
            if (found := arrays.dtype_name(item[name])) != dtypes[name]:
                raise UsageError.of(
                    wording.STATE_TYPE, expected=dtypes[name], found=found, name=name, output=sequences.states[name]
                )
        arrays.save(files, index, item)
        if index + 1 < samples.files.count and index + 1 not in sequences.starts:
            carrier.take(run(item))
    return replace(samples, files=files)


def require_reset(samples: SampleSet, run: Run, *, close: Callable[[Array, Array, str], bool]) -> None:
    """Require that no output depends on a state that Triton leaves uninitialized at the start of a sequence.

    Its memory may hold anything, so the first step of each sequence runs with zeros there, and with NaN or the largest integer.

    Args:
        close: whether two arrays of one output, whose name is the third argument, are equal within its tolerance.

    Raises:
        UsageError: an output depends on it; the error names it.
    """
    sequences = samples.sequences
    if sequences is None or not sequences.unset:
        return
    for index in sequences.starts:
        item = arrays.load(samples.files, index)
        first, second = (run({**item, **dict(_filled(item, sequences, most=most))}) for most in (False, True))
        for name, array in first.items():
            if name not in second or not close(array, second[name], name):
                raise UsageError.of(
                    wording.STATE_NOT_RESET, where=f"output {name}, sample {index}", states=", ".join(sequences.unset)
                )


def _filled(item: Arrays, sequences: Sequences, *, most: bool) -> Iterator[tuple[str, Array]]:
    for name in sequences.unset:
        array = arrays.empty_like(item[name])
        if most and array.dtype != object:
            array[...] = True if array.dtype.kind == "b" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.nan
        yield name, array
