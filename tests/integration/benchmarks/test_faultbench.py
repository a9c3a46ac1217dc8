"""The fault bench: a cheap part of it, and the rules of other tools against the tools' own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.faults import deploy, rules, table
from benchmarks.faults.bench import HEALTHY, Case, frozen, measure
from benchmarks.faults.frozen import BRANCHES, largest_error
from benchmarks.faults.judging import BOTH, NOISE, TOLERANCE, judge
from benchmarks.faults.models import MODELS
from benchmarks.faults.proof import prepare
from benchmarks.faults.rounding import tf32
from benchmarks.faults.sources import SOURCES
from benchmarks.faults.volumes import VOLUMES
from tritonize.core.arrays import Arrays

FAULTS = (
    "weights of one layer 1e-06",
    "weights of all layers 1e-04",
    "batchnorm in training mode",
    "TF32",
    "missing output",
    "NaN in 1 answer of 12",
    "stale version served",
    "rows of a batch mixed up",
    "padding leak",
    "wrong at zeros alone",
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Two models, one with tiny outputs, two seeds, a few faults."""
    chosen = [healthy for healthy in MODELS if healthy.name in ("classifier", "audio")]
    folder = tmp_path_factory.mktemp("bench")
    return [
        case
        for healthy in chosen
        for seed in range(2)
        for case in measure(healthy, seed, folder / f"{healthy.name}{seed}", faulted=True, only=FAULTS)
    ]


def test_every_counted_fault_is_found_and_every_healthy_model_passes(cases: list[Case]) -> None:
    assert {case.fault for case in cases} == {HEALTHY, *FAULTS}
    assert len(cases) == 4 * (1 + len(FAULTS))
    assert table.problems(cases) == ()


def test_each_gate_finds_faults_that_the_other_misses(cases: list[Case]) -> None:
    tiny = [case for case in cases if case.model == "audio" and case.fault == "TF32"]
    missing = [case for case in cases if case.fault == "missing output"]
    assert all(case.judged.accepted[TOLERANCE] and not case.judged.accepted[NOISE] for case in tiny)
    assert all(case.judged.accepted[NOISE] and not case.judged.accepted[TOLERANCE] for case in missing)


def test_the_rules_of_other_tools_get_the_outputs(cases: list[Case]) -> None:
    for fault, rule in (
        ("NaN in one element", "finite and shape"),
        ("all zeros", "torch, 1.3e-6/1e-5"),
        ("wrong shape", "rtol 1e-4, atol 9e-4"),
    ):
        assert not any(case.judged.accepted[rule] for case in cases if case.fault == fault), (fault, rule)
    assert all(case.judged.accepted["max-abs recorded only"] for case in cases if case.fault == "all zeros")


def test_only_evident_numerical_faults_count(cases: list[Case]) -> None:
    weak = [case for case in cases if case.fault == "weights of one layer 1e-06"]
    strong = [case for case in cases if case.fault == "TF32"]
    assert all(case.strength is not None and 0 < case.strength < 30 and not case.counts for case in weak)
    assert all(case.strength is not None and case.strength > 100 and case.counts for case in strong)


def test_a_missed_fault_and_a_false_alarm_are_problems(cases: list[Case]) -> None:
    healthy = next(case for case in cases if case.fault == HEALTHY)
    stale = next(case for case in cases if case.fault == "stale version served")
    alarm = replace(healthy, judged=replace(healthy.judged, accepted={**healthy.judged.accepted, BOTH: False}))
    missed = replace(stale, judged=replace(stale.judged, accepted={**stale.judged.accepted, BOTH: True}))
    assert table.problems([alarm, healthy, missed, stale]) == (alarm, missed)


def test_the_page_is_readable_in_80_columns(cases: list[Case]) -> None:
    page = table.text(cases, [], "no server here", "this machine")
    assert max(len(line) for line in page.splitlines()) <= 80
    assert "Not run: no server here" in page
    assert "tritonize: both" in page


def test_a_server_that_rejects_requests_does_not_pass(tmp_path: Path) -> None:
    proof = prepare(MODELS[0], 0, tmp_path)
    file = deploy.export(MODELS[0], MODELS[0].module(0))
    judged = judge(proof, lambda asked: {"value": np.zeros((len(asked.inputs["x"]), 4), np.float32)}, file)
    assert not judged.accepted[BOTH]
    assert judged.why


