"""Gates and the stage table: noise floors, limits and edge cases."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support.command import tritonize
from tests.support.golden_sets import files, question
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.reports import Check
from tritonize.core.results import Metrics
from tritonize.core.stages import SERVED, StageName
from tritonize.onnx_model.tasks import SamplesRequest
from tritonize.quality import comparison, golden_set, noise_floor
from tritonize.quality import gates as quality_gates
from tritonize.quality import tracker as observing
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import computation, edge_case_rounding, runner
from tritonize.source import identification, samples
from tritonize.spec import schema
from tritonize.triton import sample_requests, server_description


def expected_output(golden: GoldenSet, indices: tuple[int, ...]) -> np.ndarray:
    return arrays.stack(golden.expected, indices)["y"].copy()


def gates(golden: GoldenSet, found: np.ndarray, indices: tuple[int, ...] = (0,), stage: StageName = StageName.HTTP):
    tracker = ErrorTracker(golden)
    tracker.add(stage, indices, {"y": found})
    return tracker.gates()


def test_k_is_the_error_divided_by_pytorchs_own_error():
    golden = question(own_error=1e-4)
    exact = arrays.load(golden.exact, 1)["y"]
    found = exact.copy()
    found[0, 7] += 5e-4
    (gate,) = gates(golden, found.astype(np.float32), (1,))
    own = max(float(np.abs(arrays.load(golden.expected, i)["y"] - arrays.load(golden.exact, i)["y"]).max()) for i in range(4))
    assert gate.value == pytest.approx(np.abs(found.astype(np.float32) - exact).max() / own)
    assert (gate.verdict, gate.sample, gate.group, gate.limit) == ("passed", 1, "drawn", 10.0)
    found[0, 7] += 10e-4
    assert gates(golden, found.astype(np.float32), (1,))[0].verdict == "failed"


def test_the_noise_floor_is_at_least_a_unit_of_float32():
    """A model that computes exactly has no noise floor of its own; neighbouring float32 values still pass."""
    golden = question(own_error=0.0)
    exact = arrays.load(golden.exact, 0)["y"]
    largest = max(float(np.abs(arrays.load(golden.exact, i)["y"]).max()) for i in range(4))
    assert golden.floors[0].denominator == max(golden.floors[0].noise, 2**-23 * largest)
    assert gates(golden, np.nextafter(exact.astype(np.float32), np.float32(9)))[0].value < 2


def test_each_edge_case_has_its_own_noise_floor():
    """The noise floor of the drawn samples would hide an error in an edge case."""
    golden = question(5, edges={4: "zeros"}, own_error=1e-3)
    quiet = arrays.load(golden.exact, 4)["y"]
    arrays.save(golden.expected, 4, {"y": quiet.astype(np.float32)})
    golden = replace(golden, floors=noise_floor.noise_floors(golden.samples, golden.expected, golden.exact, precision="fp32"))
    assert {floor.group for floor in golden.floors} == {"drawn", "zeros"}
    tracker = ErrorTracker(golden)
    tracker.add(StageName.HTTP, (4,), {"y": (quiet + 1e-4).astype(np.float32)})
    tracker.add(StageName.HTTP, (0,), {"y": (arrays.load(golden.exact, 0)["y"] + 1e-4).astype(np.float32)})
    verdicts = {gate.group: gate.verdict for gate in tracker.gates()}
    assert verdicts == {"drawn": "passed", "zeros": "failed"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_or_infinity_fails_the_gate(bad):
    golden = question()
    found = expected_output(golden, (0,))
    found[0, 3] = bad
    (gate,) = gates(golden, found)
    assert gate.verdict == "failed"
    assert "NaN or infinity" in gate.note


def test_the_worst_sample_of_a_batch_is_named():
    golden = question()
    found = expected_output(golden, (0, 1, 2))
    found[2, 0] += 1.0
    tracker = ErrorTracker(golden)
    tracker.add(StageName.GRPC, (0, 1, 2), {"y": found})
    gate = quality_gates.worst(tracker.gates())
    assert (gate.sample, gate.verdict, gate.stage) == (2, "failed", "grpc")
    assert quality_gates.worst(()) is None


def test_bounds_on_metrics_and_on_a_metric_that_the_kind_does_not_have():
    golden = question(
        metrics={"max_abs": schema.Bound(max=1e-3), "cosine": schema.Bound(min=0.999), "dice_min": schema.Bound(min=0.5)}
    )
    found = {gate.gate: gate for gate in gates(golden, expected_output(golden, (0,))) if gate.gate != "noise floor"}
    assert {name: gate.verdict for name, gate in found.items()} == {
        "max_abs <=": "passed",
        "cosine >=": "passed",
        "dice_min >=": "failed",
    }
    assert "has no such metric" in found["dice_min >="].note


def test_without_float64_the_gate_is_not_run_and_fails_if_float64_is_required():
    golden = replace(question(), exact=None, floors=(), why_not="no memory")
    (gate,) = gates(golden, expected_output(golden, (0,)))
    assert (gate.verdict, gate.note, gate.value) == ("not run", "no memory", None)
    assert gates(replace(golden, required=True), expected_output(golden, (0,)))[0].verdict == "failed"


def test_reduced_precision_is_compared_with_its_own_noise_floor():
    golden = question()
    halved = [arrays.load(golden.exact, index)["y"].astype(np.float16).astype(np.float32) for index in range(4)]
    tracker = ErrorTracker(golden)
    tracker.judge_reduced_by(
        noise_floor.noise_floors(golden.samples, files("half", halved, "fp32"), golden.exact, precision="fp16")
    )
    tracker.add(StageName.ONNXRUNTIME, (0,), {"y": expected_output(golden, (0,))})
    tracker.add(StageName.HTTP, (0,), {"y": halved[0]})
    assert {gate.stage: gate.verdict for gate in tracker.gates()} == {"onnxruntime": "passed", "http": "passed"}
    plain = ErrorTracker(golden)
    plain.add(StageName.HTTP, (0,), {"y": halved[0]})
    assert plain.gates()[0].verdict == "failed"


def test_the_first_stage_over_the_limit_is_named_in_the_order_of_stages():
    golden = question()
    tracker = ErrorTracker(golden)
    for stage in (StageName.SHM, StageName.HTTP, StageName.ONNXRUNTIME):
        tracker.add(stage, (0,), {"y": expected_output(golden, (0,)) + (0.0 if stage == "onnxruntime" else 1.0)})
    assert quality_gates.first_over_budget(tracker.gates()).stage == StageName.HTTP
    assert [row.stage for row in tracker.rows()] == ["onnxruntime", "http", "shm"]
    assert isinstance(tracker.rows()[0].metrics, Metrics)


def test_tolerance_gates_count_the_results_of_the_checks():
    golden = question()
    found = expected_output(golden, (1,))
    found[0, :3] += 1.0
    checks = []
    for index, array in ((0, expected_output(golden, (0,))), (1, found)):
        tensors = comparison.compare({"y": expected_output(golden, (index,))}, {"y": array}, golden.tolerances)
        checks.append(Check(stage=StageName.HTTP, batch_size=1, samples=(index,), tensors=tensors))
    (gate,) = quality_gates.tolerance_gates(checks)
    assert (gate.verdict, gate.value, gate.sample) == ("failed", 3.0, 1)


def test_a_model_whose_own_error_exceeds_the_tolerance_is_ill_conditioned():
    golden = question(own_error=0.1)
    assert [floor.output for floor in noise_floor.ill_conditioned(golden)] == ["y"]
    assert noise_floor.ill_conditioned(question(own_error=1e-6)) == ()


def test_a_golden_set_stores_all_rules_and_noise_floors():
    golden = question(5, edges={4: "zeros"}, kind="classes", metrics={"top1": schema.Bound(min=1.0)})
    read = golden_set.write(golden, Path("golden"))
    assert read.rules == golden.rules
    assert read.floors == golden.floors
    assert read.samples.edges == {4: "zeros"}
    assert read.rounded
    exact = arrays.load(golden.exact, 2)["y"]
    assert np.array_equal(arrays.load(read.exact, 2)["y"], exact.astype(np.float32))
    # The rounding of the stored float64 values does not count as an error.
    (gate,) = [each for each in gates(read, expected_output(read, (0,))) if each.gate == "noise floor"]
    assert gate.value <= gates(golden, expected_output(golden, (0,)))[0].value + 1e-9
    some = golden_set.write(golden, Path("some"), keep=[1, 4])
    assert (some.samples.files.count, some.samples.edges) == (2, {1: "zeros"})
    assert np.array_equal(arrays.load(some.expected, 0)["y"], arrays.load(golden.expected, 1)["y"])


def test_a_golden_set_of_the_first_format_is_still_read():
    folder = Path("old")
    golden_set.write(question(2), folder)
    facts = json.loads((folder / "golden.json").read_text())
    kept = {name: facts[name] for name in ("count", "drawn", "origin", "max_batch_size", "inputs", "expected")}
    old = {"schema": 1, **kept, "tolerances": {"y": {"rtol": 0.5, "atol": 0.25}}}
    (folder / "golden.json").write_text(json.dumps(old))
    read = golden_set.read(folder)
    assert read.samples.files.count == 2
    assert (read.tolerances["y"].rtol, read.tolerances["y"].atol) == (0.5, 0.25)
    assert read.exact is None
    assert "before float64" in read.why_not


class Deep(torch.nn.Module):
    """3D convolutions of every kind that PyTorch's own float64 kernel supports."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(2, 6, 3, stride=(2, 1, 1), padding=1)
        self.second = torch.nn.Conv3d(6, 4, (1, 3, 2), groups=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def recomputed(source: str, dtype: str = "fp64", **fields):
    model = schema.Model.model_validate(
        {
            "source": source,
            "inputs": {"INPUT__0": {"shape": ["batch", 2, 6, 7, 8]}},
            "max_batch_size": 2,
            "samples": {"count": 2},
            **fields,
        }
    )
    drawn = samples.write(model, Path("drawn"))
    computed = runner.compute(model, identification.identify(model), drawn, batches=[], directory=Path("reference"), float64=True)
    alone = runner.recompute(model, computed.reference, drawn, dtype=dtype, directory=Path("alone"))  # type: ignore[arg-type]
    return computed, alone


def saved(module: torch.nn.Module, *, freeze: bool = False) -> str:
    traced = torch.jit.trace(module.eval(), torch.randn(1, 2, 6, 7, 8))
    (torch.jit.freeze(traced) if freeze else traced).save("m.pt")
    return "m.pt"


def test_float64_of_a_torchscript_file_is_that_of_the_module(monkeypatch):
    torch.manual_seed(0)
    module = Deep()
    computed, alone = recomputed(saved(module))
    exact = module.double()
    for index in range(2):
        x = torch.from_numpy(np.load(f"drawn/{index}/0.npy")).double()
        with torch.no_grad():
            wanted = exact(x).numpy()
        for outputs in (alone.outputs, computed.observed.exact.outputs):
            found = arrays.load(outputs, index)["OUTPUT__0"]
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
        assert np.abs(arrays.load(computed.reference.outputs, index)["OUTPUT__0"] - wanted).max() > 1e-9


def test_a_convolution_in_slabs_equals_pytorchs_own():
    from tritonize.reference.worker import recompute

    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 8, 7, dtype=torch.float64)
    conv = torch.nn.Conv3d(4, 6, (3, 2, 3), stride=(2, 1, 2), padding=(1, 0, 2), groups=2).double()
    with torch.no_grad():
        whole = conv(x)
        old, recompute._COLUMNS_BYTES = recompute._COLUMNS_BYTES, 1
        try:
            with recompute.convolution_in_slabs():
                pieces = conv(x)
        finally:
            recompute._COLUMNS_BYTES = old
        assert torch.equal(conv(x), whole)  # the kernel is PyTorch's own again
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-14)


