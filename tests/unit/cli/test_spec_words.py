"""Errors of a run of a spec: YAML in place of flags, and the line of the wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.command import invoke
from tritonize.cli import spec_words
from tritonize.core.errors import UsageError
from tritonize.core.messages import reference, samples
from tritonize.core.reports import Finding, Report

SPEC = "schema: 1\nmodels:\n  m:\n    source: net:make\n    weights: weigths.pth\n    inputs: {x: {shape: [4]}}\n"


def test_the_next_step_is_yaml_that_a_spec_takes() -> None:
    text = spec_words.yaml_words(str(samples.INPUTS_UNKNOWN.next_step).format(flags="--input image:fp32:1x… --input b:int64:1x3x4"))
    inputs, function = text.split("`")[1::2]
    assert YAML(typ="safe").load(inputs) == {
        "inputs": {"image": {"dtype": "fp32", "shape": ["batch", "..."]}, "b": {"dtype": "int64", "shape": ["batch", 3, 4]}}
    }
    assert YAML(typ="safe").load(function) == {"samples": {"function": "module:function"}}
    assert "--" not in text
    guessed = str(samples.INPUTS_GUESSED.next_step).format(source="net.pt", flags="--input 'x:fp32:1x3x224x224'")
    assert spec_words.yaml_words(guessed) == ("write in the spec `inputs: {x: {dtype: fp32, shape: [batch, 3, 224, 224]}}`")


@pytest.mark.parametrize("message", [reference.NOT_BATCHABLE, reference.BELOW_ROUNDING])
def test_what_a_message_adds_for_the_command_line_is_left_out(message: object) -> None:
    text = str(message.next_step).format(rtol="1e-06", atol="1e-07")  # type: ignore[attr-defined]
    assert "--" in text
    assert "--" not in spec_words.yaml_words(text)


def test_a_flag_of_a_command_stays() -> None:
    for text in ("tritonize locate SPEC --opset 18", "run: tritonize doctor --install-server", "run without --quick"):
        assert spec_words.yaml_words(text) == text
    assert spec_words.yaml_words("export with --opset 18") == "export with `opset: 18`"


def test_a_missing_weights_file_is_named_with_its_line_and_the_file_that_is_there() -> None:
    Path("spec.yaml").write_text(SPEC)
    Path("weights.pth").touch()
    done = invoke("run", "spec.yaml")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "The file with the weights does not exist. where: spec.yaml, line 5: models.m.weights: weigths.pth" in said
    assert "did you mean: weights.pth" in said
    Path("weights.pth").unlink()
    assert "models.m.weights: weigths.pth found: the current folder has no .pth file" in " ".join(
        invoke("run", "spec.yaml").stderr.split()
    )


def test_the_report_of_a_model_beside_others_has_the_same_words() -> None:
    Path("spec.yaml").write_text(SPEC)
    error = UsageError.of(reference.NOT_BATCHABLE, where="weigths.pth", size=2)
    report = Report(
        command="run", model="m", version=None, verdict="failed", findings=(Finding(where="weigths.pth", what=error.what),),
        notes=(f"Next: {error.next_step}",), details={"error": error.to_dict()},
    )  # fmt: skip
    found = spec_words.in_report(report, Path("spec.yaml"))
    place = "spec.yaml, line 5: models.m.weights: weigths.pth"
    assert (found.findings[0].where, found.details["error"]["where"]) == (place, place)
    assert found.notes == ("Next: set max_batch_size to 0, or change the model",)
    assert spec_words.placed("elsewhere.pth", Path("spec.yaml")) == "elsewhere.pth"
    assert spec_words.placed("weigths.pth", Path("gone.yaml")) == "weigths.pth"
