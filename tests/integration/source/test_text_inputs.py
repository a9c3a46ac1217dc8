"""Inputs of text, which an ONNX file may have: samples from the spec, from files and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tritonize as api
from tests.support.command import tritonize
from tritonize.cli import flags
from tritonize.core import arrays, named_arrays
from tritonize.core import texts as texts_of_bytes
from tritonize.core.artifacts import TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.onnx_model.tasks import RunRequest
from tritonize.onnx_model.worker import session as ort_session
from tritonize.quality import golden_set
from tritonize.quality.comparison import compare
from tritonize.reference import golden_file, onnx_edge_cases
from tritonize.source import identification, input_inference, inspection, sample_files, samples
from tritonize.spec import rules, schema
from tritonize.triton import invariances
from tritonize.triton.client import tensors

TEXTS = ["good", "bad", "grüße dich", "one that is longer than the others"]


@pytest.fixture(autouse=True)
def _file() -> None:
    """A file that numbers words and gives them back."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["words"],
            ["ids"],
            domain="ai.onnx.ml",
            keys_strings=["good", "bad"],
            values_int64s=[1, 2],
            default_int64=0,
        ),
        helper.make_node("Identity", ["words"], ["echo"]),
    ]
    tensors = [
        helper.make_tensor_value_info(name, kind, ["N", 2])
        for name, kind in (("words", TensorProto.STRING), ("ids", TensorProto.INT64), ("echo", TensorProto.STRING))
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), "words.onnx")


def model(**fields) -> schema.Model:
    inputs = {"words": {"dtype": "string", "shape": ["batch", 2]}}
    return schema.Model.model_validate({"source": "words.onnx", "inputs": inputs, "max_batch_size": 2, **fields})


def texts(**fields) -> schema.Model:
    return model(samples={"texts": {"words": TEXTS}}, **fields)


ODD = ["", "grüße", "\0", "a\0", "\0a\0\0", b"\xff\xfe\0".decode(errors="surrogateescape"), "🙂" * 70_000]
"""Empty text, other letters, NUL at the end (which NumPy removes from text of a fixed width), no UTF-8, a long text."""


def test_every_text_that_stands_for_bytes_survives_its_files():
    array = np.array(ODD, object)
    files = TensorFiles(directory=Path("f"), tensors=(TensorSpec(name="w", dtype="string", shape=array.shape),), count=1)
    arrays.save(files, 0, {"w": array})
    arrays.write_npz(Path("f.npz"), {"w": array})
    assert arrays.load(files, 0)["w"].tolist() == ODD
    assert texts_of_bytes.decoded(sample_files.read("f.npz")["w"]).tolist() == ODD
    sent = tensors.raw_bytes(tensors.sendable("w", array)).tobytes()
    assert texts_of_bytes.decoded(tensors.text("w", sent, len(ODD), where="")).tolist() == ODD
    assert tensors.text("w", sent, len(ODD), where="")[5] == b"\xff\xfe\0"


def step(**fields) -> schema.Model:
    inputs = {"words": {"dtype": "string", "shape": ["batch", 2]}}
    outputs = {"out": {"dtype": "string", "shape": ["batch", 2]}}
    return schema.Model.model_validate({"python": "s.py:f", "inputs": inputs, "outputs": outputs, "max_batch_size": 2, **fields})


def written(given: schema.Model) -> list[object]:
    drawn = samples.write(given, Path("s"))
    return [{name: array.tolist() for name, array in arrays.load(drawn.files, index).items()} for index in range(drawn.drawn)]


def test_lines_of_a_file_are_samples():
    Path("a.txt").write_bytes("\ufeffgood\r\nbad\n\nno \udcff\n".encode(errors="surrogateescape"))
    assert written(step(samples={"files": "a.txt"})) == [{"words": [["good", "bad"]]}, {"words": [["", "no \udcff"]]}]
    alone = {"max_batch_size": 0, "inputs": {"words": {"dtype": "string", "shape": ["n"]}}, "axes": {"n": {"max": 9}}}
    assert written(step(samples={"files": "a.txt"}, **alone)) == [{"words": ["good", "bad", "", "no \udcff"]}]


def test_a_json_file_has_all_inputs_and_bytes_in_base64():
    numbers = {"words": {"dtype": "string", "shape": ["batch", 1]}, "x": {"dtype": "fp32", "shape": ["batch"]}}
    content = [{"words": [["good"], [{"b64": "/wA="}]], "x": [1, 2.5]}, {"words": [[""]], "x": [3]}]
    Path("a.json").write_text(json.dumps(content))
    assert written(step(inputs=numbers, samples={"files": "a.json"})) == [
        {"words": [["good"]], "x": [1.0]},
        {"words": [["\udcff\0"]], "x": [2.5]},
        {"words": [[""]], "x": [3.0]},
    ]