def test_a_model_that_computes_in_float32_regardless_is_not_run_in_float64():
    """The weights of a frozen file are constants that cannot be widened; a cast to float32 inside is not float64 either."""
    _, frozen = recomputed(saved(Deep(), freeze=True))
    assert frozen.outputs is None
    assert frozen.reason
    Path("casting.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.float() * 2\n"
    )
    computed, cast = recomputed("casting:Net")
    assert "does not compute in fp64 throughout" in cast.reason
    assert computed.observed.exact.outputs is None


def test_float64_stays_within_its_limits():
    _, late = recomputed(saved(Deep()), quality={"float64_deadline_s": 0.01})
    assert late.outputs is None
    assert "0 s" in late.reason or "deadline" in late.reason.lower() or "ended" in late.reason


def test_pytorch_runs_in_half_precision():
    computed, half = recomputed(saved(Deep()), "bf16")
    found = arrays.load(half.outputs, 0)["OUTPUT__0"]
    assert found.dtype == arrays.BFLOAT16
    own = arrays.load(computed.reference.outputs, 0)["OUTPUT__0"]
    assert 1e-4 < np.abs(found.astype(np.float64) - own).max() < 0.1


def test_every_kind_of_input_has_edge_cases():
    model = schema.Model.model_validate(
        {
            "source": "m.pt",
            "inputs": {
                "plain": {"shape": [3]},
                "unit": {"shape": [3], "range": [-0.5, 0.5]},
                "ids": {"dtype": "int64", "shape": [4], "distribution": "token_ids", "range": [2, 7]},
                "mask": {"dtype": "int64", "shape": [4], "distribution": "padding_mask"},
                "hot": {"shape": [3], "distribution": "one_hot"},
                "flag": {"dtype": "bool", "shape": [1]},
            },
        }
    )
    drawn = samples.add_edges(model, samples.write(model, Path("drawn")))
    found = {
        name: {key: value.tolist() for key, value in arrays.load(drawn.files, index).items()} for index, name in drawn.edges.items()
    }
    assert list(found) == ["zeros", "ones", "smallest", "largest"]
    assert {name: item["unit"][0] for name, item in found.items()} == {"zeros": 0, "ones": 0.5, "smallest": -0.5, "largest": 0.5}
    assert {name: item["ids"][0] for name, item in found.items()} == {"zeros": 2, "ones": 2, "smallest": 2, "largest": 7}
    assert all(item["mask"] == [1, 1, 1, 1] for item in found.values())
    assert {name: item["hot"].index(1) for name, item in found.items()} == {"zeros": 0, "ones": 2, "smallest": 0, "largest": 2}
    assert {name: item["flag"] for name, item in found.items()} == {
        "zeros": [False],
        "ones": [True],
        "smallest": [False],
        "largest": [True],
    }
    kept = arrays.without_edges(drawn, {"ones"})
    assert list(kept.edges.values()) == ["zeros", "smallest", "largest"]
    assert arrays.load(kept.files, kept.files.count - 1)["unit"].tolist() == [0.5] * 3


