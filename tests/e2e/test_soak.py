"""A minute of the soak of the embedded server, and what makes the soak fail; `make soak` runs ten minutes."""

from __future__ import annotations

import pytest

from benchmarks import soak
from benchmarks.soak import Counts, Resources


@pytest.mark.slow
@pytest.mark.server
def test_a_minute_of_mixed_requests_gets_right_responses_and_leaks_nothing():
    counts, seen = soak.soak(60.0, seed=1)
    print(soak.table(counts, seen))
    assert soak.problems(counts, seen, memory_slack=0.15) == []  # a minute is within the rise at the start; see MEMORY_SLACK
    assert max(each.memory for each in seen) < 128 << 20
    for transport in soak.TRANSPORTS:
        assert counts.requests[f"{transport}, good, answered"] > 100
        assert counts.requests[f"{transport}, bad, refused"] > 10


def resources(**changed: int) -> Resources:
    return Resources(**{"memory": 100 << 20, "threads": 10, "descriptors": 20, "shared_files": 0, **changed})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"memory": 102 << 20}, None),
        ({"memory": 104 << 20}, "memory grew from 100.0 to 104.0 MiB"),
        ({"threads": 11}, "threads grew from 10 to 11"),
        ({"descriptors": 21}, "descriptors grew from 20 to 21"),
        ({"shared_files": 1}, "shared_files grew from 0 to 1"),
    ],
)
def test_a_resource_that_grows_is_a_problem(changed, problem):
    seen = [resources()] * 6 + [resources(**changed)] * 2
    assert soak.problems(Counts(), seen) == ([problem] if problem else [])


def test_a_wrong_response_is_a_problem():
    counts = Counts()
    counts.add("http, good, answered")
    counts.add("http, good, answered", "http negative: a wrong response")
    assert soak.problems(counts, [resources()] * 8) == ["http negative: a wrong response"]
    assert soak.problems(Counts(), [resources()]) == ["the time was too short to judge resources"]
