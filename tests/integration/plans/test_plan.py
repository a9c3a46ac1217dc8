"""Plans of TensorRT-RTX, built on a machine without a GPU, where they cannot run."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
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

from tests.support.command import tritonize
from tests.support.plan_requests import PROFILE, network, request, stock_plan
from tests.support.small_disk import mounted
from tests.support.waiting import eventually
from tritonize.core import onnx_protobuf
from tritonize.core.errors import ExportError, InterruptedRunError, MissingError, PlanError, RepositoryError, UsageError
from tritonize.plans import build_files, compatibility, gpu, installed, placement, plan_file
from tritonize.plans import builder as plan_builder
from tritonize.plans import request as plan_request
from tritonize.plans.request import BuildRequest
from tritonize.spec.builder import Settings


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plans are built in the test that asks for them."""
    monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))


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
    (built,) = plan_builder.build(request(profiles=[{"x": shapes}]), Path("out"))
    header = plan_file.read_header(built.path)
    assert header.module == "tensorrt_rtx"
    assert header.compute_capabilities == ("8.9",)
    assert built.metadata.plan_bytes == built.path.stat().st_size
    assert [tensor.name for tensor in built.metadata.inputs] == ["x"]
    assert built.metadata.precision_built is None  # there was no GPU to ask


@pytest.mark.parametrize(
    ("dtype", "name"), [(TensorProto.FLOAT, "fp32"), (TensorProto.FLOAT16, "fp16"), (TensorProto.BFLOAT16, "bf16")]
)
def test_the_plan_has_the_types_of_the_graph(dtype, name):
    (built,) = plan_builder.build(request(network("m.onnx", dtype)), Path("out"))
    assert built.metadata.inputs[0].dtype == name
    assert built.metadata.outputs[0].dtype == name


def test_tf32_is_off_by_default_and_changes_the_plan():
    network("m.onnx")
    plain, fast = (plan_builder.build(request(settings={"tf32": each}), Path(str(each)))[0] for each in (False, True))
    assert (plain.metadata.tf32, fast.metadata.tf32) == (False, True)
    assert plain.metadata.plan_sha256 != fast.metadata.plan_sha256


def test_plans_for_several_gpus_are_built_in_parallel_and_then_taken_from_the_cache():
    network("m.onnx")
    targets = ["8.0", "8.6", "8.9", "12.0"]
    both = threading.Barrier(2, timeout=60)
    met = []

    def meet(text: str) -> None:
        """The first two wait for each other while they build: one after the other they would never meet."""
        if "parse" in text and len(met) < 2:
            met.append(text)
            both.wait()

    built = plan_builder.build(
        request(compute_capabilities=targets), Path("out"), on_progress=meet if (os.cpu_count() or 1) > 1 else None
    )
    assert [each.path.name for each in built] == ["model.sm80.plan", "model.sm86.plan", "model.sm89.plan", "model.sm120.plan"]
    assert [plan_file.read_header(each.path).compute_capabilities for each in built] == [(each,) for each in targets]
    assert not any(each.cached for each in built)
    again, seconds = (), []
    for _ in range(3):  # the machine may be busy with others
        started = time.perf_counter()
        again = plan_builder.build(request(compute_capabilities=targets), Path("again"))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.3
    assert all(each.cached for each in again)
    assert [each.metadata.plan_sha256 for each in again] == [each.metadata.plan_sha256 for each in built]
    assert [each.path.read_bytes() for each in again] == [each.path.read_bytes() for each in built]


def test_everything_that_a_plan_depends_on_is_in_its_key():
    network("m.onnx")
    plan_builder.build(request(), Path("out"))
    wider = {"x": {**PROFILE["x"], "max": [8, 3, 16, 16]}}
    for changed in ({"profiles": [wider]}, {"settings": {"workspace_mib": 64}}, {"compute_capabilities": ["8.6"]}):
        assert not plan_builder.build(request(**changed), Path("out"))[0].cached
    network("m.onnx", operators=("Sigmoid",))
    assert not plan_builder.build(request(), Path("out"))[0].cached


