"""The rules about Python steps and ensembles: each problem has the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.test_spec import load, problems
from tritonize.core.errors import UsageError
from tritonize.spec import ensembles, loader, schema
from tritonize.spec.ensembles import Port, Ports

GOOD = """
schema: 1
models:
  pipeline:
    source: net:whole
    ensemble:
      - {model: decode, outputs: {PIXELS: pixels}}
      - {model: classifier, inputs: {x: pixels}}
    inputs: {IMAGE: {dtype: uint8, shape: [batch, 8, 8, 3]}}
    outputs: {scores: {}}
    max_batch_size: 4
  classifier:
    source: net:classifier
    inputs: {x: {shape: [batch, 3, 8, 8]}}
    outputs: {scores: {}}
    max_batch_size: 4
  decode:
    python: steps.py:decode
    files: [table.txt]
    inputs: {IMAGE: {dtype: uint8, shape: [batch, 8, 8, 3]}}
    outputs: {PIXELS: {dtype: fp32, shape: [batch, 3, 8, 8]}}
    max_batch_size: 4
"""
PIXELS = "{dtype: fp32, shape: [batch, 3, 8, 8]}"
BEFORE_CLASSIFIER = "outputs: {scores: {}}\n    max_batch_size: 4\n  classifier"
BEFORE_DECODE = "outputs: {scores: {}}\n    max_batch_size: 4\n  decode"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("steps.py", "table.txt", "model.py"):
        Path(name).touch()


def test_a_pipeline_is_read_and_its_paths_are_relative_to_its_folder(tmp_path: Path) -> None:
    models = load(GOOD, tmp_path).models
    assert models["decode"].python_files == (tmp_path / "steps.py", tmp_path / "table.txt")
    assert models["decode"].python == f"{tmp_path}/steps.py:decode"
    assert [models[name].is_exported for name in ("pipeline", "classifier", "decode")] == [False, True, False]


def test_the_steps_come_before_their_ensemble() -> None:
    models = load(GOOD).models
    assert ensembles.ordered(models, list(models)) == ("decode", "classifier", "pipeline")
    assert ensembles.ordered(models, ["pipeline", "classifier"]) == ("classifier", "pipeline")


@pytest.mark.parametrize(
    ("change", "line", "text"),
    [
        (("model: decode,", "model: decoed,"), 7, "models.pipeline.ensemble.0.model: the specification has no model 'decoed'"),
        (("inputs: {x: pixels}", "inputs: {x: pixles}"), 8, "ensemble.1.inputs.x: nothing writes 'pixles'; did you mean 'pixels'?"),
        (("inputs: {x: pixels}", "inputs: {y: pixels}"), 8, "ensemble.1.inputs.y: model 'classifier' has no such input; known: x"),
        (("{PIXELS: pixels}", "{PIXEL: pixels}"), 7, "ensemble.0.outputs.PIXEL: model 'decode' has no such output"),
        (("outputs: {PIXELS: pixels}", "outputs: {PIXELS: other}"), 7, "no step and no output takes 'other'; remove it"),
        (("inputs: {x: pixels}}", "inputs: {x: pixels}, outputs: {scores: IMAGE}}"), 8, "'IMAGE' is written twice"),
        ((BEFORE_CLASSIFIER, BEFORE_CLASSIFIER.replace("scores", "label")),
         10, "models.pipeline.outputs.label: no step writes it"),
        ((PIXELS, "{dtype: fp16, shape: [batch, 3, 8, 8]}"), 8,
         "ensemble.1.inputs.x: 'pixels' is fp16 as output 'PIXELS' of 'decode' and fp32 as input 'x' of 'classifier'"),
        ((PIXELS, "{dtype: fp32, shape: [batch, 8, 8, 3]}"), 8,
         "'pixels' is [batch, 8, 8, 3] as output 'PIXELS' of 'decode' and [batch, 3, 8, 8] as input"),
        ((BEFORE_DECODE, BEFORE_DECODE.replace("4", "2")),
         8, "ensemble.1.model: max_batch_size of 'classifier' is 2, and the ensemble's is 4"),
        (("IMAGE: {dtype: uint8, shape: [batch, 8, 8, 3]}}\n    outputs: {scores",
          "IMAGE: {dtype: uint8, shape: [batch, 8, 8, 3]}, extra: {shape: [batch]}}\n    outputs: {scores"),
         9, "models.pipeline.inputs.extra: no step takes this input"),
        (("    source: net:whole\n", ""), 4, "models.pipeline.source: an ensemble needs a source: the PyTorch model"),
        (("source: net:whole\n", "source: net:whole\n    opset: 17\n"), 6, "pipeline.opset: does not apply to an ensemble"),
        (("source: net:classifier", "kwargs: {}"), 12, "models.classifier.source: this key is required, unless"),
        (("steps.py:decode", "stepz.py:decode"), 18, "models.decode.python: no such file: stepz.py"),
        (("[table.txt]", "[tabel.txt]"), 19, "models.decode.files.0: no such file: tabel.txt"),
        (("[table.txt]", "[other/steps.py]"), 19, "have the same name"),
        (("[table.txt]", "[model.py]"), 19, "the name 'model.py' is taken"),
        (("steps.py:decode", "steps:decode"), 18, "models.decode.python: must have the form file.py:function"),
        ((PIXELS, "{shape: [batch, 3, 8, 8]}"), 21, "needs the dtype of its outputs"),
        ((PIXELS, "{dtype: fp32, shape: [3, 8, 8]}"), 21, "first axis of every output must be 'batch'"),
        ((PIXELS, "{dtype: bf16, shape: [batch, 3, 8, 8]}"), 21, "bf16"),
        (("    files: [table.txt]", "    source: net.pt"), 19, "a Python step has no source"),
        (("    files: [table.txt]", "    precision: fp16"), 19, "does not apply to a Python step"),
        (("    source: net:classifier", "    source: net:classifier\n    files: [table.txt]"), 14, "needs a Python step"),
        ((BEFORE_DECODE, BEFORE_DECODE.replace("{}", "{dtype: fp32}")),
         15, "is for a Python step only"),
    ],
)  # fmt: skip
def test_a_problem_has_its_line(change: tuple[str, str], line: int, text: str) -> None:
    old, new = change
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(each.startswith(f"line {line}: ") and text in each for each in found), found


def test_steps_that_wait_for_each_other_are_a_circle() -> None:
    step = "{python: steps.py:f, inputs: {a: {shape: [2]}}, outputs: {b: {dtype: fp32, shape: [2]}}}"
    found = problems(
        f"schema: 1\nmodels:\n  one: {step}\n  whole:\n    source: net:whole\n    ensemble:\n"
        "      - {model: one, inputs: {a: p}, outputs: {b: q}}\n      - {model: one, inputs: {a: q}, outputs: {b: p}}\n"
        "      - {model: one, inputs: {a: x}, outputs: {b: y}}\n"
        "    inputs: {x: {shape: [2]}}\n    outputs: {y: {}}\n"
    )
    assert [each.split(": ", 1)[0] for each in found] == ["line 7", "line 8"]
    assert all("the steps form a circle" in each for each in found)


def test_ensembles_that_contain_each_other_are_refused() -> None:
    body = "source: net:f, inputs: {x: {shape: [2]}}, outputs: {y: {}}"
    found = problems(f"schema: 1\nmodels:\n  a: {{ensemble: [{{model: b}}], {body}}}\n  b: {{ensemble: [{{model: a}}], {body}}}\n")
    assert "found a -> b -> a" in found[0]
    assert "found b -> a -> b" in found[1]


def test_an_ensemble_needs_the_evidence_of_its_steps() -> None:
    assert problems(GOOD.replace("schema: 1\n", "schema: 1\nevidence: {place: none}\n")) == [
        "line 3: evidence.place: an ensemble needs the evidence of its steps; write inside or outside"
    ]
    load(GOOD.replace("schema: 1\n", "schema: 1\nevidence: {place: outside}\n"))


def test_a_spec_made_in_python_is_checked_too() -> None:
    spec = load(GOOD)
    models = {name: model for name, model in spec.models.items() if name != "decode"}
    with pytest.raises(UsageError, match="1 problem"):
        loader.require_sound(spec.model_copy(update={"models": models}))


def test_tensors_of_one_name_need_no_map() -> None:
    model = schema.Model.model_validate(
        {
            "source": "net:f",
            "ensemble": [{"model": "a"}, {"model": "b"}],
            "inputs": {"x": {"shape": ["batch", 2]}},
            "outputs": {"z": {}},
            "max_batch_size": 2,
        }
    )
    vector = Port(dtype="fp32", shape=("batch", 2))
    ports = {
        "a": Ports(inputs={"x": vector}, outputs={"y": vector, "unused": vector}, max_batch_size=2),
        "b": Ports(
            inputs={"y": vector, "mask": Port(dtype="bool", shape=("batch", 2), optional=True)},
            outputs={"z": vector},
            max_batch_size=0,
        ),
    }
    wiring = ensembles.wire(model, ports)
    assert wiring.problems == []
    assert [(dict(each.inputs), dict(each.outputs)) for each in wiring.steps] == [
        ({"x": "x"}, {"y": "y"}),
        ({"y": "y"}, {"z": "z"}),
    ]
    assert wiring.outputs == {"z": vector}


def test_a_tensor_without_further_axes_has_one_of_size_1() -> None:
    model = schema.Model.model_validate(
        {
            "source": "net:f",
            "ensemble": [{"model": "a"}],
            "inputs": {"x": {"shape": ["batch"]}},
            "outputs": {"y": {}},
            "max_batch_size": 2,
        }
    )
    single = Port(dtype="fp32", shape=("batch", 1))
    assert ensembles.wire(model, {"a": Ports(inputs={"x": single}, outputs={"y": single}, max_batch_size=2)}).problems == []
    pair = Port(dtype="fp32", shape=("batch", 2))
    assert ensembles.wire(model, {"a": Ports(inputs={"x": pair}, outputs={"y": single}, max_batch_size=2)}).problems
