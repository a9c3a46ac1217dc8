"""Summation errors of ONNX Runtime in normalizations are measured and allowed for, and do not hide a fault."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.results import Gate
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime as onnx_runtime
from tritonize.onnx_model import tasks
from tritonize.onnx_model.tasks import SamplesRequest
from tritonize.onnx_model.worker import session as ort_session
from tritonize.onnx_model.worker import sums, wide_sums
from tritonize.quality import golden_set, noise_floor
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import summation_error
from tritonize.spec import schema

SIZE = 96
"""From about this size on, one normalization exceeds the noise-floor limit in ONNX Runtime."""
MODEL = schema.Model.model_validate({"source": "m.onnx"})


def write(nodes: list[onnx.NodeProto], shape: tuple[int, ...], weights: dict[str, np.ndarray], path: str, opset: int = 18) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return Path(path)


def normalization(path: str, *, factor: float = 1.0, epsilon: float = 1e-5) -> Path:
    """y = normalized(x) * 1.5 * factor + 0.25."""
    scale, bias = np.full(1, np.float32(1.5 * factor)), np.full(1, np.float32(0.25))
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], epsilon=epsilon, name="norm")
    return write([node], (1, 1, SIZE, SIZE, SIZE), {"s": scale, "b": bias}, path)


@pytest.fixture(scope="module")
def volumes() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    drawn = [generator.uniform(0, 1, (1, 1, SIZE, SIZE, SIZE)).astype(np.float32) for _ in range(2)]
    return [*drawn, np.full((1, 1, SIZE, SIZE, SIZE), 0.7, np.float32)]


def golden_set_of(volumes: list[np.ndarray]) -> GoldenSet:
    """PyTorch's outputs in float32, and the exact ones in float64."""
    import torch

    shape = volumes[0].shape
    files = {
        name: TensorFiles(directory=Path(name), tensors=(TensorSpec(name=tensor, dtype=dtype, shape=shape),), count=len(volumes))
        for name, tensor, dtype in (("in", "x", "fp32"), ("own", "y", "fp32"), ("exact", "y", "fp64"))
    }
    norm = torch.nn.InstanceNorm3d(1, affine=True)
    with torch.no_grad():
        norm.weight.fill_(1.5)
        norm.bias.fill_(0.25)
        for index, volume in enumerate(volumes):
            x = torch.from_numpy(volume)
            arrays.save(files["in"], index, {"x": volume})
            arrays.save(files["own"], index, {"y": norm.float()(x).numpy()})
            arrays.save(files["exact"], index, {"y": norm.double()(x.double()).numpy()})
    drawn = SampleSet(files=files["in"], batched=True, origin="drawn", edges={2: "ones"})
    return GoldenSet(
        samples=drawn,
        expected=files["own"],
        exact=files["exact"],
        max_batch_size=1,
        rules={"y": Rules(noise_floor=10.0)},
        floors=noise_floor.noise_floors(drawn, files["own"], files["exact"], precision="fp32"),
    )


@pytest.fixture
def in_process(monkeypatch):
    """Run the worker's function in this process, which takes half the time."""

    def run(task, request, **_):
        assert task is tasks.MEASURE_SUMS
        return SimpleNamespace(value=sums.measure(request), import_seconds=0.0)

    monkeypatch.setattr(onnx_runtime.workers, "run_worker", run)


def tracker_of(golden: GoldenSet, path: Path) -> ErrorTracker:
    tracker = ErrorTracker(golden)
    session = ort_session.session(path, ())
    for index in range(golden.samples.drawn):
        tracker.add(StageName.ONNXRUNTIME, (index,), ort_session.run_batch(session, arrays.load(golden.samples.files, index), 1))
    return tracker


def allowed(tracker: ErrorTracker, path: Path) -> tuple[summation_error.Allowance, Recorder]:
    recorder = Recorder()
    artifact = SimpleNamespace(path=path)
    return summation_error.allow(MODEL, artifact, tracker, work=Path("work"), recorder=recorder), recorder


def drawn_gate(tracker: ErrorTracker, stage: str) -> Gate:
    return next(gate for gate in tracker.gates() if (gate.stage, gate.group) == (stage, "drawn"))