@pytest.mark.parametrize(("name", "fault"), [("spectral", "imaginary parts 5 % off"), ("flagged", "weights of one layer 1e-03")])
def test_faults_in_complex_weights_and_beside_an_output_without_float64_are_found(name: str, fault: str, tmp_path: Path) -> None:
    """Complex weights whose imaginary parts float64 would drop, and an output beside one without float64."""
    (healthy,) = [each for each in SOURCES if each.name == name]
    right, wrong = measure(healthy, 1, tmp_path, faulted=True, only=(fault,))
    assert (right.fault, wrong.fault, wrong.counts) == (HEALTHY, fault, True)
    assert table.problems([right, wrong]) == ()
    assert 0 < right.judged.k < 10


@pytest.mark.slow  # tests/integration/reference/test_sums.py has the same of one node
def test_a_normalization_of_a_volume_passes_and_its_faults_are_found(tmp_path: Path) -> None:
    (smallest,) = [each for each in VOLUMES if each.name == "instancenorm 96"]
    cases = list(measure(replace(smallest, faults=("weights of all layers 1e-05",)), 0, tmp_path, faulted=True))
    assert [case.fault for case in cases] == [HEALTHY, "weights of all layers 1e-05"]
    assert cases[1].strength is not None
    assert 30 < cases[1].strength < 60
    assert table.problems(cases) == ()


def test_frozen_branches_fail_and_harmless_ones_pass() -> None:
    cases = list(frozen(1))
    assert {case.fault for case in cases} > {HEALTHY}
    assert table.problems(cases) == ()
    assert all(largest_error(branch, 0) > 0.01 for branch in BRANCHES if branch.frozen)
    assert all(case.judged.accepted["torch, 1.3e-6/1e-5"] for case in cases)


def test_tf32_keeps_eleven_bits_in_both_precisions() -> None:
    for dtype in (torch.float32, torch.float64):
        values = torch.tensor([1.0, 1 + 2**-10, 1 + 2**-11 + 2**-20, 1 + 2**-12, -3.1415927], dtype=dtype)
        rounded = tf32(values).tolist()
        assert rounded[:4] == [1.0, 1 + 2**-10, 1 + 2**-10, 1.0]
        assert rounded[4] == round(-3.1415927 * 2**9) / 2**9


def _close(expected: np.ndarray, found: np.ndarray) -> bool:
    try:
        torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected))
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("rule", "tool"),
    [
        (rules.allclose, lambda expected, found: np.allclose(found, expected)),
        (rules.loose, lambda expected, found: np.allclose(found, expected, rtol=0.0001, atol=0.0009)),
        (rules.torch_default, _close),
    ],
)
def test_tolerances_are_those_of_the_tool(rule: rules.Rule, tool: Callable[[np.ndarray, np.ndarray], bool]) -> None:
    expected = np.array([0.0, 1.0, -1000.0], np.float32)
    verdicts = set()
    for step in (0.0, 5e-9, 2e-8, 5e-6, 1.2e-5, 8e-4, 1.2e-3, 0.2):
        for place in range(3):
            found = expected.copy()
            found[place] += step
            assert rule({"y": expected}, {"y": found}) == tool(expected, found), (step, place)
            verdicts.add(tool(expected, found))
    assert verdicts == {True, False}


def test_torch_requires_the_same_type_and_numpy_does_not() -> None:
    expected = {"y": np.ones(3, np.float32)}
    found = {"y": np.ones(3, np.float64)}
    assert not rules.torch_default(expected, found)
    assert rules.allclose(expected, found)
    assert rules.loose(expected, found)


def test_recorded_accepts_anything_that_can_be_subtracted() -> None:
    expected = {"y": np.ones((2, 3), np.float32)}
    assert rules.recorded(expected, {"y": np.full((2, 3), np.nan, np.float32)})
    assert rules.recorded(expected, {})
    assert not rules.recorded(expected, {"y": np.ones((2, 4), np.float32)})


@pytest.mark.parametrize(
    ("found", "accepted"),
    [
        ({"y": np.full((2, 3), 7, np.float32)}, True),
        ({"y": np.full((2, 3), np.inf, np.float32)}, False),
        ({"y": np.full((2, 3), np.nan, np.float32)}, False),
        ({"y": np.ones((3, 2), np.float32)}, False),
        ({"y": np.ones((2, 3), np.float32), "z": np.ones(1, np.float32)}, False),
        ({}, False),
    ],
)
def test_finite_and_shape(found: Arrays, accepted: bool) -> None:
    assert rules.finite_and_shape({"y": np.ones((2, 3), np.float32)}, found) is accepted
