"""Unusual inputs: NaN and infinities, empty tensors, edge cases that a model cannot batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import tritonize as api
from tests.support.command import MODELS
from tests.support.exporting import exported
from tests.support.models import edges
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.onnx_model.runtime import OrtRun
from tritonize.onnx_model.tasks import RunRequest
from tritonize.onnx_model.worker import session as ort_session
from tritonize.quality import nonfinite
from tritonize.quality.comparison import compare
from tritonize.reference import onnx_edge_cases
from tritonize.reference.tasks import ReferenceRequest, ReferenceResult
from tritonize.reference.worker import runner
from tritonize.source import samples
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import torch_model
from tritonize.spec import loader, schema


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(MODELS / "edges.py", "edges.py")
    monkeypatch.syspath_prepend(".")


def model(**fields) -> schema.Model:
    return schema.Model.model_validate({"source": "m:f", "inputs": {"x": {"shape": ["batch", 8]}}, "max_batch_size": 2, **fields})


def run_pytorch(factory: str, spec: schema.Model, drawn: SampleSet, apart: SampleSet | None = None) -> ReferenceResult:
    load = LoadRequest(kind="factory", location=f"edges:{factory}", inputs=tuple(spec.inputs))
    batches = tuple(arrays.first_batches(drawn, 2))
    return runner.compute(ReferenceRequest(model=load, samples=drawn, batches=batches, directory=Path("out"), apart=apart))


def drawn_for(spec: schema.Model) -> SampleSet:
    return samples.add_edges(spec, samples.write(spec, Path("samples")))


def test_nan_and_infinities_replace_a_few_elements_of_the_inputs():
    spec = model(
        inputs={"x": {"shape": ["batch", 8]}, "big": {"shape": ["batch", 100]}, "ids": {"dtype": "int64", "shape": ["batch", 4]}}
    )
    found = nonfinite.write(spec, samples.write(spec, Path("samples")), Path("apart"))
    assert found.edges == {0: "nan", 1: "infinity"}
    nan, infinity = (arrays.load(found.files, index) for index in range(2))
    assert [int(np.isnan(nan[name]).sum()) for name in ("x", "big")] == [1, 3]
    assert sorted(infinity["x"][np.isinf(infinity["x"])]) == [-np.inf, np.inf]
    assert np.isinf(infinity["big"]).sum() == 6
    np.testing.assert_array_equal(nan["ids"], arrays.load(samples.write(spec, Path("again")).files, 0)["ids"])


@pytest.mark.parametrize(
    "fields",
    [
        {"quality": {"nan": "off"}},
        {"quality": {"edge_cases": False}},
        {"inputs": {"x": {"dtype": "int64", "shape": ["batch", 8]}}},
        {"inputs": {"x": {"shape": ["batch", 8], "distribution": "padding_mask"}}},
    ],
)
def test_no_sample_with_nan_if_it_is_off_or_no_input_can_have_it(fields):
    spec = model(**fields)
    assert nonfinite.write(spec, samples.write(spec, Path("samples")), Path("apart")) is None


def test_each_output_in_which_a_file_loses_nan_is_reported():
    spec = model()
    drawn = drawn_for(spec)
    answer = run_pytorch("Largest", spec, drawn, nonfinite.write(spec, drawn, Path("apart")))
    assert answer.observed.unusable == answer.observed.failed_apart == {}
    nonfinite_outputs = nonfinite.NonfiniteOutputs(
        samples=nonfinite.write(spec, drawn, Path("apart")), outputs=answer.observed.apart
    )
    inputs = (TensorSpec(name="x", dtype="fp32", shape=("batch", 8)),)
    module = torch_model.LoadedModel(edges.Largest(), ("x",), ())
    exported(module, inputs, ["top", "pooled", "place"], [torch.randn(2, 8)], "legacy")
    ran = ort_session.run(
        RunRequest(path=Path("m.onnx"), samples=drawn, batches=((0,),), directory=Path("ort"), apart=nonfinite_outputs.samples)
    )
    answers = dict(zip(nonfinite.CASES, (arrays.load(each, 0) for each in ran.apart), strict=True))
    found = list(nonfinite.differences(nonfinite_outputs, answers, lambda one, other: compare(one, other, {})))
    assert {(each.where, name) for each in found for name in ("top", "pooled", "place") if repr(name) in each.what} == {
        ("edge case nan", "top"),
        ("edge case nan", "pooled"),
        ("edge case nan", "place"),
    }
    refused = list(
        nonfinite.differences(nonfinite_outputs, {**answers, "nan": "no such kernel"}, lambda one, other: compare(one, other, {}))
    )
    assert [(each.where, each.found) for each in refused] == [("edge case nan", "no such kernel")]


def test_a_lost_nan_is_a_finding_if_nan_is_strict(tmp_path):
    shared = {"example": torch.randn(2, 8), "strategies": ["legacy"], "simplify": False}
    (report,) = api.build(edges.Largest(), quality={"nan": "strict", "float64": "off"}, **shared)
    assert report.verdict == "failed"
    assert all(check.passed for check in report.checks)
    assert {finding.where for finding in report.findings} == {"edge case nan"}
    assert len(report.findings) == 3


@pytest.mark.slow
def test_a_lost_nan_is_a_note_by_default():
    (report,) = api.build(edges.Largest(), example=torch.randn(2, 8), strategies=["legacy"])
    assert (report.verdict, report.findings) == ("passed", ())
    assert sum("nan: strict" in note for note in report.notes) == 3


def test_a_model_that_raises_on_nan_is_not_compared_on_it():
    spec = model()
    drawn = drawn_for(spec)
    answer = run_pytorch("Raises", spec, drawn, nonfinite.write(spec, drawn, Path("apart")))
    assert set(answer.observed.failed_apart) == {"nan", "infinity"}
    assert "no image" in answer.observed.failed_apart["nan"]


def test_an_edge_case_that_pytorch_cannot_batch_is_dropped_with_the_reason():
    spec = model(inputs={"x": {"shape": ["batch", 8]}, "mask": {"dtype": "int64", "shape": ["batch", 8], "range": [0, 1]}})
    for index in range(2):
        np.savez(f"{index}.npz", **edges.promised(index))
    spec = spec.model_copy(update={"samples": schema.Samples(files="*.npz")})
    answer = run_pytorch("Promised", spec, drawn_for(spec))
    assert set(answer.observed.unusable) == {"zeros", "ones", "largest"}
    assert all("cannot batch it with another sample" in why for why in answer.observed.unusable.values())
    assert "invalid for input of size 3" in answer.observed.unpadded


def test_a_model_that_supports_every_edge_case_keeps_all():
    spec = model()
    answer = run_pytorch("Largest", spec, drawn_for(spec))
    assert (answer.observed.unusable, answer.observed.unpadded) == ({}, "")


def test_an_edge_case_that_an_onnx_file_cannot_batch_is_dropped(monkeypatch):
    """ONNX Runtime is replaced by a function whose outputs change if zeros are in the batch."""
    spec = model()
    drawn = drawn_for(spec)

    def answer(batch):
        return {"y": batch["x"] + (len(batch["x"]) > 1 and not batch["x"].any(1).all())}

    def run(apart: SampleSet) -> OrtRun:
        found = []
        for index in range(apart.files.count):
            tensors = (TensorSpec(name="y", dtype="fp32", shape=()),)
            found.append(TensorFiles(directory=Path(f"found{index}"), tensors=tensors, count=1))
            arrays.save(found[-1], 0, answer(arrays.load(apart.files, index)))
        first = TensorFiles(directory=Path("first"), tensors=found[0].tensors, count=1)
        arrays.save(first, 0, answer(arrays.load(drawn.files, 0)))
        return OrtRun(outputs=(first,), seconds=(0.0,), version="", library_seconds=0.0, peak_memory=0, apart=tuple(found))

    monkeypatch.setattr(onnx_edge_cases.runtime, "run_within", lambda *_, apart, **__: run(apart))
    found = onnx_edge_cases.usable_samples(spec, drawn, Path())
    assert list(found.samples.edges.values()) == ["ones"]
    assert [(each.part, each.name) for each in found.left_out] == [
        ("edge case", "zeros"),
        ("padded batches", "batches padded with zeros"),
    ]
    assert found.unpadded


def test_a_file_with_an_output_without_axes_keeps_no_edge_case_if_batched(monkeypatch):
    spec = model()
    drawn = drawn_for(spec)

    def run(apart: SampleSet) -> OrtRun:
        number = TensorFiles(directory=Path("number"), tensors=(TensorSpec(name="y", dtype="fp32", shape=()),), count=1)
        arrays.save(number, 0, {"y": np.float32(3).reshape(())})
        count = apart.files.count
        return OrtRun(outputs=(number,), seconds=(0.0,), version="", library_seconds=0.0, peak_memory=0, apart=(number,) * count)

    monkeypatch.setattr(onnx_edge_cases.runtime, "run_within", lambda *_, apart, **__: run(apart))
    found = onnx_edge_cases.usable_samples(spec, drawn, Path())
    assert not found.samples.edges
    assert found.unpadded == "output y has no axes, so no batch axis"


@pytest.mark.parametrize("size", ["min: 0, opt: 3, max: 6", "min: 0, max: 6"])
def test_an_axis_may_have_size_zero(size):
    Path("s.yaml").write_text(
        "schema: 1\nmodels:\n  m:\n    source: edges:Cache\n    max_batch_size: 2\n"
        "    inputs: {new: {shape: [batch, 1, 4]}, past: {shape: [batch, past, 4]}}\n"
        f"    axes: {{past: {{{size}}}}}\n"
    )
    spec = loader.load(Path("s.yaml")).models["m"]
    drawn = drawn_for(spec)
    assert {arrays.load(drawn.files, index)["past"].shape[1] for index in range(drawn.drawn)} >= {0, 6}
    answer = run_pytorch("Cache", spec, drawn)
    assert arrays.load(answer.outputs, 1)["OUTPUT__0"].shape == (1, 1, 4)


def test_an_invalid_axis_is_reported_as_one_problem():
    Path("s.yaml").write_text(
        "schema: 1\nmodels:\n  m:\n    source: edges:Cache\n    max_batch_size: 2\n"
        "    inputs: {new: {shape: [batch, 1, 4]}, past: {shape: [batch, past, 4]}}\n    axes: {past: {min: -1, max: 6}}\n"
    )
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    assert len(error.value.details) == 1
    assert "line 7: models.m.axes.past.min" in error.value.details[0]
