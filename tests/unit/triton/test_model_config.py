"""config.pbtxt: golden files compared as text, parsed back with Triton's protobuf."""

from __future__ import annotations

import os

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tests.support.command import CHECKOUT
from tests.support.model_configs import CASES
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
