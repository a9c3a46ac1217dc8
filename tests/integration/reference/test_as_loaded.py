"""The reference compared with the model as it was loaded: training mode, attention's fast path, torch.compile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.in_process import in_process  # noqa: F401 - a fixture
from tests.support.models import modes
from tritonize import api
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import ExportError
from tritonize.core.reports import Report
from tritonize.core.stages import StageName
from tritonize.quality import noise_floor
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.reference import as_loaded
from tritonize.reference.tasks import Variant
from tritonize.report.text import as_text
from tritonize.spec.schema import Model, Spec

pytestmark = pytest.mark.usefixtures("in_process")
VECTOR = {"x": {"shape": ["batch", 4]}}
PADDED = {"x": {"shape": ["batch", 4, 8]}, "keep": {"shape": ["batch", 4], "distribution": "padding_mask"}}


def build(source: str, inputs: dict = VECTOR, strategy: str = "legacy", **fields: object) -> Report:
    """Build up to the staged version, with one strategy and the workers in this process."""
    Path("modes.py").write_text(Path(modes.__file__).read_text())
    model = {"source": source, "inputs": inputs, "max_batch_size": 2, "strategies": [strategy], **fields}
    (report,) = api.build(Spec.model_validate({"schema": 1, "models": {"m": model}}))
    return report


def facts(report: Report, cause: str) -> dict:
    """Facts of the manifest, which are also those of the report."""
    manifest = json.loads((report.location / "evidence" / "manifest.json").read_text())
    assert manifest["reference"] == report.details["reference"]
    assert {note for note in manifest["notes"] if "--sample-file" not in note} < set(report.notes)
    return manifest["reference"].get(cause, {})


def test_attention_paths_that_differ_are_a_finding_unless_the_spec_chooses_one():
    report = build("modes:pooled", PADDED)
    assert report.verdict == "failed"
    assert [finding.where for finding in report.findings] == ["modes:pooled"]
    found = facts(report, "attention")
    assert (found["reference"], found["chosen"], found["within"]) == ("math", False, False)
    assert found["largest_difference"] > 0.01
    assert "reference: math" in " ".join(as_text(report).split())
    chosen = build("modes:pooled", PADDED, reference="math")
    assert chosen.verdict == "passed"
    assert facts(chosen, "attention")["chosen"]
    assert any("reference: math" in note for note in chosen.notes)


def test_a_difference_over_the_noise_floor_limit_is_a_finding_even_within_the_tolerance():
    exact = [np.random.default_rng(seed).standard_normal((1, 64)) for seed in range(2)]
    own = saved("own", [each.astype(np.float32) for each in exact], "fp32")
    drawn = SampleSet(files=own, batched=True, origin="")
    measured = noise_floor.measured(drawn, own, saved("exact", exact, "fp64"), kinds={})
    rules = {"y": Rules(noise_floor=10.0)}
    golden = GoldenSet(
        samples=drawn, expected=own, max_batch_size=2, exact=measured.exact, floors=measured.floors, rules=rules, required=True
    )
    model = Model.model_validate({"source": "net:make", "inputs": {"x": {"shape": ["batch", 64]}}})
    for off, findings in ((5e-4, 1), (2e-7, 0)):  # the default tolerance is 9e-4
        other = saved(f"off {off}", [(each + off).astype(np.float32) for each in exact], "fp32")
        judgement = as_loaded.judge(model, "net:make", golden, variants=(Variant(cause="attention", parts=(), outputs=other),))
        assert (len(judgement.findings), judgement.facts["attention"]["within"]) == (findings, not findings)


def test_without_float64_only_the_tolerance_decides():
    own = saved("own", [np.ones((1, 4), np.float32)], "fp32")
    drawn = SampleSet(files=own, batched=True, origin="")
    golden = GoldenSet(
        samples=drawn, expected=own, max_batch_size=2, why_not="too large", rules={"y": Rules(noise_floor=10.0)}, required=True
    )
    model = Model.model_validate({"source": "net:make", "inputs": {"x": {"shape": ["batch", 4]}}})
    judgement = as_loaded.judge(model, "net:make", golden, variants=(Variant(cause="attention", parts=(), outputs=own),))
    assert judgement.facts["attention"]["within"]


def saved(name: str, items: list[np.ndarray], dtype: str) -> TensorFiles:
    """Write outputs as files."""
    tensor = TensorSpec(name="y", dtype=dtype, shape=items[0].shape)
    files = TensorFiles(directory=Path(name), tensors=(tensor,), count=len(items))
    for index, each in enumerate(items):
        arrays.save(files, index, {"y": each})
    return files


def test_the_file_is_compared_with_the_fast_path_if_the_spec_chooses_it():
    report = build("modes:pooled", PADDED, reference="fast_path")
    assert report.verdict == "failed"
    assert not report.findings
    assert any(not check.passed for check in report.checks if check.stage == StageName.ONNXRUNTIME)
    assert facts(report, "attention")["reference"] == "fast_path"


def test_fast_path_outputs_that_agree_are_no_finding():
    report = build("modes:masked", PADDED)
    assert report.verdict == "passed"
    assert facts(report, "attention")["within"]
    assert [note for note in report.notes if "attention" in note] == []


def test_attention_paths_of_a_module_passed_to_the_api_are_compared_too():
    model = modes.Pooled().eval()
    example = {"x": torch.randn(1, 4, 8), "keep": torch.tensor([[1.0, 1, 0, 0]])}
    (report,) = api.build(model, name="m", example=example, strategies=["legacy"], inputs=PADDED)
    assert [finding.where for finding in report.findings] == ["Pooled.module"]


def test_switching_to_evaluation_mode_is_noted_with_the_measured_difference():
    report = build("modes:training")
    assert report.verdict == "passed"
    found = facts(report, "training")
    assert (found["mode"], found["found"]) == ("eval", "training")
    assert found["largest_difference"] > 0.01
    difference = f"{found['largest_difference']:.3g}"
    assert difference in report.notes[0]
    assert difference in " ".join(as_text(report).split())
    assert difference in (report.location / "evidence" / "report.html").read_text()
    assert any("set to eval mode" in stage.note for stage in report.stages)


@pytest.mark.parametrize("source", ["modes:evaluating", "scripted.pt"])
def test_a_model_in_evaluation_mode_gets_no_note(source):
    torch.jit.script(modes.evaluating()).save("scripted.pt")
    report = build(source, {"x": VECTOR["x"]})
    assert "training" not in report.details["reference"]
    assert not any("valuation mode" in note for note in report.notes)


def test_torchscript_saved_in_training_mode_is_reported():
    torch.jit.script(modes.training()).save("scripted.pt")
    assert facts(build("scripted.pt"), "training")["largest_difference"] > 0.01


def test_training_error_rejects_a_model_in_training_mode():
    with pytest.raises(ExportError) as caught:
        build("modes:training", training="error")
    assert caught.value.code == "training-mode"


@pytest.mark.parametrize("strategy", ["legacy", "dynamo"])
def test_training_keep_exports_the_model_in_training_mode(strategy):
    report = build("modes:doubling", strategy=strategy, training="keep")
    assert report.verdict == "passed"
    assert facts(report, "training")["mode"] == "keep"
    assert facts(report, "training")["largest_difference"] > 0
    assert any("training: keep" in note for note in report.notes)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(report.location / "model.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": [[1, 2, 3, 4]]})[0].tolist() == [[2, 4, 6, 8]]


@pytest.mark.parametrize("source", ["modes:compiled", "modes:compiled_part"])
def test_a_compiled_model_is_compared_with_the_model_without_compilation(source):
    report = build(source)
    assert report.verdict == "passed"
    assert facts(report, "compiled")["within"]
    assert any("torch.compile" in note for note in report.notes)
