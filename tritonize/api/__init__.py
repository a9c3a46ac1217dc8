"""The public functions, each loaded when it is first used. They return results; they never print and never exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.api.building import build as build
    from tritonize.api.building import compare_models as compare_models
    from tritonize.api.building import measure_tolerance as measure_tolerance
    from tritonize.api.building import run as run
    from tritonize.api.plans import build_plans as build_plans
    from tritonize.api.plans import check_plan as check_plan
    from tritonize.api.plans import collect_plans as collect_plans
    from tritonize.api.plans import prove_plans as prove_plans
    from tritonize.api.plans import request_plans as request_plans
    from tritonize.api.verifying import diff as diff
    from tritonize.api.verifying import read_golden as read_golden
    from tritonize.api.verifying import verify as verify
    from tritonize.api.verifying import write_golden as write_golden

HOMES = {
    "build": "building",
    "compare_models": "building",
    "measure_tolerance": "building",
    "run": "building",
    "build_plans": "plans",
    "check_plan": "plans",
    "collect_plans": "plans",
    "prove_plans": "plans",
    "request_plans": "plans",
    "diff": "verifying",
    "read_golden": "verifying",
    "verify": "verifying",
    "write_golden": "verifying",
}
"""Public function to the module that defines it."""

__all__ = [  # noqa: RUF022 - by module
    "build",
    "compare_models",
    "measure_tolerance",
    "run",
    "build_plans",
    "check_plan",
    "collect_plans",
    "prove_plans",
    "request_plans",
    "diff",
    "read_golden",
    "verify",
    "write_golden",
]

__getattr__ = lazy.attach(__name__, HOMES)