def test_a_plan_has_several_profiles():
    network("m.onnx")
    wide = {"x": {"min": [5, 3, 16, 16], "opt": [6, 3, 16, 16], "max": [8, 3, 16, 16]}}
    (built,) = plan_builder.build(request(profiles=[PROFILE, wide]), Path("out"))
    assert len(built.metadata.profiles) == 2


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ([], "dynamic axes, and the request has no profiles"),
        ([{"z": PROFILE["x"]}], "there is no input z"),
        ([{"x": {key: value[:3] for key, value in PROFILE["x"].items()}}], "has 4 axes"),
        ([{"x": {**PROFILE["x"], "max": [4, 3, 17, 16]}}], "axis 2 is 16 in the network"),
    ],
)
def test_every_mistake_in_a_profile_is_named_before_the_build(profiles, words):
    network("m.onnx")
    with pytest.raises(UsageError) as error:
        plan_builder.build(request(profiles=profiles), Path("out"))
    assert words in str(error.value)
    assert not list(Path("out").glob("*.plan"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimization_level": 5}, "is ignored by TensorRT-RTX"),
        ({"hardware_compatibility": "ampere_plus"}, "is ignored by TensorRT-RTX"),
        ({"hardware_compatibility": "same_compute_capability"}, "is ignored by TensorRT-RTX"),
        ({"timing_cache": True}, "is ignored by TensorRT-RTX"),
        ({"version_compatible": True}, "fails in TensorRT-RTX"),
        ({"refit": True}, "fails in TensorRT-RTX"),
        ({"strip_plan": True}, "fails in TensorRT-RTX; TensorRT 10.0 and newer supports it"),
    ],
)
def test_a_setting_that_the_module_ignores_is_rejected(settings, words):
    network("m.onnx")
    with pytest.raises(UsageError) as error:
        plan_builder.build(request(settings=settings), Path("out"))
    assert words in str(error.value)
    assert len(error.value.details) == 1  # the error names no TensorRT version for TensorRT-RTX


def test_a_setting_of_a_newer_tensorrt_is_rejected_with_the_version_that_has_it():
    settings = {"hardware_compatibility": "same_compute_capability", "strip_plan": True}
    asked = request(module="tensorrt", compute_capabilities=[], settings=settings)
    with pytest.raises(UsageError) as error:
        plan_request.require_supported(asked, "8.6.1")
    assert "strip_plan: needs TensorRT 10.0 or newer" in str(error.value)
    assert "same_compute_capability needs TensorRT 10.9 or newer" in str(error.value)
    plan_request.require_supported(asked, "10.9.0.34")
    with pytest.raises(UsageError) as error:
        plan_request.require_supported(request(module="tensorrt"), "10.9.0.34")
    assert error.value.code == "plan-settings-unsupported"
    assert error.value.details == ("compute_capabilities: fails in TensorRT; TensorRT-RTX supports it",)


def test_the_table_of_settings_matches_the_module():
    """A setting listed as ignored changes no byte of a plan, and one listed as failing fails, if the table is bypassed."""
    network("m.onnx")
    (base,) = plan_builder.build(request(), Path("base"))
    values = {
        "optimization_level": 0,
        "hardware_compatibility": "ampere_plus",
        "version_compatible": True,
        "refit": True,
        "strip_plan": True,
    }
    for name, value in values.items():
        support, _ = plan_request.SUPPORT["tensorrt_rtx"][name]
        job = plan_builder._Job(
            request(settings={name: value}), base.metadata.version, str, "8.9", Path("m.plan"), None, threading.Event()
        )
        folder = Path(name)
        folder.mkdir()
        if support == "failing":
            with pytest.raises(PlanError):
                plan_builder._build(job, folder)
        else:
            plan_builder._build(job, folder)
            assert (folder / "model.plan").read_bytes() == base.path.read_bytes()


