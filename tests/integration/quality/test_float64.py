"""PyTorch in float64: an output that float64 computes differently has no noise floor, with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet
from tritonize.core.stages import StageName
from tritonize.quality import gates, golden_set, noise_floor
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import runner
from tritonize.reference.runner import Computed
from tritonize.reference.tasks import ReferenceRequest
from tritonize.reference.worker import recompute, weight_perturbation
from tritonize.reference.worker import runner as worker
from tritonize.source import identification, samples
from tritonize.source.worker import widening
from tritonize.spec import schema

NETS = """
import torch
from torch import nn

class Complex(nn.Module):
    # y = real((Wx) * g): half of g's effect is in its imaginary part
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(8, 8)
        self.filter = nn.Parameter(torch.randn(8, dtype=torch.complex64))
        self.register_buffer("shift", torch.randn(8, dtype=torch.complex64))

    def forward(self, x):
        return (self.lin(x) * self.filter * self.shift).imag

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(8, 4)

    def forward(self, x):
        return self.lin(x) * 1e-4, torch.ones(x.shape[0], 1), x.argmax(1)

class Peeking(nn.Module):
    # the smallest number of its own type
    def forward(self, x):
        return torch.log(torch.clamp(x - x.abs(), min=torch.finfo(x.dtype).eps)), x * 3

class Bits(nn.Module):
    # a float32 buffer that holds packed whole numbers
    def __init__(self):
        super().__init__()
        self.register_buffer("packed", torch.tensor([3, 5, 7, 9] * 2, dtype=torch.int32).view(torch.float32))

    def forward(self, x):
        return x * self.packed.view(torch.int32)[:8].to(x.dtype)