def legacy(source: str, shape: str) -> str:
    """A spec that uses the faster exporter, for a model whose exporter does not matter."""
    model = f"{{source: '{source}', strategies: [legacy], inputs: {{x: {{shape: {shape}}}}}, max_batch_size: 2}}"
    return f"schema: 1\nmodels: {{net: {model}}}\n"


DIVIDING = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        if bool((x == 1).all()):
            raise ValueError("no ones")
        return x / x.abs().sum(1, keepdim=True)
"""


def test_edge_cases_that_a_model_does_not_support_are_dropped_and_named():
    Path("dividing.py").write_text(DIVIDING)
    Path("spec.yaml").write_text(legacy("dividing:Net", "[batch, 5]"))
    done = tritonize("build", "spec.yaml", "--json")
    (report,) = json.loads(done.stdout)["reports"]
    left_out = {each["name"]: each["why"] for each in report["left_out"] if each["part"] == "edge case"}
    assert left_out["zeros"] == "output OUTPUT__0 is not finite"
    assert left_out["ones"].startswith("the model raises")


SCALED = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(16, 16)

    def forward(self, x):
        return 1e-4 * self.first(x)
"""
OPERATORS = """
import tritonize
from onnxscript import opset18 as op

@tritonize.operator("aten::mul.Tensor", opset=18)
def mul(x, y):
    return op.Mul(op.Mul(x, y), op.Constant(value_float=1.001))
"""
WEAK = """
schema: 1
models:
  net:
    source: scaled:Net
    strategies: [dynamo]
    operators: [wrong.py]
    inputs: {x: {shape: [batch, 16]}}
    max_batch_size: 2
"""