def test_unsupported_targets_are_rejected():
    network("m.onnx")
    for targets, words in ((["9.0"], "does not support 9.0"), ([], "needs at least one target")):
        with pytest.raises(UsageError) as error:
            plan_builder.build(request(compute_capabilities=targets), Path("out"))
        assert words in str(error.value)


@pytest.mark.parametrize(("targets", "words"), [(["8.9", "8.9"], "duplicate values"), (["sm89"], "should match pattern")])
def test_invalid_targets_of_a_request_are_rejected(targets, words):
    network("m.onnx")
    Path("r.json").write_text(json.dumps({"onnx": "m.onnx", "module": "tensorrt_rtx", "compute_capabilities": targets}))
    done = tritonize("plan", "build", "--request", "r.json", "--out", "out")
    assert done.returncode == 2, done.stderr
    assert words in " ".join(done.stderr.split())


def test_an_unusable_folder_or_plugin_is_an_error():
    network("m.onnx")
    Path("file").write_text("")
    for folder in ("file", "file/below", "/proc/none"):
        with pytest.raises(RepositoryError, match="folder for the plans") as error:
            plan_builder.build(request(), Path(folder))
        assert error.value.where == folder
    asked = request().model_copy(update={"settings": Settings(plugins=(Path("none.so"),))})
    with pytest.raises(UsageError) as error:
        build_files.require(asked)  # past the table: TensorRT-RTX takes none
    assert (error.value.code, error.value.found) == ("plan-plugins-missing", "none.so")


def test_a_request_has_its_schema_number():
    written = request("m.onnx").model_dump_json(by_alias=True, exclude_defaults=True)
    assert json.loads(written)["schema"] == 1
    assert BuildRequest.model_validate_json(written) == request("m.onnx")
    with pytest.raises(ValueError, match="schema"):
        BuildRequest.model_validate({"schema": 2, "onnx": "m.onnx"})


def test_the_problems_of_a_request_are_listed_as_for_a_spec():
    wrong = {"schema": 1, "onnx": 3, "compute_capabilites": ["8.9"], "profiles": 3, "settings": {"workspace_mb": 3}}
    Path("r.json").write_text(json.dumps(wrong))
    with pytest.raises(UsageError) as error:
        plan_builder.read_request(Path("r.json"))
    assert sorted(error.value.details) == [
        "compute_capabilites: unknown key; did you mean 'compute_capabilities'?",
        "onnx: must be the path of a file; found 3",
        "profiles: must be a list; found 3",
        "settings.workspace_mb: unknown key; did you mean 'workspace_mib'?",
    ]
    Path("r.json").write_text("[1]")
    with pytest.raises(UsageError) as error:
        plan_builder.read_request(Path("r.json"))
    assert error.value.details == ("the file: must be a mapping with keys such as schema, onnx, module; found [1]",)


def test_a_missing_node_map_is_an_error():
    network("m.onnx")
    with pytest.raises(UsageError) as error:
        plan_builder.build(request(node_map="nope.json"), Path("out"))
    assert (error.value.code, error.value.found) == ("plan-node-map-missing", "nope.json")


def test_an_invalid_graph_is_not_reported_as_unsupported():
    Path("m.onnx").touch()
    with pytest.raises(UsageError, match="not an ONNX file"):
        plan_builder.build(request(), Path("out"))
    broken = onnx.load(network("m.onnx"))
    broken.graph.node[0].output[0] = "elsewhere"
    onnx.save(broken, "m.onnx")
    with pytest.raises(ExportError, match="not well-formed") as error:
        plan_builder.build(request(), Path("out"))
    assert error.value.found.startswith(broken.graph.node[1].op_type)


def test_a_tensorrt_build_without_a_gpu_names_the_alternatives():
    network("m.onnx")
    if gpu.find() is not None:
        pytest.skip("not run: there is a GPU")
    with pytest.raises(MissingError) as error:  # whether the package is installed or not
        plan_builder.build(request(module="tensorrt", compute_capabilities=[]), Path("out"))
    assert error.value.exit_code == 3
    assert "this machine has no GPU" in error.value.what
    for words in ("target's GPU", "tritonize plan request", "plan build --request", "tensorrt:YY.MM-py3", "tensorrt_rtx"):
        assert words in error.value.next_step


