"""Edge cases that alone fail: which errors count, which edge cases are dropped, and the note about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.golden_sets import files, question
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.onnx_model.tasks import SamplesRequest, Sensitivity
from tritonize.onnx_model.worker import sensitivity
from tritonize.quality import comparison, gates, noise_floor
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import edge_case_rounding, requirements
from tritonize.source import drawing, samples
from tritonize.spec import schema


def model(**fields) -> schema.Model:
    return schema.Model.model_validate({"source": "m.pt", "inputs": {"x": {"shape": ["batch", 4]}}, **fields})


def test_an_edge_case_passes_if_its_error_is_below_the_resolution_of_the_drawn_outputs():
    """A saturated sigmoid returns 1e-8; an error of 6e-8 is half a unit at 1, and a million times PyTorch's own error there."""
    golden = question(5, edges={4: "ones"})
    tiny = np.full((1, 64), 1e-8)
    arrays.save(golden.exact, 4, {"y": tiny})
    arrays.save(golden.expected, 4, {"y": tiny.astype(np.float32)})
    golden = replace(golden, floors=noise_floor.noise_floors(golden.samples, golden.expected, golden.exact, precision="fp32"))
    floor = next(floor for floor in golden.floors if floor.group == "ones")
    assert floor.own < 1e-14
    assert floor.least == 2**-23 * next(floor.scale for floor in golden.floors if floor.group == "drawn")
    for far, verdict in ((6e-8, "passed"), (3e-6, "failed")):
        tracker = ErrorTracker(golden)
        tracker.add(StageName.ONNXRUNTIME, (4,), {"y": (tiny + far).astype(np.float32)})
        assert [gate.verdict for gate in tracker.gates()] == [verdict]
    # A drawn sample gets no such allowance: small outputs of drawn samples have their own scale.
    assert all(floor.least == 0.0 for floor in golden.floors if floor.group == "drawn")


def test_a_note_names_the_edge_cases_if_only_they_fail():
    golden = question(7, edges={4: "zeros", 5: "ones", 6: "largest"})

    def notes(*failing: int) -> list[str]:
        checks = []
        for index in range(7):
            own = arrays.load(golden.expected, index)
            found = {"y": own["y"] + np.float32(1.0 if index in failing else 0.0)}
            tensors = comparison.compare(own, found, golden.tolerances)
            checks.append(Check(stage=StageName.ONNXRUNTIME, batch_size=1, samples=(index,), tensors=tensors))
        return list(gates.judge(ErrorTracker(golden), checks).notes)

    expected_note = wording.EDGES_DECIDED.text(names="ones", others="zeros, largest")
    assert expected_note in notes(5)
    assert wording.EDGES_DECIDED.text(names="zeros and ones", others="largest") in notes(4, 5)
    start = wording.EDGES_DECIDED.what.split(":")[0]
    assert not [note for note in (*notes(), *notes(5, 1)) if note.startswith(start)]
    tracker = ErrorTracker(golden)
    tracker.add(StageName.ONNXRUNTIME, (5,), {"y": arrays.load(golden.expected, 5)["y"] + np.float32(1.0)})
    assert expected_note in gates.judge(tracker, ()).notes  # the noise floor alone


def test_a_spec_can_select_edge_cases():
    drawn = samples.write(model(samples={"count": 2}), Path("drawn"))
    assert drawing.with_edges(model(quality={"edge_cases": ["zeros"]}), drawn).edges == {drawn.files.count: "zeros"}
    drawn = samples.write(model(samples={"count": 2}), Path("all"))
    assert list(drawing.with_edges(model(), drawn).edges.values()) == ["zeros", "ones"]
    assert drawing.with_edges(model(quality={"edge_cases": []}), drawn).edges == {}
    assert drawing.with_edges(model(quality={"edge_cases": False}), drawn).edges == {}
    with pytest.raises(ValueError, match="edge_cases"):
        model(quality={"edge_cases": ["zero"]})


