"""The native backend under AddressSanitizer and UndefinedBehaviorSanitizer: nothing is found, and what is wrong is found."""

from __future__ import annotations

import time

import pytest

from tests.support.sanitize import building
from tests.support.sanitize.running import Outcome, Sanitized

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("sanitize"),  # so that the program is compiled once
    pytest.mark.skipif(not building.compiler(), reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return Sanitized.build(tmp_path_factory.mktemp("sanitize"))


def failed(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.name: each.output for each in outcomes if not each.passed}


def test_every_scenario_goes_as_it_says(sanitized: Sanitized) -> None:
    outcomes = sanitized.scenarios(failing=False)
    assert failed(outcomes) == {}
    assert len(outcomes) > 60
    assert {each.runs for each in outcomes} == {1}


def test_every_failing_call_of_the_server_ends_in_an_error(sanitized: Sanitized) -> None:
    outcomes = sanitized.scenarios(failing=True)
    assert failed(outcomes) == {}
    assert min(each.runs for each in outcomes) > 3


def test_a_minute_of_random_configurations_and_requests_finds_nothing(sanitized: Sanitized) -> None:
    outcome = sanitized.fuzz(seed=int(time.strftime("%Y%m%d")) * 1_000_000, seconds=60)
    assert outcome.passed, outcome.output
    assert outcome.runs > 500


def test_a_seed_plays_the_same_again(sanitized: Sanitized) -> None:
    first, second = (sanitized.fuzz(seed=7, seconds=0, runs=40) for _ in range(2))
    assert first.passed, first.output
    assert first.output.splitlines()[-1] == second.output.splitlines()[-1]  # how many were loaded and answered


def test_the_probe_of_onnx_runtime_finds_nothing(sanitized: Sanitized) -> None:
    outcome = sanitized.probe()
    assert outcome.passed, outcome.output


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("read", "heap-buffer-overflow"),
        ("write", "heap-buffer-overflow"),
        ("leak", "detected memory leaks"),
        ("overflow", "signed integer overflow"),
        ("rule", "finding:"),
    ],
)
def test_what_is_wrong_is_found(sanitized: Sanitized, way: str, said: str) -> None:
    outcome = sanitized.run(way, "broken", way)
    assert not outcome.passed
    assert said in outcome.output
