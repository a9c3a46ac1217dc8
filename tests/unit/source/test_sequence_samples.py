"""Samples of a stateful model: steps of sequences, with controls and states as Triton gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import stateful
from tritonize.core import arrays, sequence_states
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import UsageError
from tritonize.quality import golden_set
from tritonize.reference import golden_file, requirements
from tritonize.source import samples
from tritonize.spec import schema


def column(known: Any, name: str) -> list[float]:
    return [float(arrays.load(known.files, index)[name].reshape(-1)[0]) for index in range(known.files.count)]


def test_sequences_differ_in_length_and_their_steps_have_the_controls() -> None:
    drawn = samples.write(stateful.model(), Path("drawn"))
    assert drawn.together == [(0, 1, 2, 3), (4, 5), (6, 7, 8, 9), (10, 11)]
    assert column(drawn, "START") == [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0]
    assert column(drawn, "END") == [0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1]
    assert set(column(drawn, "STATE")) == {0}
    with_edges = samples.add_edges(stateful.model(), drawn)
    assert with_edges.together[4:] == [(12,), (13,)]  # zeros and ones, each a sequence of one step
    assert column(with_edges, "START")[12:] == column(with_edges, "END")[12:] == [1, 1]
    left = arrays.without_edges(with_edges, {"zeros"})
    assert left.together[4:] == [(12,)]


@pytest.mark.parametrize("dtype", ["uint64", "int32", "string"])
def test_each_sequence_has_a_correlation_id_of_its_own(dtype: str) -> None:
    triton = "TYPE_STRING" if dtype == "string" else f"TYPE_{dtype.upper()}"
    control = {"name": "ID", "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": triton}]}
    inputs = {"X": {"shape": ["batch", 2]}, "ID": {"shape": ["batch", 1], "dtype": dtype}}
    described = stateful.model(inputs=inputs, triton={"sequence_batching": {"control_input": [control]}}, outputs={})
    texts = described.model_copy(update={"samples": described.samples.model_copy(update={"texts": {"ID": ["any"]}})})
    drawn = samples.write(texts if dtype == "string" else described, Path("drawn"))
    ids = [str(arrays.load(drawn.files, members[0])["ID"][0, 0]) for members in drawn.together]
    assert [int(each) - int(ids[0]) for each in ids] == [0, 1, 2, 3]
    assert 2**20 <= int(ids[0]) < 2**30


@pytest.mark.parametrize("batched", [True, False])
def test_a_sample_file_is_a_sequence_along_its_first_axis(batched: bool) -> None:
    steps = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez("one.npz", X=steps)
    np.savez("two.npz", X=steps[:2] + 10)
    axes = ["batch"] if batched else []
    inputs = {name: {"shape": [*axes, size]} for name, size in (("X", 2), ("START", 1), ("END", 1), ("STATE", 2))}
    described = stateful.model(inputs=inputs, samples={"files": "*.npz"}, max_batch_size=4 if batched else 0)
    drawn = samples.write(described, Path("drawn"))
    assert drawn.together == [(0, 1, 2), (3, 4)]
    assert column(drawn, "X") == [0, 2, 4, 10, 12]
    assert arrays.load(drawn.files, 0)["X"].shape == ((1, 2) if batched else (2,))


def test_the_state_of_every_step_is_what_the_step_before_it_returned() -> None:
    known = stateful.golden(Path())
    for members in known.samples.together:
        total = np.zeros((1, 2), np.float32)
        for index in members:
            np.testing.assert_array_equal(arrays.load(known.samples.files, index)["STATE"], total)
            total += arrays.load(known.samples.files, index)["X"]
            np.testing.assert_array_equal(known.expected_outputs((index,))["NEXT"], total)


def test_a_state_that_is_not_returned_or_has_another_type_is_an_error() -> None:
    drawn = samples.write(stateful.model(), Path("drawn"))
    with pytest.raises(UsageError, match="does not return 'NEXT'"):
        sequence_states.roll_out(drawn, lambda item: {"Y": item["X"]}, Path("a"))
    with pytest.raises(UsageError, match="another type"):
        sequence_states.roll_out(drawn, lambda item: {"NEXT": item["X"].astype(np.float64)}, Path("b"))


def exactly(one: Array, other: Array, _name: str) -> bool:
    return bool(np.array_equal(one, other))


def multiplied(item: Arrays) -> Arrays:
    """Right for every state but NaN."""
    return {"NEXT": item["X"] + item["STATE"] * (1 - item["START"])}


def test_no_output_may_depend_on_a_state_that_triton_does_not_initialize() -> None:
    drawn = samples.write(stateful.model(), Path("drawn"))
    sequence_states.require_reset(drawn, stateful.step, close=exactly)
    with pytest.raises(UsageError) as caught:
        sequence_states.require_reset(drawn, multiplied, close=exactly)
    assert caught.value.code == "sequence-state-not-reset"
    zeros = {**stateful.STATE, "initial_state": [{"name": "z", "data_type": "TYPE_FP32", "dims": [2], "zero_data": True}]}
    batching = {**stateful.model().triton["sequence_batching"], "state": [zeros]}
    initialized = samples.write(stateful.model(triton={"sequence_batching": batching}), Path("other"))
    sequence_states.require_reset(initialized, multiplied, close=exactly)


def test_a_golden_set_keeps_whole_sequences() -> None:
    known = stateful.golden(Path())
    one = golden_set._bytes(known, 0)
    assert golden_set.fitting(known, budget=7 * one) == [0, 1, 2, 3, 4, 5]
    assert golden_set.fitting(known, budget=7 * one, first=[7]) == [6, 7, 8, 9]
    kept = golden_set.write(known, Path("kept"), keep=[4, 5, 6, 7, 8, 9, 12])
    assert kept.samples.together == [(0, 1), (2, 3, 4, 5), (6,)]
    assert kept.samples.sequences is not None
    assert kept.samples.sequences.states == {"STATE": "NEXT"}
    assert kept.samples.sequences.unset == ("STATE",)
    assert golden_file._fitting(known, {}, 0) == 4
    assert golden_file._first(known, 4).samples.together == [(0, 1, 2, 3)]


def test_a_golden_set_whose_sequences_make_no_sense_is_damaged() -> None:
    known = golden_set.facts(stateful.golden(Path()))
    for starts in ([], [1, 4], [0, 4, 4], [0, 99]):
        with pytest.raises(ValueError, match=r"belongs together starts at|sequences have no samples"):
            golden_set.from_facts(Path(), {**known, "sequences": {"starts": starts, "states": {}, "unset": []}})


def test_a_state_that_grows_is_batched_at_the_start_alone() -> None:
    growing = {**stateful.STATE, "dims": [-1]}
    batching = {**stateful.model().triton["sequence_batching"], "state": [growing]}
    inputs = {**stateful.model().inputs, "STATE": schema.Input(shape=["batch", "seen"])}
    described = stateful.model(triton={"sequence_batching": batching}, axes={"seen": {"max": 9}}, inputs=inputs)
    drawn = samples.write(described, Path("drawn"))
    assert {index for batch in requirements.first_batches(described, drawn) for index in batch} <= set(drawn.sequences.starts)
    rolled = sequence_states.roll_out(
        drawn, lambda item: {"NEXT": np.concatenate([item["STATE"], item["X"]], axis=1)}, Path("rolled")
    )
    assert [arrays.load(rolled.files, index)["STATE"].shape for index in range(4)] == [(1, 1), (1, 3), (1, 5), (1, 7)]