@pytest.mark.parametrize(
    ("name", "content", "code", "found"),
    [
        ("a.txt", "one\ntwo\nthree\n", "text-lines", "3 lines"),
        ("a.txt", "", "text-lines", "0 lines"),
        ("a.json", '{"other": []}', "sample-file-inputs", "other"),
        ("a.json", "[3]", "sample-file-inputs", "int 3"),
        ("a.json", '{"words": [["a", 1]]}', "sample-file-tensor", "the element '1'"),
        ("a.json", '{"words": [["a", "b"], ["c"]]}', "sample-file-tensor", "lists of 2 and of 1 elements on one axis"),
        ("a.json", '{"words": ["ab"]}', "sample-file-tensor", "'ab' instead of a list"),
        ("a.json", '{"words": [["a", {"b64": "?"}]]}', "sample-file-tensor", "'?' is not base64"),
        ("a.json", '{"words": [["a"]]}', "sample-file-tensor", "string [1, 1]"),
        ("a.json", '{"words": [["a", "\\ud800"]]}', "text-unusable", "a text contains a surrogate"),
        ("a.json", '{"words": ', "sample-file-unreadable", "Expecting value"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_reason(name, content, code, found):
    Path(name).write_text(content)
    with pytest.raises(UsageError) as error:
        samples.write(step(samples={"files": name}), Path("s"))
    assert error.value.code == code
    assert found in (error.value.found or ""), error.value


def test_an_onnx_file_gets_no_text_that_is_not_utf8():
    Path("a.json").write_text('{"words": [["a", {"b64": "/w=="}]]}')
    with pytest.raises(UsageError, match="strings of an ONNX file are UTF-8") as error:
        samples.write(model(samples={"files": "a.json"}), Path("s"))
    assert error.value.code == "text-unusable"


def test_the_first_text_that_differs_is_named():
    expected = {"w": np.array([["good", "x" * 50]], object)}
    (check,) = compare(expected, {"w": np.array([[b"good", b"x" * 49 + b"\0"]], object)}, {})
    shown = f"{'x' * 10 + chr(0)!r} instead of {'x' * 11!r}"
    assert check.reason == f"1 of 2 strings differ; the first one, at [0, 1], after its first 39 characters, is {shown}"
    (check,) = compare({"w": np.array(["a\0"], object)}, {"w": np.array([b"a"], object)}, {})
    assert check.reason == "1 of 1 strings differ; the first one, at [0], is 'a' instead of 'a\\x00'"


@pytest.mark.parametrize("shape", [(), (0, 2), (2, 2)])
def test_text_survives_its_files(shape):
    array = np.full(shape, "grüße", object)
    files = TensorFiles(directory=Path("f"), tensors=(TensorSpec(name="w", dtype="string", shape=shape),), count=1)
    arrays.save(files, 0, {"w": array})
    found = arrays.load(files, 0)["w"]
    assert (found.shape, found.dtype) == (shape, np.dtype(object))
    assert found.tolist() == array.tolist()


def test_samples_are_the_texts_in_turn():
    drawn = samples.write(texts(), Path("s"))
    found = [arrays.load(drawn.files, index)["words"].tolist() for index in range(drawn.drawn)]
    assert found[:2] == [[TEXTS[:2]], [TEXTS[2:]]]
    two = texts().model_copy(update={"samples": schema.Samples(texts={"words": ["a", "b"]})})
    drawn = samples.write(two, Path("two"))  # every sample takes both, and no two in a row are the same
    assert [arrays.load(drawn.files, index)["words"].tolist() for index in range(2)] == [[["a", "b"]], [["b", "a"]]]
    many = texts().model_copy(update={"samples": schema.Samples(texts={"words": [str(each) for each in range(30)]})})
    drawn = samples.write(many, Path("many"))
    assert {word for index in range(drawn.drawn) for word in arrays.load(drawn.files, index)["words"].reshape(-1)} == {
        str(each) for each in range(30)
    }


def test_edge_cases_and_padding_are_empty_text():
    drawn = samples.add_edges(texts(), samples.write(texts(), Path("s")))
    assert drawn.edges[drawn.drawn] == "zeros"
    assert arrays.load(drawn.files, drawn.drawn)["words"].tolist() == [["", ""]]
    assert invariances.zeros(arrays.load(drawn.files, 0))["words"].tolist() == [["", ""]]


def test_text_in_npz_files_is_taken_and_pickles_are_not():
    np.savez("a.npz", words=np.array([["good", "bad"], ["ugly", "grüße"]]))
    drawn = samples.write(model(samples={"files": "a.npz"}), Path("s"))
    assert arrays.load(drawn.files, 1)["words"].tolist() == [["ugly", "grüße"]]
    np.savez("p.npz", words=np.array([["good", "bad"]], dtype=object))
    with pytest.raises(UsageError) as error:
        samples.write(model(samples={"files": "p.npz"}), Path("t"))
    assert error.value.code == "samples-pickled"


def test_a_function_may_return_text():
    item = dict(named_arrays.named({"words": np.array([["good", "bad"]]), "one": "x", "raw": np.array([b"\xc3\xbc"], object)}, "f"))
    assert {name: array.tolist() for name, array in item.items()} == {"words": [["good", "bad"]], "one": "x", "raw": ["ü"]}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, ("samples", "texts")),
        ({"source": "m.pt", "samples": {"texts": {"words": ["a"]}}}, ("inputs", "words", "dtype")),
        ({"samples": {"texts": {"words": ["a"], "other": ["b"]}}}, ("samples", "texts", "other")),
        ({"samples": {"texts": {"words": ["\ud800"]}}}, ("samples", "texts", "words")),
        ({"samples": {"texts": {"words": ["not UTF-8: \udcff"]}}}, ("samples", "texts", "words")),
        ({"samples": {"texts": {"words": ["a"]}, "files": "a.npz"}}, ("samples", "texts")),
    ],
)
def test_what_cannot_be_asked_is_a_problem_of_the_spec(fields, place):
    assert place in [where for where, _ in rules.problems(model(**fields))]