def test_the_summation_error_of_a_large_normalization_is_allowed_for(volumes, in_process):
    path = normalization("m.onnx")
    golden_of_volumes = golden_set_of(volumes)
    tracker = tracker_of(golden_of_volumes, path)
    before = drawn_gate(tracker, StageName.ONNXRUNTIME)
    assert before.verdict == "failed"
    assert before.value > 20
    allowance, _ = allowed(tracker, path)
    tracker.allow_for_sums(allowance.moved)
    answers = ort_session.session(path, ())
    for index in range(2):
        found = ort_session.run_batch(answers, arrays.load(golden_of_volumes.samples.files, index), 1)
        tracker.add(StageName.ONNXRUNTIME, (index,), found)
        # An output with exact sums, as other runtimes compute it, passes too.
        tracker.add(StageName.GRPC, (index,), {"y": arrays.load(golden_of_volumes.exact, index)["y"].astype(np.float32)})
        # A fault of 30 times PyTorch's own error is found, although these sums move the output further.
        fault = found["y"].copy()
        fault[0, 0, :9] += np.float32(30 * golden_of_volumes.floors[0].own)
        tracker.add(StageName.HTTP, (index,), {"y": fault})
    assert drawn_gate(tracker, StageName.ONNXRUNTIME).value < 2
    assert drawn_gate(tracker, StageName.GRPC).verdict == "passed"
    wrong = drawn_gate(tracker, StageName.HTTP)
    assert (wrong.verdict, wrong.note, wrong.excused) == ("failed", "", False)  # these sums do not explain it
    right = drawn_gate(tracker, StageName.ONNXRUNTIME)
    assert right.excused
    assert right.whole == before.value
    assert right.note.startswith("ONNX Runtime sums less precisely")
    (floor,) = [floor for floor in tracker.golden.floors if floor.summing]
    assert (floor.output, floor.group) == ("y", "drawn")
    assert "norm adds 884,736 terms" in floor.why
    assert floor.summing > 20 * floor.own
    # The golden set stores the allowance, and the file passes again with it.
    carried = golden_set.write(tracker.golden, Path("golden"))
    assert carried.floors == tracker.golden.floors
    assert drawn_gate(tracker_of(carried, path), StageName.ONNXRUNTIME).verdict == "passed"


@pytest.mark.parametrize("fault", ["weight", "epsilon"])
def test_a_fault_in_the_summing_node_is_not_allowed_for(volumes, in_process, fault):
    """The fault is 30 times PyTorch's own error: a third of the summation error of the correct node."""
    golden_of_volumes = golden_set_of(volumes)
    floor = next(floor for floor in golden_of_volumes.floors if floor.group == "drawn")
    share = 30 * floor.own / floor.scale
    variance = float(np.var(volumes[0], dtype=np.float64))
    # epsilon + d multiplies an output by 1 - d / (2 variance)
    path = normalization("m.onnx", **({"factor": 1 + share} if fault == "weight" else {"epsilon": 1e-5 + 2 * share * variance}))
    tracker = tracker_of(golden_of_volumes, path)
    allowance, recorder = allowed(tracker, path)
    assert allowance.moved is None
    assert recorder.stages == []
    assert drawn_gate(tracker, StageName.ONNXRUNTIME).verdict == "failed"


def test_a_node_error_beyond_rounding_is_not_allowed_for(volumes, in_process, monkeypatch):
    path = normalization("m.onnx")
    tracker = tracker_of(golden_set_of(volumes), path)
    monkeypatch.setattr(wide_sums, "bound", lambda *_, **__: 1e-9)
    allowance, recorder = allowed(tracker, path)
    assert allowance.moved is None
    assert [stage.verdict for stage in recorder.stages] == ["not run"]
    assert "InstanceNormalization norm" in recorder.stages[0].note


