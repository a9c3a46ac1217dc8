"""Inputs that a request may leave out: the samples without them, and what a spec may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tritonize.core import arrays
from tritonize.core.artifacts import Source, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.quality import golden_set
from tritonize.reference import golden_file
from tritonize.source import input_inference, samples
from tritonize.spec import rules, schema

EDGES = ["without b", "without b (2)", "without c", "without c (2)", "without b, c", "without b, c (2)"]


def model(**fields) -> schema.Model:
    inputs = {"a": {"shape": [2]}, "b": {"shape": [2], "optional": True}, "c": {"shape": [1], "optional": True}}
    outputs = {"y": {"dtype": "fp32", "shape": [2]}}
    return schema.Model.model_validate({"python": "s.py:f", "inputs": inputs, "outputs": outputs, **fields})


def known() -> golden_set.GoldenSet:
    drawn = samples.add_omissions(model(), samples.write(model(samples={"count": 3}), Path("s")))
    expected = TensorFiles(directory=Path("e"), tensors=(TensorSpec(name="y", dtype="fp32", shape=(2,)),), count=drawn.files.count)
    for index in range(expected.count):
        arrays.save(expected, index, {"y": arrays.load(drawn.files, index)["a"]})
    return golden_set.GoldenSet(samples=drawn, expected=expected, max_batch_size=0, why_not="a function")


def names(golden: golden_set.GoldenSet) -> list[list[str]]:
    return [list(arrays.load(golden.samples.files, index)) for index in range(golden.samples.files.count)]


def test_samples_come_again_without_each_optional_input_and_without_all() -> None:
    golden = known()
    assert list(golden.samples.edges.values()) == EDGES
    assert names(golden) == [*[["a", "b", "c"]] * 3, *[["a", "c"]] * 2, *[["a", "b"]] * 2, *[["a"]] * 2]
    assert arrays.load(golden.samples.files, 4)["a"].tolist() == arrays.load(golden.samples.files, 1)["a"].tolist()
    assert arrays.largest(golden.samples.files) > 3 * 64


def test_a_golden_set_and_a_golden_file_keep_them() -> None:
    written = golden_set.write(known(), Path("golden"), keep=[0, 2, 3, 7])
    assert names(written) == [["a", "b", "c"], ["a", "b", "c"], ["a", "c"], ["a"]]
    assert written.samples.files.absent == {2: ("b",), 3: ("b", "c")}
    origin = golden_file.Origin(model="m", version=1, config="", created="", verdict="passed", versions={})
    golden_file.write(Path("m.golden"), origin, known(), recipe=None)
    again = golden_file.read(Path("m.golden"), Path("unpacked").absolute()).golden
    assert names(again) == names(known())
    assert arrays.largest(again.samples.files) > 0


def test_items_that_are_dropped_move_the_others_up() -> None:
    golden = known()
    kept = arrays.without_edges(golden.samples, {"without b", "without b (2)"})
    assert names(replace(golden, samples=kept))[3:] == [["a", "b"], ["a", "b"], ["a"], ["a"]]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"inputs": {"a": {"shape": [2], "optional": True}}}, "at least one input must not be optional"),
        ({"python": None, "source": "m.pt", "outputs": {}}, "make every input required"),
        (
            {
                "python": None,
                "source": "m.onnx",
                "outputs": {},
                "max_batch_size": 2,
                "inputs": {"a": {"shape": ["b", 2]}, "c": {"shape": ["b", 2], "optional": True}},
            },
            "no optional inputs with batching",
        ),
    ],
)
def test_what_cannot_be_left_out_is_a_problem_of_the_spec(fields: dict[str, object], text: str) -> None:
    assert any(text in why for _, why in rules.problems(model(**fields)))


def test_an_onnx_file_says_which_inputs_are_optional() -> None:
    Path("m.onnx").write_bytes(tiny_onnx.identity([(name, tiny_onnx.FLOAT, [2]) for name in "ab"], [("y", tiny_onnx.FLOAT, [2])]))
    given = model(python=None, source="m.onnx", outputs={}, inputs={"a": {"shape": [2]}, "b": {"shape": [2], "optional": True}})
    with pytest.raises(UsageError, match="Input 'b' is not optional") as error:
        input_inference.complete(given, Source(kind="onnx", location="m.onnx", sha256={}), Path("work"))
    assert error.value.code == "input-not-optional"