def test_the_command_line_gives_texts():
    Path("more.txt").write_text("one\ntwo words\n", encoding="utf-8")
    texts = ["words=good", "words=a=b", "words=@more.txt"]
    given = flags.ModelFlags(source="words.onnx", inputs=["words:string:1x2"], texts=texts)
    (found,) = flags.specification(given).models.values()
    assert found.samples.texts == {"words": ["good", "a=b", "one", "two words"]}
    for bad, code in (("good", "text-form"), ("=good", "text-form"), ("words=@none.txt", "text-file")):
        with pytest.raises(UsageError) as error:
            flags.specification(replace(given, texts=[bad]))
        assert error.value.code == code


def test_the_file_says_its_inputs_and_what_is_missing():
    source = identification.identify(model())
    found = input_inference.complete(texts(inputs={}), source, Path("work"))
    assert found.inputs["words"].dtype == "string"
    with pytest.raises(UsageError) as error:
        input_inference.complete(model(inputs={}), source, Path("again"))
    assert error.value.code == "texts-wanted"
    assert all(each in error.value.details[0] for each in ("--text words=", "texts: {words:"))
    wrong = model(inputs={"words": {"shape": ["batch", 2]}})
    with pytest.raises(UsageError) as error:
        onnx_edge_cases.require_types(wrong, inspection.inspect(source, Path("inspect")).inputs)
    assert (error.value.code, error.value.expected, error.value.found) == ("input-type", "string", "fp32")


def test_onnx_runtime_and_a_server_s_bytes_are_compared_as_text():
    drawn = samples.write(texts(), Path("s"))
    ran = ort_session.run(RunRequest(path=Path("words.onnx"), samples=drawn, batches=((0, 1),), directory=Path("out")))
    found = arrays.load(ran.outputs[0], 0)
    assert found["ids"].tolist() == [[1, 2], [0, 0]]
    served = {**found, "echo": np.array([[each.encode() for each in row] for row in found["echo"]], object)}
    assert all(check.passed for check in compare(found, served, {}))
    served["echo"][0, 0] = b"goof"
    assert [check.passed for check in compare(found, served, {})] == [True, False]


def test_a_golden_file_keeps_texts_of_all_lengths():
    drawn = samples.write(texts(), Path("s"))
    expected = TensorFiles(directory=Path("e"), tensors=(TensorSpec(name="echo", dtype="string", shape=(1, 2)),), count=0)
    for index in range(drawn.files.count):
        arrays.save(expected, index, {"echo": arrays.load(drawn.files, index)["words"]})
    known = golden_set.GoldenSet(
        samples=drawn,
        expected=TensorFiles(directory=Path("e"), tensors=expected.tensors, count=drawn.files.count),
        max_batch_size=2,
        why_not="no PyTorch",
    )
    known = golden_set.write(known, Path("golden"))
    origin = golden_file.Origin(model="m", version=1, config="", created="", verdict="passed", versions={})
    golden_file.write(Path("w.golden"), origin, known, recipe=texts())
    again = golden_file.read(Path("w.golden"), Path("unpacked").absolute()).golden
    for index in range(drawn.files.count):
        assert arrays.load(again.expected, index)["echo"].tolist() == arrays.load(drawn.files, index)["words"].tolist()


@pytest.mark.slow
def test_a_server_answers_text():
    (report,) = api.run(schema.Spec.model_validate({"schema": 1, "models": {"words": texts(inputs={})}}))
    assert report.verdict == "passed"
    assert {check.stage for check in report.checks} >= {"http", "grpc", "shm", "concurrent"}
    done = tritonize("build", "words.onnx", "--text", "words=good", "--text", "words=bad", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
