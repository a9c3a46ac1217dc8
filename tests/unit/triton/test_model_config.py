"""config.pbtxt: golden files compared as text, parsed back with Triton's protobuf."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tests.support.command import CHECKOUT
from tests.support.model_configs import CASES, artifact, model, tensor
from tritonize.core.errors import UsageError
from tritonize.triton import config_template, model_config

GOLDEN = CHECKOUT / "tests" / "support" / "golden"


@pytest.mark.parametrize("name", CASES)
def test_the_text_equals_the_golden_file_and_parses(name):
    labels = {
        output: model_config.label_filename(output, "cat\n") for output, rules in CASES[name][0].outputs.items() if rules.labels
    }
    text = model_config.render(name, *CASES[name], labels=labels)
    assert model_config.label_files(model_config.parse(text, where="")) == labels
    foreseen, later = model_config.foreseen(name, CASES[name][0]), {"input", "output"}
    assert {field: value for field, value in model_config.parse(text, where="").items() if field not in later} == foreseen
    path = GOLDEN / f"{name}.pbtxt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), "if the change is meant: UPDATE_GOLDEN=1 make test"
    message = text_format.Parse(text, model_config_pb2.ModelConfig())
    wanted, built = CASES[name]
    assert message.name == name
    assert message.max_batch_size == wanted.max_batch_size
    assert "max_batch_size" in text  # protobuf text drops a zero; Triton needs it
    assert [each.name for each in message.input] == [each.name for each in built.inputs]
    assert (message.platform, message.backend) == ("onnxruntime_onnx", "onnxruntime")


def test_a_tensor_with_only_the_batch_axis_gets_a_reshape():
    text = model_config.render("labels", *CASES["labels"])
    index = text_format.Parse(text, model_config_pb2.ModelConfig()).output[1]
    assert (list(index.dims), index.HasField("reshape"), list(index.reshape.shape)) == ([1], True, [])


def test_strings_cannot_break_out_of_the_text():
    quoted = config_template.quote('x" } output [ { name: "evil\n\\')
    message = text_format.Parse(f"name: {quoted}", model_config_pb2.ModelConfig())
    assert message.name == 'x" } output [ { name: "evil\n\\'


def test_dynamic_batching_is_on_if_the_batch_size_exceeds_one():
    wanted, built = CASES["labels"]
    assert "dynamic_batching" in model_config.render("labels", wanted, built)
    assert "dynamic_batching" not in model_config.render("every_section", *CASES["every_section"])
    assert "dynamic_batching" not in model_config.render("no_batch", *CASES["no_batch"])


def test_an_invalid_pbtxt_is_an_error_with_its_line():
    with pytest.raises(UsageError) as caught:
        model_config.parse('name: "a"\nmax_batch_sice: 1\n', where="config.pbtxt")
    assert caught.value.found.startswith("2:1")


def test_differences_name_the_field():
    base = model_config.parse(model_config.render("heart", *CASES["heart"]), where="")
    assert model_config.differences(base, base, where="w") == ()
    server = {**base, "model_warmup": [], "version_policy": {"latest": {"num_versions": 1}}}
    assert model_config.differences(base, server, where="w") == ()  # defaults a server fills in
    other = model_config.parse(model_config.render("heart", *CASES["heart"]).replace("160", "161", 1), where="")
    (finding,) = model_config.differences(base, other, where="w")
    assert (finding.what, finding.expected, finding.found) == ("input[0].dims[1]", "160", "161")
    (finding,) = model_config.differences(base, {**base, "output": []}, where="w")
    assert finding.what == "output"


OWN = """
# written by hand
name: "m"
platform: "onnxruntime_onnx"
max_batch_size: 2
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def own(text: str) -> str:
    Path("own.pbtxt").write_text(text)
    built = artifact([tensor("x", "fp32", "batch", 4)], [tensor("y", "fp32", "batch", 3)])
    return model_config.render("m", model(config="own.pbtxt"), built)


def test_a_configuration_of_the_users_own_is_published_as_it_is():
    assert own(OWN) == OWN
    for unnecessary in ('name: "m"\n', "# written by hand\n"):
        assert own(OWN.replace(unnecessary, "")) == OWN.replace(unnecessary, "")


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('name: "m"', 'name: "n"', "name: n, expected m"),
        ("onnxruntime_onnx", "tensorrt_plan", "platform: tensorrt_plan, expected onnxruntime_onnx"),
        ('platform: "onnxruntime_onnx"', "", "backend: not set, expected onnxruntime"),
        ("max_batch_size: 2", "max_batch_size: 4", "max_batch_size: 4, expected 2"),
        ('"x"', '"z"', "input x: not set"),
        ('"x"', '"z"', "input z: the model has none of this name"),
        ('"y" data_type: TYPE_FP32', '"y" data_type: TYPE_FP64', "output y: TYPE_FP64, expected TYPE_FP32"),
        ("dims: [ 4 ]", "dims: [ 5 ]", "input x: dims [5], expected [4]"),
        ("dims: [ -1 ]", "dims: [ 1, 3 ]", "output y: dims [1, 3], expected [3]"),
    ],
)
def test_a_configuration_that_contradicts_the_model_is_an_error_with_each_line(before, after, line):
    with pytest.raises(UsageError) as caught:
        own(OWN.replace(before, after))
    assert caught.value.code == "model-config-own-differs"
    assert line in caught.value.details


def test_an_unreadable_configuration_of_the_users_own_is_an_error():
    with pytest.raises(UsageError) as caught:
        model_config.render("m", model(config="absent.pbtxt"), artifact([], []))
    assert caught.value.code == "model-config-own-unreadable"


def test_an_error_quotes_a_long_line_in_part():
    with pytest.raises(UsageError) as caught:
        model_config.parse(f'name: "m" parameters {"{" * 5_000}', where="config.pbtxt")
    found = caught.value.found
    assert found.startswith('1:23 : \'name: "m" parameters {{')
    assert found.endswith("Expected identifier or number, got {.")
    assert len(found) < 410
