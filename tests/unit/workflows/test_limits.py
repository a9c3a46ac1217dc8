"""What the evidence says about the limits in use."""

from __future__ import annotations

import pytest

from tritonize.quality.golden_set import Rules
from tritonize.spec.schema import Tolerance
from tritonize.workflows.limits import Limits


def rules(tolerance: Tolerance | None = None, *, noise_floor: float | None = 10.0) -> dict[str, Rules]:
    return {"y": Rules(tolerance=tolerance or Tolerance(), noise_floor=noise_floor, noise_floor_gpu=100.0)}


def test_defaults_and_narrower_limits_are_recorded_without_a_note() -> None:
    for given in (rules(), rules(Tolerance(rtol=0.0, atol=1e-6), noise_floor=1.0)):
        limits = Limits.of(given, "heart.yaml")
        assert list(limits.notes()) == []
        assert limits.as_json()["wider"] == []
        assert limits.as_json()["outputs"]["y"]["atol"] == given["y"].tolerance.atol


def test_a_wider_limit_is_noted_with_its_default_and_where_it_was_set() -> None:
    limits = Limits.of(rules(Tolerance(rtol=1e-4, atol=0.01), noise_floor=None), "heart.yaml")
    assert list(limits.notes()) == [
        "Limits wider than the defaults (in parentheses), set in heart.yaml: y atol 0.01 (0.0009), y noise_floor off (10)."
    ]
    plain = limits.as_json()
    assert plain["wider"] == ["y: atol", "y: noise_floor"]
    assert plain["defaults"]["atol"] == 9e-4


def test_a_manifest_gives_them_back() -> None:
    limits = Limits.of(rules(Tolerance(rtol=1.0, atol=0.0)), "Python")
    assert Limits.from_manifest({"limits": limits.as_json()}) == limits
    assert Limits.from_manifest({}) is None


@pytest.mark.parametrize("plain", [None, [], {"set_in": "x"}, {"set_in": "x", "outputs": {"y": {"rtol": "much"}}}, {"outputs": []}])
def test_a_manifest_that_was_written_by_hand_is_no_crash(plain: object) -> None:
    assert Limits.from_manifest({"limits": plain}) is None
