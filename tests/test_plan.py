"""Plans of TensorRT-RTX, built for real on a machine without a GPU. What they answer is run by nobody here: not run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.conftest import tritonize
from tests.test_cli import mounted
from tritonize import gpu, plan, plan_check, plan_file, plan_settings
from tritonize.errors import MissingError, PlanError, UsageError
from tritonize.plan_settings import BuildRequest

SHAPE = ("batch", 3, 16, 16)
PROFILE = {"x": {"min": [1, 3, 16, 16], "opt": [2, 3, 16, 16], "max": [4, 3, 16, 16]}}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plans are built in the test that asks for them."""
    monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))


def network(path: str, dtype: int = TensorProto.FLOAT, operators: tuple[str, ...] = ("Relu",)) -> Path:
    """A convolution and operators behind it."""
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3))
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], name="convolution", pads=[1, 1, 1, 1])]
    outputs = []
    for number, operator in enumerate(operators):
        nodes.append(helper.make_node(operator, ["a"], [f"y{number}"], name=f"node{number}"))
        kind = TensorProto.INT64 if operator == "NonZero" else dtype
        outputs.append(helper.make_tensor_value_info(f"y{number}", kind, None))
    tensor = helper.make_tensor("w", dtype, weight.shape, weight.flatten().tolist())
    if dtype == TensorProto.FLOAT:
        tensor = numpy_helper.from_array(weight.astype(np.float32), "w")  # raw bytes, which may lie in another file
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", dtype, list(SHAPE))], outputs, [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return Path(path)