@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx"])
def test_the_version_of_a_module_without_package_metadata_is_read_from_the_module(module, monkeypatch):
    """As in NVIDIA's containers."""
    monkeypatch.setattr(installed, "_DISTRIBUTIONS", {module: ("no-such-package",)})
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("site", module).mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(Path("site").absolute()))
    if module == "tensorrt":
        with pytest.raises(MissingError, match="not installed") as error:
            installed.installed_version(module)
        assert "tritonize[tensorrt]" in error.value.next_step
    sys.path.insert(0, str(Path("site").absolute()))
    if module == "tensorrt":
        with pytest.raises(MissingError, match="not installed"):
            installed.installed_version(module)  # a folder is not a package
    Path("site", module, "__init__.py").write_text("__version__ = '10.3.0'")
    importlib.invalidate_caches()
    assert installed.installed_version(module) == "10.3.0"
    Path("site", module, "__init__.py").write_text("raise ImportError('libnvinfer.so.10 is not there')")
    with pytest.raises(MissingError, match="cannot be loaded") as error:
        installed.installed_version(module)
    assert "libnvinfer.so.10" in error.value.found


def test_all_unsupported_nodes_are_listed_with_their_origin():
    network("m.onnx", operators=("NonZero", "Relu", "NonZero"))
    node_map = {"format": 1, "nodes": [{"node": "node0", "operator": "NonZero", "module": "head.pick", "source": "net.py:7"}]}
    Path("node_map.json").write_text(json.dumps(node_map))
    with pytest.raises(PlanError) as error:
        plan_builder.build(request(node_map="node_map.json"), Path("out"))
    told = str(error.value)
    assert "2 nodes: NonZero" in told
    assert "NonZero (node node0, module head.pick, net.py:7)" in told
    assert "NonZero (node node2)" in told
    assert "cudaError 35" not in told + Path("out/model.log").read_text()
    assert not list(Path("out").glob("*.plan"))


def model(path: str, nodes: list[onnx.NodeProto], outputs: list[str], *, kind: int = TensorProto.FLOAT, shape=(1, 1, 4, 4)) -> Path:
    """A graph of nodes behind one input, in opset 23."""
    values = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    inputs = [helper.make_tensor_value_info("x", kind, list(shape))]
    sizes = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes")
    graph = helper.make_graph(nodes, "g", inputs, values, [sizes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10), path)
    return Path(path)


def refused(nodes: list[onnx.NodeProto], outputs: list[str], **fields) -> PlanError:
    model("m.onnx", nodes, outputs, **fields)
    with pytest.raises(PlanError) as error:
        plan_builder.build(request(profiles=[]), Path("out"))
    return error.value


def test_only_unsupported_nodes_are_listed_each_with_its_reason():
    nodes = [
        helper.make_node("Resize", ["x", "", "sizes"], ["a"], name="healthy", mode="nearest"),
        helper.make_node("Resize", ["a", "", "sizes"], ["b"], name="smooth", mode="cubic", antialias=1),
        helper.make_node("Resize", ["a", "", "sizes"], ["y"], name="cropped", coordinate_transformation_mode="tf_crop_and_resize"),
    ]
    error = refused(nodes, ["b", "y"])
    assert "2 nodes: Resize" in error.what
    assert [line.partition(":")[0] for line in error.details] == ["Resize (node smooth)", "Resize (node cropped)"]
    assert "Antialiasing" in error.details[0]
    assert "half_pixel" in error.details[1]