def test_edge_cases_that_rounding_moves_beyond_the_tolerance_are_dropped_even_if_they_pass(monkeypatch):
    """Another machine sums in another order, and the version would fail there."""
    golden = question(6, edges={4: "zeros", 5: "ones"})
    tracker = ErrorTracker(golden)
    tracker.allow_for_rounding({("y", "zeros"): 0.5, ("y", "ones"): 1e-5})
    artifact = SimpleNamespace(path=Path("m.onnx"))
    dropped = edge_case_rounding.undetermined(model(), artifact, tracker.golden, checks=[], work=Path("work"), recorder=Recorder())
    assert dropped == {"zeros": wording.EDGE_ROUNDED.text(output="y", far=0.5)}
    # An edge case that fails by more than rounding explains is not dropped.
    wrong = comparison.compare(arrays.load(golden.expected, 4), {"y": arrays.load(golden.expected, 4)["y"] + np.float32(100)}, {})
    check = Check(stage=StageName.ONNXRUNTIME, batch_size=1, samples=(4,), tensors=wrong)
    found = Sensitivity(moved=({"y": 0.5},), chosen=frozenset(), library_seconds=0.0)
    monkeypatch.setattr(edge_case_rounding.runtime, "sensitivity", lambda *_, **__: found)
    monkeypatch.setattr(edge_case_rounding.summation_error, "explained", lambda *_, **__: {})
    assert (
        edge_case_rounding.undetermined(model(), artifact, tracker.golden, checks=[check], work=Path("work"), recorder=Recorder())
        == {}
    )


def test_rounding_is_measured_on_all_edge_cases_if_the_file_has_a_spatial_normalization():
    golden = question(6, edges={4: "zeros", 5: "ones"})
    tracker = ErrorTracker(golden)
    for operator, wanted in (("InstanceNormalization", (4, 5)), ("Conv", ())):
        Path("node_map.json").write_text(f'{{"nodes": [{{"operator": "{operator}"}}]}}')
        assert edge_case_rounding._doubtful(SimpleNamespace(node_map=Path("node_map.json")), tracker) == wanted


def test_an_edge_case_is_dropped_if_rounding_changes_the_number_of_elements(monkeypatch):
    """y = x[x * 3 - 3 >= 0] at ones: the last bit decides which elements are selected."""
    nodes = [
        helper.make_node("Mul", ["x", "three"], ["m"]),
        helper.make_node("Sub", ["m", "three"], ["d"]),
        helper.make_node("GreaterOrEqual", ["d", "zero"], ["k"]),
        helper.make_node("Compress", ["x", "k"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.float32(value), name) for name, value in (("three", 3.0), ("zero", 0.0))]
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [64])
    graph = helper.make_graph(nodes, "g", [tensor], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "m.onnx")
    inputs = TensorFiles(directory=Path("in"), tensors=(TensorSpec(name="x", dtype="fp32", shape=(64,)),), count=1)
    arrays.save(inputs, 0, {"x": np.ones(64, np.float32)})
    drawn = SampleSet(files=inputs, batched=False, origin="")
    request = SamplesRequest(path=Path("m.onnx"), samples=drawn, indices=(0,), directory=Path("out"))
    (moved,) = sensitivity.measure(request).moved
    assert moved == {"y": float("inf")}
    (tensor,) = comparison.compare({"y": np.ones(64, np.float32)}, {"y": np.ones(30, np.float32)}, {})
    assert edge_case_rounding._why_undetermined(tensor, moved["y"], ()) == wording.EDGE_NUMBER.text(output="y")
    assert edge_case_rounding._why_undetermined(tensor, 1.0, ()) == ""
    golden = question(5, edges={4: "ones"})
    found = Sensitivity(moved=({"y": float("inf")},), chosen=frozenset(), library_seconds=0.0)
    monkeypatch.setattr(edge_case_rounding.runtime, "sensitivity", lambda *_, **__: found)
    tracker = ErrorTracker(golden)
    tracker.add(StageName.ONNXRUNTIME, (4,), {"y": arrays.load(golden.expected, 4)["y"] + np.float32(1.0)})
    artifact = SimpleNamespace(path=Path("m.onnx"), node_map=None)
    edge_case_rounding.allow_for_rounding(model(), artifact, tracker, work=Path("work"), recorder=Recorder())
    assert tracker.gates()[0].verdict == "failed"  # an infinite allowance would pass anything