def request(model: Path | str = "m.onnx", **fields) -> BuildRequest:
    known = {"onnx": str(model), "module": "tensorrt_rtx", "compute_capabilities": ["8.9"], "profiles": [PROFILE]}
    return BuildRequest.model_validate({**known, **fields})


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return x.mean((2, 3))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv3d(1, 8, 3, stride=2, padding=1), nn.Conv3d(8, 8, 3, padding=1)
        self.up, self.last = nn.ConvTranspose3d(8, 8, 2, stride=2), nn.Conv3d(9, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([x, self.up(torch.relu(self.middle(torch.relu(self.down(x)))))], 1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(8, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x)[0]


NETWORKS = {
    "residual": (Residual, (2, 3, 32, 32), {0: "batch"}),
    "encoder": (Encoder, (2, 10, 32), {0: "batch", 1: "length"}),
    "unet": (Unet, (2, 1, 16, 16, 16), {0: "batch"}),
    "recurrent": (Recurrent, (2, 5, 8), {0: "batch"}),
}


def exported(name: str) -> tuple[tuple[int, ...], dict[int, str]]:
    """The network as m.onnx; the shape it was exported with, and its dynamic axes."""
    kind, shape, dynamic = NETWORKS[name]
    torch.manual_seed(0)
    module, example = kind().eval(), (torch.randn(shape),)
    if name == "encoder":  # the legacy exporter bakes the length in; TensorRT notices
        sizes = (dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC),)
        torch.onnx.export(module, example, "m.onnx", dynamo=True, input_names=["x"], dynamic_shapes=sizes, opset_version=18)
    else:
        named = {"x": dynamic}
        torch.onnx.export(module, example, "m.onnx", dynamo=False, input_names=["x"], dynamic_axes=named, opset_version=18)
    return shape, dynamic


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_build_for_another_gpu(name):
    shape, dynamic = exported(name)
    ends = {"min": 1, "opt": 2, "max": 4}
    shapes = {
        end: [8 * size if axis and axis in dynamic else each for axis, each in enumerate(shape)] for end, size in ends.items()
    }
    shapes = {end: [ends[end], *each[1:]] for end, each in shapes.items()}
    (built,) = plan.build(request(profiles=[{"x": shapes}]), Path("out"))
    header = plan_file.read_header(built.path)
    assert header.module == "tensorrt_rtx"
    assert header.compute_capabilities == ("8.9",)
    assert built.metadata.plan_bytes == built.path.stat().st_size
    assert [tensor.name for tensor in built.metadata.inputs] == ["x"]
    assert built.metadata.precision_built is None  # there was no GPU to ask


@pytest.mark.parametrize(
    ("dtype", "name"), [(TensorProto.FLOAT, "fp32"), (TensorProto.FLOAT16, "fp16"), (TensorProto.BFLOAT16, "bf16")]
)
def test_precision_is_the_graphs(dtype, name):
    (built,) = plan.build(request(network("m.onnx", dtype)), Path("out"))
    assert built.metadata.inputs[0].dtype == name
    assert built.metadata.outputs[0].dtype == name


def test_tf32_is_off_unless_asked_for_and_changes_the_plan():
    network("m.onnx")
    plain, fast = (plan.build(request(settings={"tf32": each}), Path(str(each)))[0] for each in (False, True))
    assert (plain.metadata.tf32, fast.metadata.tf32) == (False, True)
    assert plain.metadata.plan_sha256 != fast.metadata.plan_sha256


def test_several_gpu_kinds_side_by_side_and_the_second_time_from_the_cache():
    network("m.onnx")
    targets = ["8.0", "8.6", "8.9", "12.0"]
    built = plan.build(request(compute_capabilities=targets), Path("out"))
    assert [each.path.name for each in built] == ["model.sm80.plan", "model.sm86.plan", "model.sm89.plan", "model.sm120.plan"]
    assert [plan_file.read_header(each.path).compute_capabilities for each in built] == [(each,) for each in targets]
    assert not any(each.cached for each in built)
    started = time.perf_counter()
    again = plan.build(request(compute_capabilities=targets), Path("again"))
    assert time.perf_counter() - started < 1
    assert all(each.cached for each in again)
    assert [each.metadata.plan_sha256 for each in again] == [each.metadata.plan_sha256 for each in built]
    assert [each.path.read_bytes() for each in again] == [each.path.read_bytes() for each in built]


def test_what_a_plan_depends_on_is_its_key():
    network("m.onnx")
    plan.build(request(), Path("out"))
    wider = {"x": {**PROFILE["x"], "max": [8, 3, 16, 16]}}
    for changed in ({"profiles": [wider]}, {"settings": {"workspace_mib": 64}}, {"compute_capabilities": ["8.6"]}):
        assert not plan.build(request(**changed), Path("out"))[0].cached
    network("m.onnx", operators=("Sigmoid",))
    assert not plan.build(request(), Path("out"))[0].cached


def test_several_profiles():
    network("m.onnx")
    wide = {"x": {"min": [5, 3, 16, 16], "opt": [6, 3, 16, 16], "max": [8, 3, 16, 16]}}
    (built,) = plan.build(request(profiles=[PROFILE, wide]), Path("out"))
    assert len(built.metadata.profiles) == 2


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ([], "no profile gives their sizes"),
        ([{"z": PROFILE["x"]}], "there is no input z"),
        ([{"x": {key: value[:3] for key, value in PROFILE["x"].items()}}], "has 4 axes"),
        ([{"x": {**PROFILE["x"], "max": [4, 3, 17, 16]}}], "axis 2 is 16 in the network"),
    ],
)
def test_every_mistake_in_a_profile_is_named_before_the_build(profiles, words):
    network("m.onnx")
    with pytest.raises(UsageError) as error:
        plan.build(request(profiles=profiles), Path("out"))
    assert words in str(error.value)
    assert not list(Path("out").glob("*.plan"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimization_level": 5}, "ignored by TensorRT-RTX; TensorRT has it"),
        ({"hardware_compatibility": "ampere_plus"}, "ignored by TensorRT-RTX"),
        ({"timing_cache": True}, "ignored by TensorRT-RTX"),
        ({"version_compatible": True}, "failing by TensorRT-RTX"),
        ({"refit": True}, "failing by TensorRT-RTX"),
        ({"strip_plan": True}, "failing by TensorRT-RTX"),
    ],
)
def test_what_a_module_ignores_or_fails_at_is_refused(settings, words):
    network("m.onnx")
    with pytest.raises(UsageError) as error:
        plan.build(request(settings=settings), Path("out"))
    assert words in str(error.value)


def test_the_table_of_the_module_is_true():
    """What the table calls ignored changes no byte of a plan, and what it calls failing fails: asked past the table."""
    network("m.onnx")
    (base,) = plan.build(request(), Path("base"))
    values = {
        "optimization_level": 0,
        "hardware_compatibility": "ampere_plus",
        "version_compatible": True,
        "refit": True,
        "strip_plan": True,
    }
    for name, value in values.items():
        support, _ = plan_settings.SUPPORT["tensorrt_rtx"][name]
        job = plan._Job(request(settings={name: value}), base.metadata.version, str, "8.9", Path("m.plan"), None, threading.Event())
        folder = Path(name)
        folder.mkdir()
        if support == "failing":
            with pytest.raises(PlanError):
                plan._build(job, folder)
        else:
            plan._build(job, folder)
            assert (folder / "model.plan").read_bytes() == base.path.read_bytes()