def test_an_error_within_the_tolerance_is_found_by_the_noise_floor_and_located():
    """0.1 % of an output of 1e-4 is far below atol 9e-4, but large relative to PyTorch's own float32 error."""
    Path("scaled.py").write_text(SCALED)
    Path("wrong.py").write_text(OPERATORS)
    Path("spec.yaml").write_text(WEAK)
    done = tritonize("build", "spec.yaml", "--json")
    assert done.returncode == 1, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert all(gate["verdict"] == "passed" for gate in report["gates"] if gate["gate"] == "tolerance")
    failed = [gate for gate in report["gates"] if gate["verdict"] == "failed"]
    assert {gate["gate"] for gate in failed} == {"noise floor"}
    assert min(gate["value"] for gate in failed) > 100
    origin = report["details"]["location"]["origin"]
    assert origin["operator"] == "Mul"
    assert "scaled.py" in (origin["source"] or "")
    again = report["details"]["worst"]["command"]
    assert again.startswith("tritonize build spec.yaml --sample-file ")
    assert Path(again.rpartition(" ")[2]).is_dir()  # a sample of the golden set


@pytest.mark.slow
def test_the_command_that_repeats_the_worst_sample_fails_again():
    Path("scaled.py").write_text(SCALED)
    Path("wrong.py").write_text(OPERATORS)
    Path("spec.yaml").write_text(WEAK)
    first = tritonize("build", "spec.yaml", "--json")
    again = json.loads(first.stdout)["reports"][0]["details"]["worst"]["command"]
    repeated = tritonize(*again.split()[1:], "--json")
    assert repeated.returncode == 1, repeated.stderr