def test_a_node_in_a_subgraph_is_counted_and_named():
    branches = {}
    for name, operator in (("then", "Det"), ("else", "ReduceSum")):
        inner = helper.make_node(operator, ["x"], ["z"], name=f"in_{name}")
        value = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
        branches[f"{name}_branch"] = helper.make_graph([inner], name, [], value)
    whether = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True), ""))
    error = refused([whether, helper.make_node("If", ["c"], ["y"], name="if", **branches)], ["y"], shape=(4, 4))
    assert "1 node: Det" in error.what
    assert error.details == ("Det (node in_then): no importer",)


def test_a_long_list_of_nodes_is_shortened_and_complete_in_the_log():
    nodes = [helper.make_node("Det", ["x"], [f"y{number}"], name=f"det{number}") for number in range(30)]
    error = refused(nodes, [f"y{number}" for number in range(30)], shape=(4, 4))
    assert "30 nodes: Det" in error.what
    assert error.details[-1] == "and 10 more in the log"
    assert len(error.details) == 21
    assert all(f"Det (node det{number})" in Path("out/model.log").read_text() for number in range(30))


def test_inputs_of_a_type_that_tensorrt_converts_silently_are_rejected():
    model("m.onnx", [helper.make_node("Neg", ["x"], ["y"])], ["y"], kind=TensorProto.DOUBLE)
    with pytest.raises(UsageError) as error:
        plan_builder.build(request(profiles=[]), Path("out"))
    assert error.value.found == "x is fp64, and would be fp32; y is fp64, and would be fp32"


def test_types_that_requests_do_not_support_are_rejected_before_the_build():
    told: list[str] = []
    zero = helper.make_node("Constant", [], ["z"], value=helper.make_tensor("", TensorProto.FLOAT8E4M3FN, [], [0.0]))
    scale = helper.make_node("Constant", [], ["s"], value=helper.make_tensor("", TensorProto.FLOAT, [], [1.0]))
    path = model("m.onnx", [scale, zero, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])], ["y"])
    changed = onnx.load(path)
    changed.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT8E4M3FN
    onnx.save(changed, path)
    with pytest.raises(ExportError) as error:
        plan_builder.build(request(profiles=[]), Path("out"), on_progress=told.append)
    assert error.value.found == "y: FP8"
    assert not any("optimal" in text for text in told)


@pytest.mark.parametrize("bad", ["text", "truncated", "no data"])
def test_a_damaged_onnx_file_is_an_error(bad):
    path = network("m.onnx")
    if bad == "text":
        path.write_text("hello")
    elif bad == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="weights")
        Path("weights").unlink()
    with pytest.raises(UsageError) as error:
        plan_builder.build(request(), Path("out"))
    assert error.value.exit_code == 2
    assert bad != "no data" or error.value.expected == "weights"
    assert not list(Path("out").glob("*.plan"))


@pytest.mark.parametrize("location", ["m.onnx.data", "weights.bin", "parts/weights.bin"])
def test_external_data_is_found_and_is_part_of_the_key(location):
    path = network("m.onnx")
    Path("parts").mkdir()
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location=location)
    (built,) = plan_builder.build(request(), Path("out"))
    assert not built.cached
    assert plan_builder.build(request(), Path("out"))[0].cached
    data = Path(location)
    data.write_bytes(bytes(len(data.read_bytes())))
    (other,) = plan_builder.build(request(), Path("out"))
    assert not other.cached
    assert other.metadata.plan_sha256 != built.metadata.plan_sha256
    assert other.metadata.onnx_sha256 != built.metadata.onnx_sha256


def test_the_data_of_a_linked_file_is_beside_the_link():
    path = network("m.onnx")
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    Path("blobs").mkdir()
    Path("blobs/0123").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to("blobs/0123")
    assert plan_builder.build(request(), Path("out"))[0].path.is_file()


