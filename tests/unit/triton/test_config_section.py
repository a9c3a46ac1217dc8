"""The `triton:` section of a spec as protobuf text."""

from __future__ import annotations

import pytest

from tests.support.model_configs import artifact, model, tensor
from tritonize.triton import config_section, model_config


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.5, "0.5"), (True, "true"), (False, "false"), ("x", "x"), ({"string_value": "y"}, "y")],
)
def test_parameters_take_plain_values(value: object, text: str) -> None:
    section = {"parameters": {"intra_op_thread_count": value}}
    assert list(config_section.problems(section)) == []
    parsed = model_config.parse(config_section.as_text(model(triton=section), {}), where="")
    assert parsed["parameters"] == {"intra_op_thread_count": {"string_value": text}}


@pytest.mark.parametrize("value", [None, [1], {"text": "x"}])
def test_other_values_of_parameters_are_problems(value: object) -> None:
    (problem,) = config_section.problems({"parameters": {"a": value}})
    assert problem[0][0] == "parameters"


def test_a_comment_says_why_a_field_is_there_that_the_spec_does_not_have() -> None:
    chosen = config_section.as_text(model(max_batch_size=4), {})
    assert chosen.startswith("# dynamic_batching: the default, since max_batch_size is above 1\ndynamic_batching {")
    for section in ({"dynamic_batching": {}}, {"instance_group": [{"count": 2}], "dynamic_batching": {}}):
        assert "#" not in config_section.as_text(model(triton=section), {})
    plans = config_section.as_text(model(), {"8.9": "a.plan"})
    assert "# cc_model_filenames: one plan for each compute capability\ncc_model_filenames {" in plans


def test_the_order_in_the_spec_changes_no_text() -> None:
    section = {"instance_group": [{"count": 2}], "dynamic_batching": {}, "version_policy": {"all": {}}}
    backwards = dict(reversed(section.items()))
    assert config_section.as_text(model(triton=section), {}) == config_section.as_text(model(triton=backwards), {})


def test_dynamic_axes_are_named_in_a_comment_that_no_name_can_end() -> None:
    described = model(inputs={"x": {"shape": ["batch", "height", "width"]}}, axes={"height": {"min": 2, "max": 8}})
    text = model_config.render(
        "m", described, artifact([tensor("x", "fp32", "batch", "height", 'a\n" } evil')], [tensor("y", "fp32", "batch", 1)])
    )
    assert "dims: [ -1, -1 ]  # -1: height 2 to 8; an axis\n" in text
    assert "evil" not in text