NORMALIZED = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(1, 4, 1)
        self.norm = torch.nn.InstanceNorm2d(4)
        self.last = torch.nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.last(self.norm(self.first(x)))
"""


def test_rounding_is_allowed_for_if_a_constant_is_normalized():
    """The output is 0 / sqrt(epsilon): whether the sums are exact is luck, in PyTorch as in ONNX Runtime."""
    Path("normalized.py").write_text(NORMALIZED)
    Path("spec.yaml").write_text(legacy("normalized:Net", "[batch, 1, 61, 67]"))
    done = tritonize("build", "spec.yaml", "--json")
    (report,) = json.loads(done.stdout)["reports"]
    assert done.returncode == 0, [gate for gate in report["gates"] if gate["verdict"] == "failed"]
    moved = {floor["group"]: floor["sensitivity"] for floor in report["floors"]}
    assert moved["zeros"] > 10 * moved["drawn"]
    assert all(gate["value"] <= 10 for gate in report["gates"] if gate["gate"] == "noise floor")


def test_the_effect_of_rounding_on_a_file_is_measured():
    """About a unit in the last place per node, and far more if a difference of equal values is multiplied by a large number."""
    from onnx import TensorProto, helper, numpy_helper, save

    from tritonize.onnx_model import runtime

    nodes = [
        helper.make_node("Mul", ["x", "three"], ["y"]),
        helper.make_node("Sub", ["y", "y0"], ["z"]),
        helper.make_node("Mul", ["z", "large"], ["w"]),
        helper.make_node("Shape", ["x"], ["s"]),
    ]
    values = {"three": 3.0, "y0": 3.0, "large": 1000.0}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 256])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 256]) for name in ("y", "w")]
        + [helper.make_tensor_value_info("s", TensorProto.INT64, [2])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in values.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "m.onnx")
    tensors = (TensorSpec(name="x", dtype="fp32", shape=(1, 256)),)
    drawn = SampleSet(files=TensorFiles(directory=Path("in"), tensors=tensors, count=1), batched=True, origin="drawn")
    arrays.save(drawn.files, 0, {"x": np.ones((1, 256), np.float32)})
    (moved,) = runtime.sensitivity(
        SamplesRequest(path=Path("m.onnx"), samples=drawn, indices=(0,), directory=Path("work")), deadline_s=60
    ).moved
    assert set(moved) == {"y", "w"}
    assert 2**-24 <= moved["y"] / 3 <= 2**-22
    assert moved["w"] >= 1000 * moved["y"] * 0.9
    assert not list(Path().glob("*.rounded*"))


def test_only_doubtful_edge_cases_get_an_allowance_and_drawn_samples_never_do():
    golden = question(5, edges={4: "zeros"})
    arrays.save(golden.expected, 4, {"y": arrays.load(golden.exact, 4)["y"].astype(np.float32)})
    golden = replace(golden, floors=noise_floor.noise_floors(golden.samples, golden.expected, golden.exact, precision="fp32"))
    tracker = ErrorTracker(golden)
    for index in (0, 4):
        tracker.add(StageName.ONNXRUNTIME, (index,), {"y": (arrays.load(golden.exact, index)["y"] + 1e-3).astype(np.float32)})
    assert tracker.doubtful() == (4,)
    tracker.allow_for_rounding({("y", "zeros"): 1e-3})
    assert {gate.group: gate.verdict for gate in tracker.gates()} == {"drawn": "failed", "zeros": "passed"}
    assert tracker.doubtful() == ()


def test_the_weight_perturbation_widens_the_noise_floor_if_pytorch_is_exact_by_luck():
    torch.manual_seed(0)
    computed, _ = recomputed(saved(Deep()))
    assert len(computed.observed.moved) == 2
    for moved, index in zip(computed.observed.moved, range(2), strict=True):
        largest = float(np.abs(arrays.load(computed.reference.outputs, index)["OUTPUT__0"]).max())
        assert 2**-26 * largest < moved["OUTPUT__0"] < 2**-18 * largest
    floors = noise_floor.noise_floors(
        SampleSet(files=TensorFiles(directory=Path("drawn"), tensors=(), count=2), batched=True, origin="drawn"),
        computed.reference.outputs,
        computed.observed.exact.outputs,
        precision="fp32",
        moved=computed.observed.moved,
    )
    furthest = max(moved["OUTPUT__0"] for moved in computed.observed.moved)
    assert floors[0].sensitivity == min(furthest, noise_floor.LUCK * floors[0].noise)
    assert floors[0].denominator == max(floors[0].own, floors[0].sensitivity)
    lucky = noise_floor.noise_floors(
        SampleSet(files=TensorFiles(directory=Path("drawn"), tensors=(), count=2), batched=True, origin="drawn"),
        computed.reference.outputs,
        computed.observed.exact.outputs,
        precision="fp32",
        moved=[{"OUTPUT__0": 1.0}] * 2,
    )
    assert lucky[0].denominator == max(lucky[0].own, noise_floor.LUCK * lucky[0].noise)


LUCKY = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed({seed})
        self.first = torch.nn.Linear(32, 32)
        self.last = torch.nn.Linear(32, 1)

    def forward(self, x):
        return torch.exp(3 * self.last(torch.tanh(4 * self.first(x))))
"""


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_small_output_that_is_exact_by_luck_gives_no_false_alarm(seed):
    Path("lucky.py").write_text(LUCKY.format(seed=seed))
    Path("spec.yaml").write_text(
        "schema: 1\nmodels: {net: {source: 'lucky:Net', strategies: [legacy], inputs: {x: {shape: [batch, 32]}}, "
        "max_batch_size: 1, samples: {count: 1}}}"
    )
    done = tritonize("build", "spec.yaml", "--json")
    assert done.returncode == 0, done.stdout