def test_targets_that_are_none():
    network("m.onnx")
    for targets, words in ((["9.0"], "9.0 is none of TensorRT-RTX"), ([], "name at least one")):
        with pytest.raises(UsageError) as error:
            plan.build(request(compute_capabilities=targets), Path("out"))
        assert words in str(error.value)


def test_a_stock_build_without_a_gpu_says_the_ways_out(monkeypatch):
    network("m.onnx")
    if gpu.find() is not None:
        pytest.skip("not run: there is a GPU")
    monkeypatch.setattr(plan, "installed_version", lambda module: "10.16.1.11")
    with pytest.raises(MissingError) as error:
        plan.build(request(module="tensorrt", compute_capabilities=[]), Path("out"))
    assert error.value.exit_code == 3
    for words in ("target's GPU", "tensorrt:YY.MM-py3", "tensorrt_rtx"):
        assert words in error.value.next_step


def test_unsupported_nodes_are_all_named_with_their_origin():
    network("m.onnx", operators=("NonZero", "Relu", "NonZero"))
    node_map = {"format": 1, "nodes": [{"node": "node0", "operator": "NonZero", "module": "head.pick", "source": "net.py:7"}]}
    Path("node_map.json").write_text(json.dumps(node_map))
    with pytest.raises(PlanError) as error:
        plan.build(request(node_map="node_map.json"), Path("out"))
    told = str(error.value)
    assert "2 nodes: NonZero" in told
    assert "NonZero (node node0, module head.pick, net.py:7)" in told
    assert "NonZero (node node2)" in told
    assert "cudaError 35" not in told + Path("out/model.log").read_text()
    assert not list(Path("out").glob("*.plan"))


@pytest.mark.parametrize("bad", ["text", "truncated", "no data"])
def test_bad_onnx_files(bad):
    path = network("m.onnx")
    if bad == "text":
        path.write_text("hello")
    elif bad == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="weights")
        Path("weights").unlink()
    with pytest.raises(PlanError) as error:
        plan.build(request(), Path("out"))
    assert error.value.exit_code == 5
    assert not list(Path("out").glob("*.plan"))


def test_external_data():
    path = network("m.onnx")
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="m.onnx.data")
    (built,) = plan.build(request(), Path("out"))
    assert not built.cached
    data = Path("m.onnx.data")
    data.write_bytes(bytes(len(data.read_bytes())))
    assert not plan.build(request(), Path("out"))[0].cached  # other weights, another plan


def test_a_truncated_or_changed_plan_does_not_load():
    network("m.onnx")
    (built,) = plan.build(request(), Path("out"))
    assert plan_check.check(built.path, None).verdict == "unknown"
    whole = built.path.read_bytes()
    built.path.write_bytes(whole[:-1])
    with pytest.raises(PlanError, match="cut off"):
        plan_check.check(built.path, None)
    built.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256 differs" in plan_check.check(built.path, None).reasons[0]
    built.path.write_bytes(b"hello")
    with pytest.raises(PlanError, match="no TensorRT plan"):
        plan_check.check(built.path, None)


def stock_plan(path: str, version: tuple[int, int, int, int]) -> Path:
    """A header as stock plans are said to have it, made here: no plan of a real TensorRT was at hand."""
    Path(path).write_bytes(b"ftrt" + bytes(20) + bytes(version) + bytes(32))
    return Path(path)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [("10.16.1.11", "loads"), ("10.16.1.12", "does not load"), ("11.4.0.106", "does not load"), (None, "unknown")],
)
def test_a_stock_plan_loads_in_its_own_version_alone(target, verdict):
    assert plan_check.check(stock_plan("m.plan", (10, 16, 1, 11)), target).verdict == verdict


def test_a_deadline_and_a_killed_builder_are_errors_with_the_log():
    network("m.onnx")
    with pytest.raises(PlanError) as error:
        plan.build(request(deadline_s=0.2), Path("out"))
    assert "did not finish" in error.value.found
    with pytest.raises(PlanError) as error:
        plan.build(request(memory_mib=50), Path("out"))
    assert "too much memory" in error.value.found
    assert not list(Path("out").glob("*.plan"))


