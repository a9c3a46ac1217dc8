"""Run the sequences of a stateful model step by step, before its steps are compared one by one. Runs in a worker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tritonize.core import sequence_states
from tritonize.core.arrays import Array, Arrays
from tritonize.process.stopwatch import Stopwatch
from tritonize.quality.differences import measure, numeric
from tritonize.reference.tasks import ReferenceRequest
from tritonize.source.worker.torch_model import LoadedModel


def rolled_out(model: LoadedModel, request: ReferenceRequest, *, watch: Stopwatch) -> ReferenceRequest:
    """The request with the states of all steps in its samples; unchanged for a model without state.

    Raises:
        UsageError: the model does not return its state, or depends on one that Triton does not initialize.
    """
    if request.samples.sequences is None:
        return request

    def run(item: Arrays) -> Arrays:
        with watch.library():
            return model.run(item)

    def close(one: Array, other: Array, output: str) -> bool:
        if one.shape != other.shape:
            return False
        if not numeric(one):
            return bool(np.array_equal(one, other))
        rtol, atol = request.tolerances.get(output, request.tolerance)
        return not measure(one, other, rtol, atol=atol).mismatched

    samples = sequence_states.roll_out(request.samples, run, request.directory / "steps")
    sequence_states.require_reset(samples, run, close=close)
    return replace(request, samples=samples)