def test_a_model_is_not_batchable_if_the_output_size_depends_on_the_data():
    drawn = SampleSet(
        files=TensorFiles(directory=Path("in"), tensors=(TensorSpec(name="x", dtype="fp32", shape=(1, 4)),), count=2),
        batched=True,
        origin="",
    )
    outputs = TensorFiles(directory=Path("out"), tensors=(TensorSpec(name="y", dtype="fp32", shape=(1, 3)),), count=2)
    for index, size in enumerate((3, 2)):
        arrays.save(drawn.files, index, {"x": np.zeros((1, 4), np.float32)})
        arrays.save(outputs, index, {"y": np.zeros((1, size), np.float32)})
    with pytest.raises(UsageError) as raised:
        requirements.require_one_shape(model(max_batch_size=2), outputs, drawn)
    assert raised.value.code == "sizes-by-data"
    assert raised.value.found == "shapes [1, 3] and [1, 2]"
    requirements.require_one_shape(model(max_batch_size=1), outputs, drawn)


def test_a_batch_output_of_another_shape_is_reported_without_a_difference():
    own = files("own", [np.zeros((1, 64)), np.zeros((1, 64))], "fp64")
    batched = TensorFiles(directory=Path("batched"), tensors=own.tensors, count=1)
    arrays.save(batched, 0, {"y": np.zeros((2, 32))})
    answered = SimpleNamespace(batched=batched, reference=SimpleNamespace(outputs=own))
    with pytest.raises(UsageError) as raised:
        requirements.batch_check(model(max_batch_size=2), answered, 0, batch=(0, 1))
    assert raised.value.found == "output 'y': shape [2, 32] instead of [2, 64]"
    arrays.save(batched, 0, {"y": np.full((2, 64), 0.5)})
    with pytest.raises(UsageError) as raised:
        requirements.batch_check(model(max_batch_size=2), answered, 0, batch=(0, 1))
    assert raised.value.found.endswith("; largest difference 0.5")


def test_a_tolerance_below_the_rounding_of_a_sum_is_no_mixed_batch():
    """PyTorch adds in another order in a batch. A tolerance of 1e-12 is too small for that, and the model is batchable."""
    own = files("own", [np.full((1, 64), 0.1, np.float32)] * 2, "fp32")
    batched = TensorFiles(directory=Path("batched"), tensors=own.tensors, count=1)
    answered = SimpleNamespace(batched=batched, reference=SimpleNamespace(outputs=own))
    tight = model(max_batch_size=2, outputs={"y": {"tolerance": {"rtol": 1e-12, "atol": 1e-12}}})
    for units, code in ((1, "tolerance-below-rounding"), (64, "tolerance-below-rounding"), (80, "model-not-batchable")):
        value = np.float32(0.1) + units * np.spacing(np.float32(0.1))
        arrays.save(batched, 0, {"y": np.full((2, 64), value, np.float32)})
        with pytest.raises(UsageError) as raised:
            requirements.batch_check(tight, answered, 0, batch=(0, 1))
        assert raised.value.code == code, units
        if units == 1:
            assert "{rtol: 1e-06, atol: 1e-07}" in raised.value.next_step
    wide = model(max_batch_size=2, outputs={"y": {"tolerance": {"rtol": 1e-6, "atol": 1e-7}}})
    arrays.save(batched, 0, {"y": np.full((2, 64), np.nextafter(np.float32(0.1), np.float32(1)), np.float32)})
    assert requirements.batch_check(wide, answered, 0, batch=(0, 1)).passed