AMPLIFYING = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.parts = torch.nn.Sequential(
            *[part for _ in range(3) for part in (torch.nn.Conv2d(3, 3, 1), torch.nn.InstanceNorm2d(3))]
        )

    def forward(self, x):
        return 100 * self.parts(x)
"""


@pytest.mark.slow
def test_edge_cases_that_depend_on_rounding_are_dropped_and_named():
    """Each normalization of a constant multiplies the rounding error by 300, so after three of them the output is arbitrary."""
    Path("amplifying.py").write_text(AMPLIFYING)
    done = tritonize("build", "amplifying:Net", "--input", "x:fp32:1x3x61x67", "--json")
    (report,) = json.loads(done.stdout)["reports"]
    assert done.returncode == 0, [gate for gate in report["gates"] if gate["verdict"] == "failed"]
    notes = [note for note in report["notes"] if note.startswith("Edge case")]
    assert any("rounding alone changes output OUTPUT__0" in note for note in notes), report["notes"]
    (compared,) = [stage for stage in report["stages"] if stage["name"] == "onnxruntime"]  # one stage, which passed, and says why
    assert compared["verdict"] == "passed"
    assert re.search(r"; without (ones|zeros)", compared["note"]), compared["note"]
    assert "✗" not in done.stderr
    golden_facts = json.loads((Path(report["location"]) / "evidence/golden/golden.json").read_text())
    assert golden_facts["count"] == golden_facts["drawn"] + len(golden_facts["edges"]) < golden_facts["drawn"] + 2
    assert len(list((Path(report["location"]) / "evidence/golden/exact").iterdir())) == golden_facts["count"]


def test_float64_of_very_large_weights_runs_only_if_the_spec_requests_it(monkeypatch):

    Path("lucky.py").write_text(LUCKY.format(seed=0))
    monkeypatch.setattr(computation, "WEIGHTS_BYTES", 1 << 10)
    computed = SimpleNamespace(reference=SimpleNamespace(parameters=129))
    model = schema.Model.model_validate({"source": "lucky:Net"})
    assert "in float64" in computation._too_large(model, computed)
    for quality_ in ({"float64": "required"}, {"float64_memory_mib": 4096}):
        assert computation._too_large(schema.Model.model_validate({"source": "lucky:Net", "quality": quality_}), computed) == ""
    assert computation._too_large(model, SimpleNamespace(reference=SimpleNamespace(parameters=128))) == ""


def test_outputs_of_a_gpu_have_their_own_limit():
    """The server reports where its instances run; a GPU may sum in another order."""
    assert server_description.runs_on_gpu({"instance_group": [{"kind": "KIND_CPU"}, {"kind": "KIND_GPU"}]})
    assert not server_description.runs_on_gpu({"instance_group": [{"kind": "KIND_CPU"}]})
    assert not server_description.runs_on_gpu({})
    golden = question(noise_floor_gpu=100.0)
    tracker = ErrorTracker(golden)
    off = 30 * golden.floors[0].denominator
    tracker.add(StageName.HTTP, (0,), {"y": (arrays.load(golden.exact, 0)["y"] + off).astype(np.float32)})
    assert not quality_gates.judge(tracker, ()).passed
    assert quality_gates.judge(tracker, (), on_gpu=SERVED).passed


def test_the_same_bits_are_compared_once_and_count_each_time(monkeypatch):
    """Other bits, another sample, another tolerance and another expected shape are compared again."""
    from tritonize.quality import comparison as comparing

    golden = question(3)
    tracker, plain = ErrorTracker(golden), ErrorTracker(golden)
    calls = []
    monkeypatch.setattr(observing, "compare", lambda *given: calls.append(1) or comparing.compare(*given))
    answer = {"y": arrays.load(golden.expected, 0)["y"] + np.float32(1e-3)}
    expected = arrays.load(golden.expected, 0)
    for stage in (StageName.ONNXRUNTIME, StageName.HTTP, StageName.GRPC):
        tensors = tracker.check(stage, (0,), expected, found={"y": answer["y"].copy()}, tolerances=golden.tolerances)
        plain.add(stage, (0,), answer)
        assert tensors == comparing.compare(expected, answer, golden.tolerances)
    assert len(calls) == 1
    assert tracker.rows() == plain.rows()
    assert tracker.gates() == plain.gates()
    changed = {"y": answer["y"].copy()}
    changed["y"].reshape(-1)[0] = np.nextafter(changed["y"].reshape(-1)[0], np.float32(9))
    tracker.check(StageName.HTTP, (0,), expected, found=changed, tolerances=golden.tolerances)
    tracker.check(StageName.HTTP, (1,), arrays.load(golden.expected, 1), found=answer, tolerances=golden.tolerances)
    tracker.check(StageName.HTTP, (0,), expected, found=answer, tolerances={"y": schema.Tolerance(rtol=0.0, atol=0.0)})
    assert len(calls) == 4
    (reshaped,) = tracker.check(StageName.HTTP, (0,), {"y": expected["y"][None]}, found=answer, tolerances=golden.tolerances)
    assert len(calls) == 5
    assert not reshaped.passed


def test_the_cache_of_comparisons_is_bounded(monkeypatch):
    monkeypatch.setattr(observing, "REMEMBERED", 2)
    golden = question(3)
    tracker = ErrorTracker(golden)
    for index in (0, 1, 2, 0, 2):
        one = arrays.load(golden.expected, index)
        assert tracker.check(StageName.HTTP, (index,), one, found=one, tolerances=golden.tolerances)[0].passed
    assert len(tracker._known) == 2
    assert [row.metrics.answers for row in tracker.rows()] == [5]


def test_instance_groups_on_a_gpu_may_return_different_bits():
    """Each has its own kernels, and Triton picks an instance; on a shared server, requests of others may join the batch."""
    own = SimpleNamespace(server=SimpleNamespace(log=Path("log")))
    groups = [{"kind": "KIND_GPU"}, {"kind": "KIND_GPU"}]
    assert sample_requests._may_differ(own, {"instance_group": groups})
    assert not sample_requests._may_differ(own, {"instance_group": groups[:1]})
    assert not sample_requests._may_differ(own, {"instance_group": [{"kind": "KIND_CPU"}, {"kind": "KIND_CPU"}]})
    assert sample_requests._may_differ(SimpleNamespace(server=SimpleNamespace(log=None)), {})


def test_a_failed_measurement_of_rounding_is_reported_and_changes_no_verdict(monkeypatch):
    from tritonize.core.errors import ExportError
    from tritonize.core.recorder import Recorder
    from tritonize.onnx_model import runtime

    golden = question(5, edges={4: "zeros"})
    tracker = ErrorTracker(golden)
    tracker.add(StageName.ONNXRUNTIME, (4,), {"y": (arrays.load(golden.exact, 4)["y"] + 1.0).astype(np.float32)})

    def fails(*_, **__):
        raise ExportError("no", found="why")

    monkeypatch.setattr(runtime, "sensitivity", fails)
    recorder = Recorder()
    artifact = SimpleNamespace(path=Path("m.onnx"), node_map=None)
    edge_case_rounding.allow_for_rounding(
        schema.Model.model_validate({"source": "m.pt"}), artifact, tracker, work=Path("work"), recorder=recorder
    )
    assert [(stage.name, stage.verdict, stage.note) for stage in recorder.stages] == [("rounding", "not run", "no why")]
    assert tracker.gates()[0].verdict == "failed"


ORDER = """
import torch