def test_summation_explains_a_failing_constant_sample_unless_the_file_is_wrong(volumes, in_process):
    golden_of_volumes = golden_set_of(volumes)
    for factor, bias, reason in ((1.0, 0.0, True), (1.0, 0.01, False)):
        path = normalization("m.onnx", factor=factor)
        model = onnx.load(path)
        model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full(1, np.float32(0.25 + bias)), "b"))
        onnx.save(model, path)
        found = ort_session.run_batch(ort_session.session(path, ()), arrays.load(golden_of_volumes.samples.files, 2), 1)
        tensors = compare(arrays.load(golden_of_volumes.expected, 2), found, golden_of_volumes.tolerances)
        assert not all(tensor.passed for tensor in tensors)
        check = Check(stage=StageName.ONNXRUNTIME, batch_size=1, samples=(2,), tensors=tensors)
        artifact = SimpleNamespace(path=path)
        why = summation_error.explained(
            MODEL, artifact, golden_of_volumes, checks={2: check}, work=Path("work"), recorder=Recorder()
        )
        assert bool(why) is reason, why


OPERATORS = [
    ("InstanceNormalization", {"epsilon": 1e-3}, ("channel", "channel")),
    ("LayerNormalization", {"axis": 2, "epsilon": 1e-3}, ("places", "places")),
    ("LayerNormalization", {"axis": -1}, ("row",)),
    ("GroupNormalization", {"num_groups": 2, "epsilon": 1e-3}, ("channel", "channel")),
    ("ReduceMean", {"keepdims": 0}, ("axes",)),
    ("ReduceSum", {"keepdims": 1}, ("axes",)),
    ("ReduceSumSquare", {"keepdims": 1}, ("axes",)),
    ("GlobalAveragePool", {}, ()),
]


OPSETS = [
    (opset, *each) for opset in (17, 18, 21) for each in OPERATORS if opset == 21 or each[0] != "GroupNormalization"
]  # before, it has a scale for each group, and is left as it is


@pytest.mark.parametrize(("opset", "operator", "attributes", "weights"), OPSETS)
def test_a_node_with_float64_sums_computes_the_same_function(opset, operator, attributes, weights):
    """Compared with ONNX Runtime in float32 on sums of few terms; the reported error is that of the node."""
    generator = np.random.default_rng(1)
    shape = (2, 4, 5, 6)
    kinds = {
        "channel": generator.uniform(0.5, 2, 4).astype(np.float32),
        "places": generator.uniform(0.5, 2, (5, 6)).astype(np.float32),
        "row": generator.uniform(0.5, 2, 6).astype(np.float32),
        "axes": np.array([1, 3]),
    }
    if "axes" in weights and opset < 18 and operator != "ReduceSum":
        attributes, weights = {**attributes, "axes": [1, 3]}, ()
    names = {f"w{place}": kinds[kind] for place, kind in enumerate(weights)}
    path = write([helper.make_node(operator, ["x", *names], ["y"], **attributes)], shape, names, "m.onnx", opset)
    files = TensorFiles(directory=Path("in"), tensors=(TensorSpec(name="x", dtype="fp32", shape=shape),), count=1)
    arrays.save(files, 0, {"x": generator.standard_normal(shape, dtype=np.float32) + 3})
    drawn = SampleSet(files=files, batched=True, origin="")
    answer = sums.measure(SamplesRequest(path=path, samples=drawn, indices=(0,), directory=Path("out")))
    plain, wide = (np.load(f"out/{kind}/0/0.npy") for kind in ("plain", "wide"))
    assert plain.shape == wide.shape
    np.testing.assert_allclose(plain, wide, rtol=3e-6, atol=3e-6)
    ((node,),) = answer.nodes
    assert node.operator == operator
    assert 0 < node.error <= node.bound < 1e-3
    assert node.terms == {"LayerNormalization": {2: 30, -1: 6}.get(attributes.get("axis")), "GroupNormalization": 60}.get(
        operator, {"InstanceNormalization": 30, "GlobalAveragePool": 30}.get(operator, 24)
    )
    assert not list(Path().glob("*.wide*"))


def test_a_file_without_long_sums_is_not_run():
    path = write([helper.make_node("Relu", ["x"], ["y"])], (1, 4), {}, "m.onnx")
    files = TensorFiles(directory=Path("in"), tensors=(TensorSpec(name="x", dtype="fp32", shape=(1, 4)),), count=1)
    arrays.save(files, 0, {"x": np.ones((1, 4), np.float32)})
    drawn = SampleSet(files=files, batched=True, origin="")
    answer = sums.measure(SamplesRequest(path=path, samples=drawn, indices=(0,), directory=Path("out")))
    assert (answer.nodes, answer.plain) == ((), None)