def test_ctrl_c_leaves_nothing():
    deep = nn.Sequential(*[nn.Sequential(nn.Conv2d(96, 96, 3, padding=1), nn.GELU()) for _ in range(40)])  # seconds to build
    torch.onnx.export(deep.eval(), (torch.randn(1, 96, 24, 24),), "m.onnx", dynamo=False, input_names=["x"], opset_version=18)
    Path("r.json").write_text(
        json.dumps({"schema": 1, "onnx": "m.onnx", "module": "tensorrt_rtx", "compute_capabilities": ["8.9"]})
    )
    command = [str(Path(sys.executable).with_name("tritonize")), "plan", "build", "--request", "r.json", "--out", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "parse" in line:
                process.send_signal(signal.SIGINT)
                break
        _, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(Path("out").glob("*.plan"))
    assert not [entry for entry in Path(os.environ["TRITONIZE_CACHE"], "plans").iterdir() if entry.is_dir()]


def test_the_command_line():
    network("m.onnx")
    Path("r.json").write_text(
        json.dumps(
            {"schema": 1, "onnx": "m.onnx", "module": "tensorrt_rtx", "compute_capabilities": ["8.9"], "profiles": [PROFILE]}
        )
    )
    done = tritonize("plan", "build", "--request", "r.json", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "not run: no GPU here" in done.stdout or gpu.find() is not None
    done = tritonize("plan", "build", "--request", "r.json", "--out", "out", "--json")
    (told,) = json.loads(done.stdout)["plans"]
    assert told["cached"]
    assert told["compute_capability"] == "8.9"
    done = tritonize("plan", "check", "out/model.plan", "--trt-version", "10.16.1.11")
    assert done.returncode == 1
    assert "does not load" in done.stdout
    assert tritonize("plan", "check", "out/model.plan").returncode == 0
    assert tritonize("plan", "check", "out/model.plan", "--trt-version", "10.16").returncode == 2
    Path("bad.json").write_text(
        json.dumps({"schema": 1, "onnx": "m.onnx", "modul": "x", "profiles": [{"x": {"min": [2], "opt": [1], "max": [3]}}]})
    )
    done = tritonize("plan", "build", "--request", "bad.json")
    assert done.returncode == 2
    assert "modul" in done.stderr
    assert "min <= opt <= max" in " ".join(done.stderr.split())


def test_a_builder_that_is_killed_is_an_error_with_the_log():
    deep = nn.Sequential(*[nn.Sequential(nn.Conv2d(96, 96, 3, padding=1), nn.GELU()) for _ in range(40)])
    torch.onnx.export(deep.eval(), (torch.randn(1, 96, 24, 24),), "m.onnx", dynamo=False, input_names=["x"], opset_version=18)
    killed = threading.Event()

    def kill(text: str) -> None:
        """SIGSEGV to the worker, as a crash of the builder would give it."""
        if "optimal" in text and not killed.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                words = entry.read_bytes().split(b"\0")
                if b"plan.build" in words and str(Path.cwd()).encode() in b"".join(words):
                    os.kill(int(entry.parent.name), signal.SIGSEGV)
                    killed.set()

    with pytest.raises(PlanError) as error:
        plan.build(request(profiles=[]), Path("out"), on_progress=kill)
    assert "SIGSEGV" in error.value.found
    assert "Segmentation fault" in "".join(error.value.details)
    assert not list(Path("out").glob("*.plan"))
    assert Path("out/model.log").is_file()


@pytest.mark.parametrize("place", ["out", "cache"])
def test_a_full_disk_is_said_so_and_leaves_nothing(place, monkeypatch):
    if not mounted(Path("small"), "16k"):
        pytest.skip("not run: mounting a small disk takes rights that this user lacks")
    network("m.onnx")
    Path("request.json").write_text(request("m.onnx").model_dump_json(by_alias=True, exclude_defaults=True))
    try:
        if place == "cache":
            monkeypatch.setenv("TRITONIZE_CACHE", str(Path("small/cache").absolute()))
        done = tritonize("plan", "build", "--request", "request.json", "--out", "small/out" if place == "out" else "out")
        assert done.returncode == 6, done.stderr
        assert "space" in done.stderr
        assert not [path for path in Path("small").rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert not list(Path().glob("out/*.plan"))
    finally:
        subprocess.run(["umount", "small"], check=True)