@pytest.mark.parametrize("damage", ["cut off", "a byte", "no plan", "no metadata", "half the metadata", "no log"])
def test_a_damaged_plan_in_the_cache_is_built_again(damage):
    network("m.onnx")
    (built,) = plan_builder.build(request(), Path("out"))
    whole = built.path.read_bytes()
    (entry,) = [each.parent for each in Path(os.environ["TRITONIZE_CACHE"], "plans").glob("*/model.plan")]
    kept = {"metadata": entry / "model.plan.json", "log": entry / "build.log"}.get(damage.split()[-1], entry / "model.plan")
    if damage.startswith("no "):
        kept.unlink()
    elif damage == "a byte":
        kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    told: list[str] = []
    (again,) = plan_builder.build(request(), Path("again"), on_progress=told.append)
    assert not again.cached
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == again.metadata.plan_sha256
    assert any("damaged" in text for text in told)
    assert plan_builder.build(request(), Path("again"))[0].cached
    assert not list(Path("again").glob("*.new"))


def test_the_least_recently_used_plan_is_dropped_from_a_full_cache(monkeypatch):
    network("m.onnx")
    targets = ("8.0", "8.6", "8.9")
    for each in targets[:2]:
        plan_builder.build(request(compute_capabilities=[each]), Path("out"))
    assert plan_builder.build(request(compute_capabilities=["8.0"]), Path("out"))[0].cached  # used again, so 8.6 is the older one
    size = sum(each.stat().st_size for each in Path(os.environ["TRITONIZE_CACHE"], "plans").glob("*/*"))
    monkeypatch.setenv("TRITONIZE_PLAN_CACHE_GIB", str((size + 1000) / 2**30))
    plan_builder.build(request(compute_capabilities=["8.9"]), Path("out"))
    assert [plan_builder.build(request(compute_capabilities=[each]), Path("out"))[0].cached for each in ("8.0", "8.9", "8.6")] == [
        1,
        1,
        0,
    ]


def test_parallel_builds_do_not_drop_each_others_plans_from_a_full_cache(monkeypatch):
    network("m.onnx")
    monkeypatch.setenv("TRITONIZE_PLAN_CACHE_GIB", "0")
    told: list[str] = []
    for number in range(3):
        built = plan_builder.build(
            request(compute_capabilities=["8.0", "8.6", "8.9", "12.0"]), Path(f"out{number}"), on_progress=told.append
        )
        assert all(hashlib.sha256(each.path.read_bytes()).hexdigest() == each.metadata.plan_sha256 for each in built)
    assert not any("damaged" in text for text in told)


def test_a_plan_is_built_again_if_the_build_steps_changed(monkeypatch):
    network("m.onnx")
    plan_builder.build(request(), Path("out"))
    assert plan_builder.build(request(), Path("out"))[0].cached
    monkeypatch.setattr(plan_builder.plan_cache, "BUILD_STEPS", plan_builder.plan_cache.BUILD_STEPS + 1)
    assert not plan_builder.build(request(), Path("out"))[0].cached


@pytest.mark.parametrize("said", ["much", "-1", "nan", "inf"])
def test_an_invalid_cache_size_is_an_error_before_the_build(said, monkeypatch):
    network("m.onnx")
    monkeypatch.setenv("TRITONIZE_PLAN_CACHE_GIB", said)
    with pytest.raises(UsageError, match="not a number") as error:
        plan_builder.build(request(), Path("out"))
    assert error.value.found == said
    assert not Path(os.environ["TRITONIZE_CACHE"], "plans").exists()


@pytest.mark.parametrize("name", ["m.onnx", "weights.bin", "p.so"])
def test_an_unreadable_file_of_the_request_is_an_error(name, monkeypatch):
    onnx.save_model(onnx.load(network("m.onnx")), "m.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    Path("p.so").touch()
    asked = request().model_copy(
        update={"module": "tensorrt", "compute_capabilities": (), "settings": Settings(plugins=(Path("p.so"),))}
    )
    opened = Path.open

    def refused(self: Path, *mode: str, **more: object) -> object:
        if self.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *mode, **more)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UsageError, match="cannot be read") as error:
        build_files.require(asked)
    assert error.value.where == name