class Order(torch.nn.Module):
    def forward(self, x):
        order = x.argsort(dim=-1, descending=True)
        return order, order.argsort(dim=-1), (x > 0).to(torch.int64)
"""


def test_an_edge_case_with_tied_values_is_dropped():
    """All values of a constant are tied; the outputs for other samples are still compared."""
    from tests.support.command import tritonize

    Path("order.py").write_text(ORDER)
    model = "source: 'order:Order', strategies: [legacy], inputs: {x: {shape: [batch, 33]}}, max_batch_size: 4"
    text = f"schema: 1\nmodels: {{net: {{{model}}}}}"
    Path("spec.yaml").write_text(text)
    done = tritonize("build", "spec.yaml", "--json")
    assert done.returncode == 0, done.stdout
    (report,) = json.loads(done.stdout)["reports"]
    (left_out,) = report["left_out"]
    assert (left_out["part"], left_out["name"]) == ("edge case", "zeros")
    assert left_out["why"].startswith("output OUTPUT__")
    assert "values that are tied" in left_out["why"]


def test_integers_that_do_not_depend_on_a_ranking_are_not_excused():

    (tensor,) = comparison.compare({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, {})
    assert "tied" in edge_case_rounding._why_undetermined(tensor, 0.0, {"y"})
    assert edge_case_rounding._why_undetermined(tensor, 0.0, {"z"}) == ""
    (other,) = comparison.compare({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 3.0])}, {})
    assert edge_case_rounding._why_undetermined(other, 0.0, {"y"}) == ""
    (shape,) = comparison.compare({"y": np.array([1, 2])}, {"y": np.array([1])}, {})
    assert edge_case_rounding._why_undetermined(shape, 0.0, {"y"}) == ""
