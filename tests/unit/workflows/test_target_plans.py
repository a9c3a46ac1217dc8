"""Plans and a running server: when it gets a version, and what its responses prove."""

from __future__ import annotations

from typing import Any

import pytest

from tritonize.triton.on_target import Loaded
from tritonize.triton.served_comparison import Verification
from tritonize.workflows import run_report, serve_version


class _Plan:
    def __init__(self, verdict: str) -> None:
        self.verdict, self.elsewhere = verdict, False


def _served(*, on_target: bool) -> Verification:
    loaded = Loaded(model="x", config={}, how="") if on_target else None
    return Verification(checks=(), findings=(), stages=(), identity={}, on_target=loaded)


@pytest.mark.parametrize(
    ("verdicts", "here", "there"),
    [
        ([], True, True),  # an ONNX file
        (["passed"], True, True),
        (["not run"], False, True),  # no GPU here
        (["failed"], False, False),
        (["not run", "failed"], False, False),
    ],
)
def test_a_plan_without_a_gpu_here_goes_to_the_running_server(verdicts: list[str], here: bool, there: bool) -> None:
    class _Built:
        plans = tuple(map(_Plan, verdicts))

    built: Any = _Built()
    assert serve_version._can_be_served(built, on_target=False) == here
    assert serve_version._can_be_served(built, on_target=True) == there


@pytest.mark.parametrize(
    ("verdicts", "served", "expected"),
    [
        (["not run"], _served(on_target=True), "passed"),
        (["not run", "not run"], _served(on_target=True), "not run"),  # the server loads the one of its GPU
        (["not run"], _served(on_target=False), "not run"),
        (["passed"], _served(on_target=False), "passed"),
        (["passed"], None, "not run"),
    ],
)
def test_the_only_plan_is_proven_by_the_server_that_loaded_it(
    verdicts: list[str], served: Verification | None, expected: str
) -> None:
    plans: Any = tuple(map(_Plan, verdicts))
    assert run_report._of_plans(plans, served, command="run") == expected
    assert run_report._of_plans(plans, None, command="build") == ("passed" if set(verdicts) == {"passed"} else "not run")
