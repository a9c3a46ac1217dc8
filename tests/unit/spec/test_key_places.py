"""A key at the wrong level of a spec: the error names the right place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import CHECKOUT
from tritonize.core.errors import UsageError
from tritonize.plans import from_spec
from tritonize.spec import key_places, loader
from tritonize.spec.schema import Spec
from tritonize.workflows import plan_request


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("models.heart.tolerance", "models.heart.outputs.<name>.tolerance"),
        ("models.heart.outputs.y.rtol", "models.heart.outputs.y.tolerance.rtol"),
        ("models.heart.outputs.y.min", "models.heart.outputs.y.metrics.<name>.min"),
        ("models.heart.outputs.nan", "models.heart.quality.nan"),
        ("models.heart.samples.noise_floor", "models.heart.quality.noise_floor"),
        ("models.heart.quality.tf32", "models.heart.builder.tf32"),
        ("models.heart.dynamic_batching", "models.heart.triton.dynamic_batching"),
        ("models.heart.inputs.x.max", "models.heart.axes.<name>.max"),
        ("max_batch_size", "models.<name>.max_batch_size"),
        ("seed", "models.<name>.samples.seed"),
        ("models.heart.compute_capabilities", "target.compute_capabilities"),
        ("models.heart.nothing", None),
    ],
)
def test_a_key_at_the_wrong_level_gets_its_place(where, place):
    found = key_places.elsewhere(tuple(where.split(".")), Spec)
    assert (found and ".".join(map(str, found))) == place


def test_the_error_names_line_and_place():
    Path("s.yaml").write_text("schema: 1\nmodels:\n  m:\n    source: m.pt\n    tolerance: {rtol: 1.0e-3}\n    inputz: {}\n")
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    first, second = error.value.details
    assert first.startswith("line 5: models.m.tolerance:")
    assert first.endswith("models.m.outputs.<name>.tolerance")
    assert "did you mean 'inputs'?" in second


def test_the_readmes_request_names_a_spec_with_plans():
    """The command itself is run with the others of the documentation."""
    line = next(
        line
        for line in (CHECKOUT / "docs/how-to/tensorrt-plans.md").read_text().splitlines()
        if "tritonize plan request examples" in line
    )
    specification = loader.load(CHECKOUT / line.split()[3])
    assert {model.backend for model in specification.models.values()} <= set(from_spec.MODULES)


def test_a_request_for_a_model_without_plans_names_the_backend_to_write():
    with pytest.raises(UsageError) as error:
        plan_request.request(loader.load(CHECKOUT / "examples/first/first.yaml"), Path("request"))
    assert error.value.code == "no-plans"
    assert "backend: tensorrt" in error.value.next_step
