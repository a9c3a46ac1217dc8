"""The comparison with a golden set: batches, their expected outputs, and the checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.stages import StageName
from tritonize.quality import ErrorTracker, GoldenSet, check_batches, check_outputs
from tritonize.quality.batch_checks import SingleOutputs
from tritonize.quality.golden_set import Rules
from tritonize.spec.schema import Tolerance


def files(place: Path, name: str, items: list[np.ndarray]) -> TensorFiles:
    made = TensorFiles(directory=place / name, tensors=(TensorSpec(name="y", dtype="fp32", shape=("b", 2)),), count=len(items))
    for index, item in enumerate(items):
        arrays.save(made, index, {"y": item.astype(np.float32)})
    return made


def golden(place: Path, *, batched: bool = True) -> GoldenSet:
    """Two drawn samples and an edge case; the expected output of sample n is full of n."""
    own = files(place, "expected", [np.full((1, 2), index) for index in range(3)])
    inputs = files(place, "inputs", [np.full((1, 2), index) for index in range(3)])
    samples = SampleSet(files=inputs, batched=batched, origin="test", edges={2: "zeros"})
    rules = {"y": Rules(tolerance=Tolerance(rtol=0.0, atol=0.1))}
    return GoldenSet(samples=samples, expected=own, max_batch_size=2 if batched else 0, rules=rules)


def test_batches_have_every_sample_at_every_size_and_edge_cases_alone(tmp_path):
    assert golden(tmp_path / "a").batches() == [(2,), (0,), (1,), (0, 1)]
    assert golden(tmp_path / "b", batched=False).batches() == [(0,), (1,), (2,)]


def test_the_expected_output_of_a_batch_is_that_of_its_samples_concatenated(tmp_path):
    known = golden(tmp_path)
    right = files(tmp_path, "found", [known.expected_outputs(batch)["y"] + 0.05 for batch in known.batches()])
    checks = list(check_batches(known, StageName.ONNXRUNTIME, known.batches(), found=SingleOutputs(right)))
    assert [(check.samples, check.batch_size, check.passed) for check in checks] == [
        ((2,), 1, True),
        ((0,), 1, True),
        ((1,), 1, True),
        ((0, 1), 2, True),
    ]
    swapped = files(tmp_path, "swapped", [known.expected_outputs((1, 0))["y"]])
    (check,) = check_batches(known, StageName.ONNXRUNTIME, [(0, 1)], found=SingleOutputs(swapped))
    assert not check.passed


def test_the_expected_outputs_of_the_batches_can_be_replaced(tmp_path):
    known = golden(tmp_path)
    other = SingleOutputs(files(tmp_path, "other", [np.full((1, 2), 7.0)]))
    (check,) = check_batches(known, StageName.CHECK, [(0,)], found=other, expected=other)
    assert check.passed


def test_a_tracker_gets_every_output_and_agrees_with_the_checks(tmp_path):
    known, tracker = golden(tmp_path), ErrorTracker(golden(tmp_path))
    found = {"y": np.full((1, 2), 1.5, np.float32)}
    check = check_outputs(
        known, StageName.HTTP, (1,), expected=known.expected_outputs((1,)), found=found, tracker=tracker, seconds=0.25
    )
    assert check == check_outputs(known, StageName.HTTP, (1,), expected=known.expected_outputs((1,)), found=found, seconds=0.25)
    assert [(row.stage, row.metrics.max_abs) for row in tracker.rows()] == [(StageName.HTTP, 0.5)]


def test_a_model_without_batching_has_batch_size_zero(tmp_path):
    known = golden(tmp_path, batched=False)
    assert (
        check_outputs(
            known, StageName.HTTP, (0,), expected=known.expected_outputs((0,)), found=known.expected_outputs((0,))
        ).batch_size
        == 0
    )


def test_a_dropped_edge_case_is_removed_from_samples_and_outputs(tmp_path):
    known = golden(tmp_path).without({"zeros"})
    assert (known.samples.files.count, known.expected.count, known.samples.edges) == (2, 2, {})
