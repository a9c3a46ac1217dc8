from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT
from tritonize.core.errors import UsageError
from tritonize.spec import loader, schema
from tritonize.triton import config_section

GOOD = """
schema: 1
repository: out
target: {triton: "26.06", compute_capabilities: ["8.9"]}
models:
  heart:
    source: heart.pt
    inputs:
      INPUT__0: {dtype: float32, shape: [batch, 1, 8, 8, 8]}
    axes: {batch: {min: 1, opt: 2, max: 2}}
    outputs: {OUTPUT__0: {tolerance: {rtol: 1.0e-4, atol: 9.0e-4}, labels: labels.txt}}
    max_batch_size: 2
    samples: {files: "samples/*.npz"}
    triton:
      dynamic_batching: {max_queue_delay_microseconds: 500}
      instance_group: [{kind: KIND_CPU, count: 2}]
"""


def load(text: str, folder: Path = Path()) -> schema.Spec:
    path = folder / "spec.yaml"
    path.write_text(text)
    return loader.load(path, check_triton=config_section.problems)


def problems(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(text)
    assert caught.value.exit_code == 2
    return list(caught.value.details)


def test_a_good_spec_is_read_and_its_paths_are_relative_to_its_folder(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    heart = load(GOOD, folder).models["heart"]
    assert heart.source == str(folder / "heart.pt")
    assert heart.samples.patterns == [str(folder / "samples/*.npz")]
    assert heart.outputs["OUTPUT__0"].labels == folder / "labels.txt"
    assert heart.inputs["INPUT__0"].dtype == "fp32"
    assert heart.batch_axis == "batch"
    assert load(GOOD, folder).repository == folder / "out"


def test_three_mistakes_are_reported_with_their_lines():
    found = problems(GOOD.replace("float32", "float33").replace("tolerance:", "tolerence:").replace("KIND_CPU", "KIND_CPV"))
    assert len(found) == 3, found
    assert found[0].startswith("line 9: models.heart.inputs.INPUT__0.dtype: unknown element type 'float33'")
    assert found[1].startswith("line 11: models.heart.outputs.OUTPUT__0.tolerence: unknown key; did you mean 'tolerance'?")
    assert found[2].startswith("line 16: models.heart.triton.instance_group")
    assert "KIND_CPV" in found[2]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("max_batch_size: 2", "max_batch_size: 4"), "the batch axis must run from 1 to max_batch_size 4; found 1 to 2"),
        (("[batch, 1, 8, 8, 8]", "[1, 1, 8, 8, 8]"), "with max_batch_size 2 the first axis must be a name"),
        (("[batch, 1, 8, 8, 8]", "[batch, 1, depth, 8, 8]"), "the dynamic axis 'depth' has no range"),
        (("[batch, 1, 8, 8, 8]", "[batch, 0, 8, 8, 8]"), "a size must be a whole number from 1"),
        (("heart:", "he/art:"), "is not a valid model name"),
        (("heart:", '"":'), "is not a valid model name"),
        (("heart:", "he art:"), "is not a valid model name"),
        (('"26.06"', "26.06"), "put it in quotes"),
        (("rtol: 1.0e-4", "rtol: -1"), "must be at least 0; found -1"),
        (("max_batch_size: 2", "max_batch_size: 2\n    variants: {a b: {}}"), "variants"),
        (("max_batch_size: 2", "max_batch_size: 2\n    variants: {small: {instance_grop: []}}"), "variants.small.instance_grop"),
        (
            ("max_batch_size: 2", "max_batch_size: 2\n    variants: {small: {max_batch_size: 1}}"),
            "is decided by the rest of the spec",
        ),
        (("max_batch_size: 2", "max_batch_size: 2\n    warmup: zeros"), "warmup"),
        (("max_batch_size: 2", "max_batch_size: 2\n    warmup: samples\n    warmup_files: [a.bin]"), "name the files in triton"),
        (("float32", "string"), "no string tensors"),
        (("source: heart.pt", "sauce: heart.pt"), "did you mean 'source'?"),
        (("dynamic_batching", "dynamic_batchin"), "is not a field of Triton's ModelConfig; did you mean 'dynamic_batching'?"),
        (
            ("dynamic_batching", "speed"),
            "is not a field of Triton's ModelConfig; known: runtime, version_policy",
        ),
        (("dynamic_batching", "variants"), "variants belongs beside triton, to the model"),
        (("dynamic_batching", "configs"), "variants beside triton writes configs/<name>.pbtxt"),
        (("instance_group: [{kind: KIND_CPU, count: 2}]", "max_batch_size: 3"), "is decided by the rest of the spec"),
        (("shape: [batch, 1, 8, 8, 8]", "shape: [batch], distribution: one_hot"), "one_hot needs an axis besides the batch axis"),
        (("shape: [batch,", "distribution: normal, range: [0, 1], shape: [batch,"), "has no range"),
        (("schema: 1", "schema: 2"), "schema"),
        (("max_batch_size: 2", "max_batch_size: many"), "must be a whole number; found 'many'"),
        (("max_batch_size: 2", "max_batch_size: 9999"), "must be at most 4096; found 9999"),
        (("max_batch_size: 2", "max_batch_size: 2\n    simplify: maybe"), "must be true or false; found 'maybe'"),
        (
            ("{min: 1, opt: 2, max: 2}", "4"),
            "must be a mapping with keys such as min, opt, max; found 4",
        ),
        (
            ("max_batch_size: 2", "max_batch_size: 2\n    accept_branches: [net.py]"),
            "must have the form file.py:line, such as net.py:8",
        ),
        (("source: heart.pt", "source: heart.pt\n    weights: w.pt"), "needs a factory as source"),
    ],
)
def test_each_mistake_has_its_sentence(change, text):
    assert any(text in line for line in problems(GOOD.replace(*change))), problems(GOOD.replace(*change))


def test_mistakes_between_valid_fields_are_found_despite_invalid_fields():
    found = problems(GOOD.replace("max: 2", "max: 3").replace("samples:", "sample:"))
    assert len(found) == 2


@pytest.mark.parametrize("text", ["models: [", "a: 1\na: 2\n", "- 1\n", "", "\x00"])
def test_no_yaml_no_mapping(text):
    with pytest.raises(UsageError) as caught:
        load(text)
    assert "spec.yaml" in str(caught.value)


def test_a_missing_file_is_a_usage_error():
    with pytest.raises(UsageError) as caught:
        loader.load(Path("nowhere.yaml"))
    assert (caught.value.code, caught.value.where) == ("spec-missing", "nowhere.yaml")


def test_the_published_schema_matches_the_classes():
    published = json.loads((CHECKOUT / "docs" / "spec.schema.json").read_text())
    assert published == schema.Spec.model_json_schema(by_alias=True), "run: make schema"


@pytest.mark.parametrize(("source", "is_factory"), [("a.b:c", True), ("heart.pt", False), ("c:/heart.pt", False), ("a:b.c", True)])
def test_factories_are_distinguished_from_files(source, is_factory):
    assert schema.is_factory(source) is is_factory


def test_a_first_axis_without_a_range_may_be_the_batch(tmp_path):
    path = tmp_path / "spec.yaml"
    (tmp_path / "m.pt").touch()
    path.write_text("schema: 1\nmodels:\n  m:\n    source: m.pt\n    inputs: {x: {shape: [batch, 8]}}\n")
    with pytest.raises(UsageError) as error:
        loader.load(path)
    assert "if it is the batch, add max_batch_size: 8; else add batch: {min: .., opt: .., max: ..}" in error.value.details[0]
