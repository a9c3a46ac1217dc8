"""config.pbtxt: golden files compared as text, parsed back with Triton's protobuf."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tests.support.command import CHECKOUT
from tritonize.core.artifacts import OnnxArtifact, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.spec import schema
from tritonize.triton import config_template, model_config

GOLDEN = CHECKOUT / "tests" / "support" / "golden"


def tensor(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def artifact(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> OnnxArtifact:
    return OnnxArtifact(
        path=Path("model.onnx"),
        node_map=None,
        sha256="",
        size=0,
        opset=18,
        ir_version=8,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        exporter="",
        strategy="legacy",
        simplified=True,
    )


def model(**fields) -> schema.Model:
    return schema.Model.model_validate({"source": "m.pt", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 2, **fields})


CASES = {
    "heart": (
        model(
            triton={
                "dynamic_batching": {"max_queue_delay_microseconds": 500},
                "instance_group": [{"kind": "KIND_CPU", "count": 2}],
            }
        ),
        artifact([tensor("INPUT__0", "fp32", "batch", 1, 160, 176, 176)], [tensor("OUTPUT__0", "fp32", "batch", 1, 160, 176, 176)]),
    ),
    "no_batch": (
        model(max_batch_size=0, inputs={"x": {"shape": [4, "length"]}}, axes={"length": {"max": 8}}),
        artifact([tensor("x", "int64", 4, "length")], [tensor("y", "bool", 4, "length"), tensor("sum", "fp64")]),
    ),
    "labels": (
        model(outputs={"probabilities": {"labels": "labels.txt"}, "index": {}}, max_batch_size=8),
        artifact(
            [tensor("image", "fp16", "batch", 3, 224, 224)],
            [tensor("probabilities", "bf16", "batch", 1000), tensor("index", "int32", "batch")],
        ),
    ),
    "every_section": (
        model(
            max_batch_size=1,
            triton={
                "optimization": {
                    "execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]},
                    "graph": {"level": 1},
                },
                "parameters": {"intra_op_thread_count": {"string_value": 'a "quoted" \\ line\nand ünïcode'}},
                "version_policy": {"latest": {"num_versions": 2}},
                "model_warmup": [
                    {"name": "w", "batch_size": 1, "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [4], "zero_data": True}}}
                ],
                "response_cache": {"enable": True},
                "sequence_batching": {"max_sequence_idle_microseconds": 100, "oldest": {"max_candidate_sequences": 4}},
            },
        ),
        artifact([tensor("x", "uint8", "batch", 4)], [tensor("y", "int8", "batch", 4)]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_the_golden_one_and_parses(name):
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


def test_a_tensor_without_axes_of_its_own_is_reshaped():
    text = model_config.render("labels", *CASES["labels"])
    index = text_format.Parse(text, model_config_pb2.ModelConfig()).output[1]
    assert (list(index.dims), index.HasField("reshape"), list(index.reshape.shape)) == ([1], True, [])


def test_strings_cannot_break_out_of_the_text():
    quoted = config_template.quote('x" } output [ { name: "evil\n\\')
    message = text_format.Parse(f"name: {quoted}", model_config_pb2.ModelConfig())
    assert message.name == 'x" } output [ { name: "evil\n\\'


def test_dynamic_batching_is_on_where_a_batch_is_possible():
    wanted, built = CASES["labels"]
    assert "dynamic_batching" in model_config.render("labels", wanted, built)
    assert "dynamic_batching" not in model_config.render("every_section", *CASES["every_section"])
    assert "dynamic_batching" not in model_config.render("no_batch", *CASES["no_batch"])


def test_a_template_of_the_users(tmp_path):
    path = tmp_path / "mine.j2"
    path.write_text('name: {{ name | pbtxt }}\nmax_batch_size: {{ max_batch_size }}\nbackend: "custom"\n')
    assert 'backend: "custom"' in model_config.render(
        "labels", CASES["labels"][0].model_copy(update={"template": path}), CASES["labels"][1]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: {{ nam }}", "cannot be used"),
        ("{% if %}", "cannot be used"),
        ("name: {{ name | pbtxt }}\nmax_batch_size: 2\nno_such_field: 1", "no valid model configuration"),
        ('name: "other"\nmax_batch_size: 8', "is not the spec's"),
        ("name: {{ name | pbtxt }}", "is not the spec's"),
    ],
)
def test_a_bad_template_is_refused(text, reason, tmp_path):
    path = tmp_path / "bad.j2"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        model_config.render("labels", CASES["labels"][0].model_copy(update={"template": path}), CASES["labels"][1])


def test_bad_pbtxt_is_named_with_its_line():
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