class Encoded(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("weight", torch.randn(8, 8).to(torch.float8_e4m3fn))
        self.register_buffer("scale", torch.tensor(0.37))

    def forward(self, x):
        codes = self.weight.view(torch.uint8)
        return x @ (self.weight.to(x.dtype) * self.scale) + codes.to(x.dtype).mean()

class Passing(nn.Module):
    # how many pass depends on the last bit
    def forward(self, x):
        return x[(x * 3) / 3 == x], x * 2

class Sorted(nn.Module):
    # scores that float32 cannot tell apart come in another order in float64
    def __init__(self):
        super().__init__()
        self.register_buffer("step", torch.arange(8.0).flip(0) * 1e-9)

    def forward(self, x):
        order = torch.argsort(1 + self.step.double().to(x.dtype) + 0 * x[0], stable=True)
        return x[:, order], order[None]

class Rows(nn.Module):
    # detections x1 y1 x2 y2 score, by their score
    def __init__(self, lost=False):
        super().__init__()
        self.lost = lost
        self.register_buffer("step", torch.arange(8.0).flip(0) * 1e-9)

    def forward(self, x):
        corner = torch.arange(8.0, dtype=x.dtype)[:, None] * 20 + x[0, :, None] * 0.1
        score = 1 + self.step.to(x.dtype) + 0 * x[0]
        rows = torch.cat([corner, corner, corner + 9, corner + 9, score[:, None]], 1)[torch.argsort(score, stable=True)]
        return rows[score > 1 + 1e-12 if self.lost and x.dtype == torch.float64 else slice(None)][None]
"""


def golden_of(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **fields):
    """Make the golden set of a model of this file as `computation` does, in this process."""
    (tmp_path / "float64_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = schema.Model.model_validate(
        {
            "source": f"float64_nets:{source}",
            "inputs": {"x": {"shape": ["batch", 8]}},
            "max_batch_size": 1,
            "samples": {"count": 3},
            **fields,
        }
    )
    drawn = samples.add_edges(model, samples.write(model, tmp_path / "drawn"))
    load = runner.load_request(model, identification.identify(model))
    answer = worker.compute(ReferenceRequest(model=load, samples=drawn, directory=tmp_path / "work", float64=True))
    own = runner.Reference(source=identification.identify(model), outputs=answer.outputs, parameters=answer.parameters)
    drawn = arrays.without_edges(drawn, answer.observed.unusable)
    computed = Computed(reference=own, batched=answer.batched, samples=answer.samples, observed=answer.observed)
    from tritonize.core.recorder import Recorder
    from tritonize.reference import computation

    return computation._golden(model, drawn, computed, work=tmp_path, recorder=Recorder())


@pytest.fixture
def make_golden(tmp_path, monkeypatch):
    return lambda source, **fields: golden_of(source, tmp_path, monkeypatch, **fields)


def gates_of(golden: GoldenSet, name: str, change=lambda array: array) -> dict[str, str]:
    """Return the verdicts by group for PyTorch's own outputs with one output changed."""
    tracker = ErrorTracker(golden)
    for index in range(golden.samples.files.count):
        answer = dict(arrays.load(golden.expected, index))
        answer[name] = change(answer[name])
        tracker.add(StageName.ONNXRUNTIME, (index,), answer)
    return {gate.group: gate.verdict for gate in tracker.gates() if gate.output == name}


def test_complex_weights_stay_complex_in_float64_and_a_small_error_in_them_is_found(make_golden):
    golden = make_golden("Complex")
    (floor,) = [floor for floor in golden.floors if floor.group == "drawn"]
    assert floor.noise < 1e-5 * floor.scale
    assert noise_floor.ill_conditioned(golden) == ()
    assert set(gates_of(golden, "OUTPUT__0").values()) == {"passed"}
    assert gates_of(golden, "OUTPUT__0", lambda array: array * np.float32(1.05))["drawn"] == "failed"


def test_the_weight_perturbation_includes_complex_weights():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.filter = torch.nn.Parameter(torch.full((64,), 1 + 2j, dtype=torch.complex64))

        def forward(self):
            return self.filter.imag

    net = Net()
    before = net.filter.detach().clone()
    files = arrays.TensorFiles(directory=Path("own"), tensors=(arrays.spec_of("y", np.zeros(64, np.float32)),), count=1)
    arrays.save(files, 0, {"y": net().detach().numpy()})
    (moved,) = weight_perturbation.measure(net, lambda _: {"y": net().detach().numpy().copy()}, files)
    assert 2**-24 < moved["y"] < 2**-20
    assert torch.equal(net.filter, before)


def test_an_output_without_float64_does_not_disable_the_gates_of_other_outputs(make_golden):
    golden = make_golden("Mixed")
    assert [(each.output, each.group) for each in golden.unmeasured] == [("OUTPUT__1", "all")]
    assert gates_of(golden, "OUTPUT__1") == {"all": "not run"}
    assert set(gates_of(golden, "OUTPUT__0").values()) == {"passed"}
    assert gates_of(golden, "OUTPUT__0", lambda array: array * np.float32(1.05))["drawn"] == "failed"
    rows = {row.output: row.against for row in _seen(golden).rows()}
    assert rows == {"OUTPUT__0": "fp64", "OUTPUT__1": "fp32", "OUTPUT__2": "fp64"}
    required = replace(golden, required=True)
    assert gates_of(required, "OUTPUT__1") == {"all": "failed"}
    assert set(gates_of(required, "OUTPUT__0").values()) == {"passed"}
    read = golden_set.write(golden, Path("golden"))
    assert read.unmeasured == golden.unmeasured
    assert gates_of(read, "OUTPUT__0", lambda array: array * np.float32(1.05))["drawn"] == "failed"
    assert set(gates_of(read, "OUTPUT__0").values()) == {"passed"}


def _seen(golden: GoldenSet) -> ErrorTracker:
    tracker = ErrorTracker(golden)
    tracker.add(StageName.ONNXRUNTIME, (0,), arrays.load(golden.expected, 0))
    return tracker


@pytest.mark.parametrize(
    ("source", "output", "code"),
    [
        ("Peeking", "OUTPUT__0", "float64-far"),
        ("Passing", "OUTPUT__0", "float64-other-shape"),
        ("Sorted", "OUTPUT__0", "float64-far"),
    ],
)
def test_an_output_that_float64_computes_differently_is_not_run_with_the_reason(make_golden, source, output, code):
    """Otherwise the noise floor would be as large as the output, and anything would pass."""
    golden = make_golden(source)
    from tritonize.core.messages import quality as wording

    start = next(each.what for each in vars(wording).values() if getattr(each, "code", "") == code).split("{")[0]
    assert [each.why.startswith(start) for each in golden.unmeasured if each.output == output] == [True], golden.unmeasured
    assert gates_of(golden, output) == {"all": "not run"}
    if source != "Sorted":
        assert gates_of(golden, "OUTPUT__1", lambda array: array * np.float32(1.001))["drawn"] == "failed"


def test_integers_that_differ_in_float64_are_compared_with_float32(make_golden):
    golden = make_golden("Sorted")
    assert not golden.is_exact("OUTPUT__1")
    (row,) = [row for row in _seen(golden).rows() if row.output == "OUTPUT__1"]
    assert (row.against, row.metrics.mismatched) == ("fp32", 0)


def test_packed_bits_prevent_float64_and_encoded_weights_do_not(make_golden):
    """A model that reads the bits of its weights fails in float64; 8-bit weights stay unchanged and are decoded as in float32."""
    packed = make_golden("Bits")
    assert packed.exact is None
    assert gates_of(packed, "OUTPUT__0") == {"all": "not run"}
    import float64_nets

    encoded = float64_nets.Encoded()
    x = torch.randn(3, 8)
    single = encoded(x)
    widening.to_precision(encoded, torch.float64)
    assert {each.dtype for each in encoded.buffers()} == {torch.float8_e4m3fn, torch.float64}
    torch.testing.assert_close(encoded(x.double()).float(), single)


def test_reordered_detections_are_matched_before_they_are_compared(make_golden):
    outputs = {"OUTPUT__0": {"kind": "detections"}}
    golden = make_golden("Rows", outputs=outputs)
    assert golden.unmeasured == ()
    assert next(floor.noise for floor in golden.floors if floor.group == "drawn") < 1e-4
    assert gates_of(golden, "OUTPUT__0", lambda array: array * np.float32(1.001))["drawn"] == "failed"


def test_detections_that_float64_does_not_return_are_not_run(make_golden):
    golden = make_golden("Rows", outputs={"OUTPUT__0": {"kind": "detections"}}, kwargs={"lost": True})
    assert next((each.output, each.group) for each in golden.unmeasured) == ("OUTPUT__0", "all")
    assert gates_of(golden, "OUTPUT__0") == {"all": "not run"}


def test_torchscript_keeps_complex_weights_in_float64(tmp_path, monkeypatch):
    (tmp_path / "float64_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import float64_nets

    scripted = torch.jit.script(float64_nets.Complex().eval())
    widening.to_precision(scripted, torch.float64)
    assert {each.dtype for each in scripted.parameters()} == {torch.float64, torch.complex128}
    x = torch.randn(2, 8, dtype=torch.float64)
    plain = float64_nets.Complex().eval()
    widening.to_precision(plain, torch.float64)
    torch.testing.assert_close(scripted(x), plain(x), rtol=0, atol=0)


def test_select_removes_the_files_of_other_outputs():
    files = arrays.TensorFiles(
        directory=Path("files"), tensors=tuple(arrays.spec_of(name, np.zeros(1, np.float32)) for name in "abc"), count=2
    )
    for index in range(2):
        arrays.save(files, index, {name: np.full(1, 10 * index + place, np.float32) for place, name in enumerate("abc")})
    kept = arrays.select(files, ["a", "c"])
    assert [{name: float(array[0]) for name, array in arrays.load(kept, index).items()} for index in range(2)] == [
        {"a": 0, "c": 2},
        {"a": 10, "c": 12},
    ]
    assert len(list(Path("files/0").iterdir())) == 2


def test_without_float64_each_output_with_a_limit_has_one_gate_that_is_not_run():
    """One gate per output, and not one per group of samples."""
    drawn = SampleSet(files=arrays.TensorFiles(directory=Path("in"), tensors=(), count=1), batched=True, origin="drawn")
    own = arrays.TensorFiles(directory=Path("own"), tensors=(arrays.spec_of("y", np.zeros(1, np.float32)),), count=1)
    golden = GoldenSet(samples=drawn, expected=own, max_batch_size=1, why_not="no memory")
    assert [(gate.verdict, gate.note) for gate in ErrorTracker(golden).gates()] == []
    rules = {"y": golden_set.Rules(noise_floor=10.0)}
    assert [(gate.verdict, gate.note) for gate in ErrorTracker(replace(golden, rules=rules)).gates()] == [("not run", "no memory")]
    assert gates.without_float64(noise_floor.Measured(exact=None, floors=(), unmeasured=())) == ""
    assert recompute._TORCH["fp64"] is torch.float64