def test_a_cache_that_changes_the_content_is_an_error(monkeypatch):
    network("m.onnx")
    monkeypatch.setattr(placement, "_copy", lambda source, target: str(target.write_bytes(b"other")))
    with pytest.raises(PlanError, match="damaged") as error:
        plan_builder.build(request(), Path("out"))
    assert "TRITONIZE_CACHE" in error.value.next_step
    assert not [path for path in Path("out").iterdir() if path.suffix != ".log"]


def waiting() -> tuple[subprocess.Popen[str], Path]:
    """A process that holds the lock of the plan that a request asks for, and the place of the plan in the cache."""
    version = installed.installed_version("tensorrt_rtx")
    job = plan_builder._Job(
        request(), version, lambda: onnx_protobuf.sha256(Path("m.onnx")), "8.9", Path("p"), None, threading.Event()
    )
    entry = Path(os.environ["TRITONIZE_CACHE"], "plans", job.key())
    entry.parent.mkdir(parents=True)
    held = f"lock = filelock.FileLock({f'{entry}.lock'!r}); lock.acquire()"  # it is given back with the last name for it
    code = f"import filelock, sys; {held}; print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder, entry


def test_a_deadline_and_ctrl_c_end_the_wait_for_another_process():
    network("m.onnx")
    holder, entry = waiting()
    try:
        with pytest.raises(PlanError, match="Another process builds") as error:
            plan_builder.build(request(deadline_s=0.5), Path("out"))
        assert error.value.where == str(entry)
        Path("r.json").write_text(request("m.onnx").model_dump_json(by_alias=True, exclude_defaults=True))
        command = [str(Path(sys.executable).with_name("tritonize")), "plan", "build", "--request", "r.json", "--out", "out"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if "waiting for another process" in line:
                    process.send_signal(signal.SIGINT)
                    break
            process.communicate(timeout=20)
        assert process.returncode == 130
    finally:
        holder.communicate("", timeout=20)
    assert not plan_builder.build(request(deadline_s=60), Path("out"))[0].cached


def test_the_first_failed_target_is_reported_at_once(monkeypatch):
    """The target that fails is the last one, while the first is waited for."""
    network("m.onnx")
    told = threading.Event()

    def one(job: plan_builder._Job, use_cache: bool) -> plan_builder.BuiltPlan:
        if job.target == "8.9":
            raise PlanError("The second failed.")
        assert job.cancelled.wait(60)
        told.set()
        raise InterruptedRunError("Interrupted.")

    monkeypatch.setattr(plan_builder, "_one", one)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(PlanError, match="second"):
        plan_builder.build(request(compute_capabilities=["8.6", "8.9"]), Path("out"))
    assert told.is_set()


def test_a_truncated_or_changed_plan_does_not_load():
    network("m.onnx")
    (built,) = plan_builder.build(request(), Path("out"))
    assert compatibility.check(built.path, None).verdict == "unknown"
    whole = built.path.read_bytes()
    built.path.write_bytes(whole[:-1])
    with pytest.raises(PlanError, match="shorter or longer"):
        compatibility.check(built.path, None)
    built.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256 differs" in compatibility.check(built.path, None).reasons[0]
    built.path.write_bytes(b"hello")
    with pytest.raises(PlanError, match="not a TensorRT plan"):
        compatibility.check(built.path, None)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [("10.16.1.11", "loads"), ("10.16.1.12", "does not load"), ("11.4.0.106", "does not load"), (None, "unknown")],
)
def test_a_tensorrt_plan_loads_only_in_its_own_version(target, verdict):
    assert compatibility.check(stock_plan("m.plan", (10, 16, 1, 11)), target).verdict == verdict


def deep() -> None:
    """m.onnx, which takes seconds to build."""
    layers = nn.Sequential(*[nn.Sequential(nn.Conv2d(96, 96, 3, padding=1), nn.GELU()) for _ in range(40)])
    torch.onnx.export(layers.eval(), (torch.randn(1, 96, 24, 24),), "m.onnx", dynamo=False, input_names=["x"], opset_version=18)


