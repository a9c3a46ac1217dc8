"""PyTorch and ONNX Runtime run the sequences of a stateful model step by step, each in its own precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import stateful
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import UsageError
from tritonize.onnx_model.tasks import RunRequest
from tritonize.onnx_model.worker import session
from tritonize.reference.tasks import ReferenceRequest, ReferenceResult
from tritonize.reference.worker import runner
from tritonize.source import samples
from tritonize.source.tasks import LoadRequest

THIRD = torch.tensor(1 / 3)


class Sums(torch.nn.Module):
    """The model of `stateful`, with thirds, which no type holds exactly."""

    def __init__(self, keeps_nan: bool) -> None:
        super().__init__()
        self.keeps_nan = keeps_nan

    def forward(self, X, START, END, STATE):  # noqa: N803 - the inputs have the names of its parameters
        before = STATE * (1 - START) if self.keeps_nan else torch.where(START > 0, torch.zeros_like(STATE), STATE)
        total = (X + before) * THIRD.to(X.dtype)
        return total + 10 * END, total


def right() -> torch.nn.Module:
    return Sums(keeps_nan=False)


def wrong() -> torch.nn.Module:
    return Sums(keeps_nan=True)


def computed(factory: str, drawn: SampleSet) -> ReferenceResult:
    load = LoadRequest(
        kind="factory", location=f"{__name__}:{factory}", inputs=tuple(stateful.model().inputs), outputs=("Y", "NEXT")
    )
    return runner.compute(
        ReferenceRequest(model=load, samples=drawn, batches=((0, 1),), directory=Path("out"), float64=True, tolerances={})
    )


def drawn() -> SampleSet:
    return samples.add_edges(stateful.model(), samples.write(stateful.model(), Path("drawn")))


def test_each_precision_carries_its_own_state() -> None:
    found = computed("right", drawn())
    assert found.observed.exact is not None
    assert found.observed.exact.outputs is not None
    for members in found.samples.together:
        states = {np.float32: np.zeros((1, 2), np.float32), np.float64: np.zeros((1, 2))}
        for index in members:
            item = arrays.load(found.samples.files, index)
            np.testing.assert_array_equal(item["STATE"], states[np.float32])
            third = np.float32(1 / 3)
            states = {kind: ((item["X"].astype(kind) + state) * kind(third)).astype(kind) for kind, state in states.items()}
            np.testing.assert_array_equal(arrays.load(found.outputs, index)["NEXT"], states[np.float32])
            np.testing.assert_array_equal(arrays.load(found.observed.exact.outputs, index)["NEXT"], states[np.float64])


def test_a_model_that_keeps_nan_from_an_uninitialized_state_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        computed("wrong", drawn())
    assert (caught.value.code, caught.value.where) == ("sequence-state-not-reset", "output Y, sample 0")


def test_onnx_runtime_rolls_the_sequences_of_a_file_out() -> None:
    known = stateful.golden(Path("known"))
    without_states = drawn()
    request = RunRequest(
        path=stateful.write(Path("model.onnx")), samples=without_states, batches=((2,),), directory=Path("ran"), roll_out=True
    )
    found = session.run(request)
    assert found.samples is not None
    for index in range(known.samples.files.count):
        np.testing.assert_array_equal(
            arrays.load(found.samples.files, index)["STATE"], arrays.load(known.samples.files, index)["STATE"]
        )
    np.testing.assert_array_equal(arrays.load(found.outputs[0], 0)["Y"], known.expected_outputs((2,))["Y"])