def builders() -> list[int]:
    """The process of the builder that works in this test's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"tritonize.plans.tasks:BUILD" in words and str(Path.cwd()).encode() in b"".join(words):
                found.append(int(entry.parent.name))
    return found


class BuildingError(Exception):
    """The builder has begun."""


def test_a_deadline_during_the_build_is_an_error_with_the_log():
    deep()
    begun: list[float] = []

    def stop(text: str) -> None:
        """The builder stands still from here on, so that the deadline passes while it builds."""
        if "optimal" in text and not begun:
            begun.append(time.monotonic())
            for process in builders():
                os.kill(process, signal.SIGSTOP)

    started = time.monotonic()
    with pytest.raises(BuildingError):
        plan_builder.build(request(profiles=[]), Path("first"), on_progress=raise_at_build)
    deadline = 3 * (time.monotonic() - started) + 2
    with pytest.raises(PlanError) as error:
        plan_builder.build(request(profiles=[], deadline_s=deadline), Path("out"), on_progress=stop)
    assert begun
    assert "did not finish" in error.value.found
    assert Path("out/model.log").read_text()
    assert not list(Path("out").glob("*.plan"))


def raise_at_build(text: str) -> None:
    if "optimal" in text:
        raise BuildingError


def test_too_much_memory_during_the_build_is_an_error_with_the_log():
    deep()
    used: list[int] = []
    begun: list[str] = []

    def measure(text: str) -> None:
        if "optimal" in text:
            (process,) = builders()
            os.kill(process, signal.SIGSTOP)
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
            used.append(pages * os.sysconf("SC_PAGE_SIZE") >> 20)
            raise BuildingError

    with pytest.raises(BuildingError):
        plan_builder.build(request(profiles=[]), Path("first"), on_progress=measure)
    with pytest.raises(PlanError) as error:
        plan_builder.build(request(profiles=[], memory_mib=used[0] + 40), Path("out"), on_progress=begun.append)
    assert any("optimal" in text for text in begun)
    assert "too much memory" in error.value.found
    assert Path("out/model.log").read_text()
    assert not list(Path("out").glob("*.plan"))


def test_ctrl_c_leaves_no_files_and_processes():
    deep()
    Path("r.json").write_text(
        json.dumps({"schema": 1, "onnx": "m.onnx", "module": "tensorrt_rtx", "compute_capabilities": ["8.9"]})
    )
    command = [str(Path(sys.executable).with_name("tritonize")), "plan", "build", "--request", "r.json", "--out", "out"]
    cache = Path(os.environ["TRITONIZE_CACHE"])

    def parses() -> bool:
        return any("parse the network" in file.read_text() for file in cache.rglob("progress.txt"))

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(parses)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in told
    assert not list(Path("out").glob("*.plan"))
    assert not [entry for entry in Path(os.environ["TRITONIZE_CACHE"], "plans").iterdir() if entry.is_dir()]


def test_plan_build_writes_the_plans():
    network("m.onnx")
    Path("r.json").write_text(
        json.dumps(
            {"schema": 1, "onnx": "m.onnx", "module": "tensorrt_rtx", "compute_capabilities": ["8.9"], "profiles": [PROFILE]}
        )
    )
    done = tritonize("plan", "build", "--request", "r.json", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "not run (no GPU on this machine)" in done.stdout or gpu.find() is not None
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
    deep()
    killed = threading.Event()

    def kill(text: str) -> None:
        """SIGSEGV to the worker, as a crash of the builder would give it."""
        if "optimal" in text and not killed.is_set():
            for process in builders():
                os.kill(process, signal.SIGSEGV)
                killed.set()

    with pytest.raises(PlanError) as error:
        plan_builder.build(request(profiles=[]), Path("out"), on_progress=kill)
    assert "SIGSEGV" in error.value.found
    assert "Segmentation fault" in "".join(error.value.details)
    assert not list(Path("out").glob("*.plan"))
    assert Path("out/model.log").is_file()


@pytest.mark.parametrize("place", ["out", "cache"])
def test_a_full_disk_is_an_error_and_leaves_no_files(place, monkeypatch):
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
