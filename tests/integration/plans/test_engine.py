"""Plans on a GPU, as far as that can be tested without one: with stand-ins for the driver and for TensorRT.

They prove arguments, sizes, lifetimes, order, batches and files, and nothing about a GPU or about TensorRT (`fake_gpu` of
`tests/support`).
"""

from __future__ import annotations

import ctypes
import enum
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from gpu import steps
from gpu.cases import CASES, items
from tests.support import fake_driver
from tests.support.command import CHECKOUT, tritonize
from tritonize.backends.plans import cuda, plan_contract, runner
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import PlanError
from tritonize.core.recorder import Recorder
from tritonize.plans import engine, from_spec, gpu, plan_file
from tritonize.plans import layers as plan_layers
from tritonize.plans import proof as plan_proof
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.proof_input import ProofInput
from tritonize.quality.golden_set import GoldenSet
from tritonize.spec import schema
from tritonize.triton.server import environment, gpu_access

without_gpu = pytest.mark.skipif(gpu.find() is not None, reason="not run: these say what happens without a GPU")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_driver.compiled(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def device(library: Path) -> cuda.Device:
    return cuda.Device(library=str(library))


@pytest.fixture
def trt(library: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in for TensorRT, under a name of its own."""
    monkeypatch.setenv("TRITONIZE_LIBCUDA", str(library))
    spec = importlib.util.spec_from_file_location("tensorrt", fake_driver.FOLDER / "tensorrt" / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def live(library: Path) -> int:
    """What is allocated, created or retained and not freed."""
    return ctypes.CDLL(str(library)).fakeLive()


class TestDevice:
    """cuda.py against the stand-in for the driver."""

    def test_the_device_reports_compute_capability_cuda_and_memory(self, device):
        assert (device.compute_capability, device.cuda) == ("8.9", "12.8")
        assert device.free_memory() == (5 << 32, 6 << 32)  # more than 32 bits

    def test_copies_to_and_from_the_device_run_in_stream_order(self, library, device):
        before = live(library)
        stream = device.stream()
        source, target, memory = device.allocate_host(1000), device.allocate_host(1000), device.allocate(1000)
        assert memory % 256 == 0
        assert memory > 1 << 32
        ctypes.memset(source, 7, 1000)
        device.upload(memory, source, 1000, stream=stream)
        device.download(target, memory, 1000, stream=stream)
        assert ctypes.string_at(target, 4) == b"\xab" * 4  # nothing happens before it is waited for
        device.synchronize(stream)
        assert ctypes.string_at(target, 1000) == b"\x07" * 1000
        device.free(memory)
        device.free_host(source)
        device.free_host(target)
        device.free_stream(stream)
        assert live(library) == before

    def test_events_measure_the_time_between_them(self, device):
        stream, start, end = device.stream(), device.event(), device.event()
        device.record(start, stream)
        device.record(end, stream)
        assert 0 <= device.elapsed_ms(start, end) < 1000
        for event in (start, end):
            device.free_event(event)

    def test_every_error_has_the_call_and_the_text_of_cuda(self, device):
        with pytest.raises(cuda.CudaError, match=r"cuMemAlloc_v2 \(2,199,023,255,552 bytes\): error 2, CUDA_ERROR_OUT_OF_MEMORY"):
            device.allocate(1 << 41)
        memory = device.allocate(8)
        device.free(memory)
        with pytest.raises(cuda.CudaError, match="cuMemFree_v2: error 1"):
            device.free(memory)
        with pytest.raises(cuda.CudaError, match="cuMemcpyHtoDAsync_v2"):  # it was freed, and the other end is not pinned memory
            device.upload(memory, memory, 8, stream=device.stream())

    def test_a_missing_driver_or_gpu_is_an_error(self, library, monkeypatch):
        with pytest.raises(cuda.NoGpuError, match=r"no GPU here: NVIDIA's driver .*\[no-gpu\]"):
            cuda.Device(library="libcuda_that_is_not_there.so")
        with pytest.raises(cuda.NoGpuError, match="no GPU 3: the driver reports 1 GPUs"):
            cuda.Device(3, library=str(library))
        monkeypatch.setenv("FAKE_GPU_COUNT", "0")
        with pytest.raises(cuda.NoGpuError, match="cuInit: error 100, CUDA_ERROR_NO_DEVICE"):
            cuda.Device(library=str(library))
        with pytest.raises(cuda.CudaError, match="too old: it has no cu"):
            cuda.Device(library="libm.so.6")


class TestGpu:
    """gpu.py: the description of the driver."""

    @pytest.mark.parametrize(
        ("told", "version"),
        [
            ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n", "550.54.15"),
            ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (a@b)\n", "570.86.15"),
            ("NVRM version: NVIDIA UNIX aarch64 Kernel Module  535.54", "535.54"),
            ("GCC version:  gcc version 12.3.0\n", "CUDA 12.4"),
            (None, "CUDA 12.4"),
        ],
    )
    def test_the_driver_version_comes_from_the_driver_or_cuda(self, told, version):
        if told is not None:
            Path("version").write_text(f"{told}GCC version:  gcc version 11.4.0 (Ubuntu)\n" if told.endswith("\n") else told)
        assert gpu.driver_version("12.4", Path("version")) == version

    def test_driver_and_cuda_version_are_separate(self, library):
        code = "from tritonize.plans import gpu; found = gpu.find(); print(found.driver, found.cuda, sep=chr(10))"
        env = {**os.environ, **fake_driver.environment(library)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines() == [gpu.driver_version("12.8"), "12.8"]


def onnx_file(path: str = "m.onnx", operator: str = "Relu") -> bytes:
    """y = operator(x) and, with NonZero, places that depend on values; [batch, n]."""
    nodes = [helper.make_node(operator, ["x"], ["y"])]
    kind, shape = (TensorProto.INT64, [2, "found"]) if operator == "NonZero" else (TensorProto.FLOAT, ["batch", "n"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "n"])]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", kind, shape)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return Path(path).read_bytes()


def plan_bytes(content: bytes, profiles: list[dict[str, Any]], *, detailed: bool = True) -> bytes:
    """A plan as the stand-in for TensorRT takes it."""
    header = bytearray(36)
    header[:4], header[24:28] = b"ftrt", bytes((10, 16, 1, 11))
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    known = {"profiles": profiles, "detailed": detailed, "packages": str(Path(spec.origin).parents[1])}
    told = json.dumps(known).encode()
    return bytes(header) + struct.pack("<Q", len(told)) + told + content


SMALL = {"x": [[1, 2], [2, 3], [4, 5]]}
IO = (("input", "x"), ("output", "y"))
LARGE = {"x": [[5, 2], [8, 3], [16, 5]]}


class TestRunner:
    """One engine over the stand-ins."""

    def context(self, trt, device, profiles=(SMALL, LARGE), operator="Relu", profile=0):
        loaded = runner.Engine(trt, device, plan_bytes(onnx_file(operator=operator), list(profiles)))
        return loaded.context(profile, device.stream())

    def test_outputs_of_changing_shapes_are_right_and_are_copies(self, trt, device, library):
        before = live(library)
        context = self.context(trt, device)
        random = np.random.default_rng(0)
        kept = []
        for shape in ((1, 2), (4, 5), (2, 3), (4, 5)):
            array = random.standard_normal(shape).astype(np.float32)
            kept.append((array, context.run({"x": array})["y"]))
        for array, found in kept:
            np.testing.assert_array_equal(found, np.maximum(array, 0))
        stream = context.stream
        context.release()
        device.free_stream(stream)
        assert live(library) == before

    def test_an_input_outside_the_profile_is_an_error_with_the_limits(self, trt, device):
        context = self.context(trt, device)
        with pytest.raises(runner.EngineError, match=r"input 'x' has shape \[5, 2\]; profile 0 takes \[1, 2\] to \[4, 5\]"):
            context.run({"x": np.zeros((5, 2), np.float32)})
        with pytest.raises(runner.EngineError, match=r"is FLOAT \(float32\) in the plan; found float64"):
            context.run({"x": np.zeros((1, 2))})
        with pytest.raises(runner.EngineError, match="the plan has inputs x; found z"):
            context.run({"z": np.zeros((1, 2), np.float32)})
        with pytest.raises(runner.EngineError, match="there is no profile 2: the plan has 2 profiles, from 0"):
            self.context(trt, device, profile=2)

    def test_the_second_profile_runs_what_the_first_rejects(self, trt, device):
        context = self.context(trt, device, profile=1)
        assert context.run({"x": -np.ones((5, 2), np.float32)})["y"].tolist() == [[0.0, 0.0]] * 5
        contexts = [self.context(trt, device, profile=0), context]
        assert plan_contract.nearest(contexts, {"x": (4, 3)}).profile == 0
        assert plan_contract.nearest(contexts, {"x": (16, 3)}).profile == 1
        with pytest.raises(ValueError, match=r"profile 0 takes .*; .*profile 1 takes"):
            plan_contract.nearest(contexts, {"x": (17, 3)})

    def test_outputs_with_data_dependent_shapes_are_allocated_during_the_run(self, trt, device):
        context = self.context(trt, device, operator="NonZero")
        for array in (np.eye(2, dtype=np.float32), np.ones((4, 5), np.float32), np.zeros((1, 2), np.float32)):
            np.testing.assert_array_equal(context.run({"x": array})["y"], np.array(np.nonzero(array)))

    def test_without_an_output_allocator_data_dependent_shapes_are_an_error(self, trt, device, monkeypatch):
        context = self.context(trt, device, operator="NonZero")
        monkeypatch.delattr(trt, "IOutputAllocator")
        with pytest.raises(runner.EngineError, match="depends on values"):
            context.run({"x": np.eye(2, dtype=np.float32)})

    def test_the_allocator_of_an_output_is_set_once(self, trt, device):
        context = self.context(trt, device, operator="NonZero")
        for _ in range(3):
            context.run({"x": np.eye(2, dtype=np.float32)})
        assert len(context.raw.kept_allocators) == 1

    def test_kernels_are_specialized_before_the_first_run(self, trt, device, monkeypatch):
        strategies = enum.Enum("Strategies", ("LAZY", "EAGER", "NONE"))
        monkeypatch.setattr(trt, "DynamicShapesKernelSpecializationStrategy", strategies, raising=False)
        context, array = self.context(trt, device), np.full((2, 3), 0.1, np.float32)
        for _ in range(2):  # a fallback kernel would give the first output other bits
            np.testing.assert_array_equal(context.run({"x": array})["y"], array)

    def test_tensorrt_rtx_has_the_calls_for_eager_specialization(self):
        import tensorrt_rtx as rtx

        assert hasattr(rtx.DynamicShapesKernelSpecializationStrategy, "EAGER")
        assert hasattr(rtx.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")
        assert hasattr(rtx.ICudaEngine, "create_runtime_config")
        assert "runtime_config: " in rtx.ICudaEngine.create_execution_context.__doc__

    def test_a_call_that_raises_gives_the_same_error_as_one_that_returns_false(self, trt, device, monkeypatch):
        def raising(*_):
            raise RuntimeError("cuda failure")

        context = self.context(trt, device, profile=1)
        monkeypatch.setattr(trt._Context, "infer_shapes", raising)
        with pytest.raises(runner.EngineError, match="profile 1: the output shapes cannot be inferred: cuda failure"):
            context.run({"x": np.zeros((5, 2), np.float32)})
        monkeypatch.setattr(trt._Context, "set_optimization_profile_async", raising)
        with pytest.raises(runner.EngineError, match="profile 1 cannot be set: cuda failure"):
            self.context(trt, device, profile=1)

    def test_a_module_that_does_not_start_is_a_start_error(self, trt, device, monkeypatch):
        monkeypatch.setenv("FAKE_GPU_OLD_DRIVER", "1")
        words = "tensorrt 10.16.1.11 does not start: CUDA driver version is insufficient .*; CUDA initialization failure"
        with pytest.raises(runner.StartError, match=words):
            self.context(trt, device)

    def test_the_limits_come_from_the_profile_even_without_a_dynamic_axis(self, trt, device, monkeypatch):
        loaded = self.context(trt, device, profiles=[{"x": [[2, 3]] * 3}]).engine
        assert loaded.inputs["x"].shape == (2, 3)
        assert loaded.limits(0) == {"x": ((2, 3),) * 3}
        monkeypatch.setattr(trt._Engine, "get_tensor_profile_shape", lambda *_: [(1, 3), (2, 3), (2, 3)])
        assert loaded.limits(0) == {"x": ((1, 3), (2, 3), (2, 3))}
        monkeypatch.setattr(trt._Engine, "get_tensor_profile_shape", lambda *_: [(), (), ()])  # without a profile
        assert loaded.limits(0) == {"x": ((2, 3),) * 3}

    def test_plugins_are_loaded_from_their_files(self, trt, device, monkeypatch):
        plan, library = plan_bytes(onnx_file(), [SMALL]), Path("plugins", "libmine.so")
        library.parent.mkdir()
        library.touch()
        names = ("libmine.so", "libnvinfer_plugin.so.10")
        with pytest.raises(runner.EngineError, match=r"the plugin library libmine\.so cannot be loaded"):
            runner.Engine(trt, device, plan, plugins=plan_contract.plugins(names))
        monkeypatch.setenv(plan_contract.PLUGINS, gpu_access.variables(plugins=[library])["TRITONIZE_PLUGINS"])
        assert plan_contract.plugins(names) == (str(library.absolute()), names[1])
        runner.Engine(trt, device, plan, plugins=plan_contract.plugins(names))

    def test_a_plan_that_does_not_load_is_an_error_with_the_text_of_tensorrt(self, trt, device):
        with pytest.raises(runner.EngineError, match=r"tensorrt 10.16.1.11 does not load the plan: .*magic tag does not match"):
            runner.Engine(trt, device, b"vtrt" + bytes(60))

    def test_the_inspector_uses_a_context_that_has_run(self, trt, device):
        context = self.context(trt, device)
        context.run({"x": np.zeros((1, 2), np.float32)})
        assert plan_layers.read(context.engine.information()[0]).precisions == {"unknown": 1}
        as_json, lines = context.engine.information(context)
        assert plan_layers.read(as_json).precisions == {"fp32": 1}
        assert lines


OLD = """{"Layers": [
 {"Name": "Reformatting CopyNode for Input Tensor 0 to /conv/Conv", "LayerType": "Reformat",
  "Inputs": [{"Name": "x", "Location": "Device", "Dimensions": [1,3,224,224], "Format/Datatype": "Row major linear FP32"}],
  "Outputs": [{"Name": "r", "Location": "Device", "Dimensions": [1,3,224,224],
    "Format/Datatype": "Channel major FP16 format where channel % 4 == 0"}],
  "ParameterType": "Reformat", "Origin": "REFORMAT", "TacticValue": "0x00000000000003ea"},
 {"Name": "/conv/Conv", "LayerType": "CaskConvolution",
  "Inputs": [{"Name": "r", "Format/Datatype": "Channel major FP16 format where channel % 4 == 0"}],
  "Outputs": [{"Name": "c", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
  "Weights": {"Type": "Half", "Count": 9408}, "TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc"},
 {"Name": "{ForeignNode[/norm/Constant.../head/Add]}", "LayerType": "Myelin",
  "Inputs": [{"Name": "c", "Format/Datatype": "Row major linear FP32"}],
  "Outputs": [{"Name": "y", "Format/Datatype": "Row major linear FP32"}], "TacticName": "", "Metadata": ""}],
 "Bindings": ["x", "y"]}"""
TEN = """{"Layers": [
 {"Name": "a_myl0_0", "LayerType": "kgen", "Inputs": [{"Name": "x", "Dimensions": [2,3], "Format/Datatype": "Float"}],
  "Outputs": [{"Name": "b", "Dimensions": [2,3], "Format/Datatype": "Half"}], "TacticName": "__myl_Cast_0x1", "StreamId": 0},
 {"Name": "b_myl0_1", "LayerType": "gemm", "Inputs": [{"Name": "b", "Format/Datatype": "Half"}],
  "Outputs": [{"Name": "c", "Format/Datatype": "Half"}], "TacticName": "sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize64x64x64"},
 {"Name": "d", "LayerType": "Shuffle", "Inputs": [{"Name": "c", "Format/Datatype": "N/A due to dynamic shapes"}],
  "Outputs": [{"Name": "d", "Format/Datatype": "N/A due to dynamic shapes"}]}], "Bindings": ["x", "d"]}"""
ELEVEN = """{"Layers": [
 {"Name": "gemm_0", "LayerType": "MatrixMultiply",
  "Inputs": [{"Name": "x", "Dimensions": [-1,16], "Format": "Row major linear (kLINEAR)", "DataType": "BFloat16"}],
  "Outputs": [{"Name": "y", "Dimensions": [-1,16], "Format": "Row major linear (kLINEAR)", "DataType": "BFloat16"}]},
 {"Name": "add", "LayerType": "PointWise", "Inputs": [{"Name": "y", "Format": "Row major linear FP32 format (kLINEAR)"}],
  "Outputs": [{"Name": "z", "Format": "Row major linear FP32 format (kLINEAR)"}]}],
 "I/O Tensors": [{"Name": "x", "IOMode": "Input", "DataType": "BFloat16", "Dimensions": [-1,16]}]}"""
FLOATS = json.dumps({"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Float"}],
                                 "Outputs": [{"Format/Datatype": "Float"}]}]})  # fmt: skip


class TestLayers:
    """The output of inspectors of three generations, from NVIDIA's documentation and published reports."""

    def test_precisions_and_formats(self):
        found = plan_layers.read(OLD)
        assert found.precisions == {"fp16+fp32": 1, "fp16": 1, "fp32": 1}
        assert found.formats["Channel major FP16 format where channel % 8 == 0"] == 1
        assert plan_layers.read(TEN).precisions == {"fp16+fp32": 1, "fp16": 1, "unknown": 1}
        assert plan_layers.read(ELEVEN).precisions == {"bf16": 1, "fp32": 1}

    def test_only_a_computing_layer_counts_as_half_precision(self):
        assert plan_layers.read(OLD).has("fp16")
        assert plan_layers.read(TEN).has("fp16")
        assert plan_layers.read(ELEVEN).has("bf16")
        assert plan_layers.read(ELEVEN).has("fp16") is False
        assert plan_layers.read(FLOATS).has("fp16") is False
        reformat = json.loads(OLD)
        del reformat["Layers"][1:]  # a copy that converts does not compute in half precision
        assert not plan_layers.read(json.dumps(reformat)).has("fp16")
        cast = json.loads(TEN)
        del cast["Layers"][1:]
        assert not plan_layers.read(json.dumps(cast)).has("fp16")

    def test_an_unstated_precision_is_unknown(self):
        names = plan_layers.read('{"Layers": ["conv1 + relu1", "fc"], "Bindings": ["x"]}')  # without detailed profiling
        assert names.precisions == {"unknown": 2}
        assert names.has("fp16") is None
        fused = json.loads(OLD)
        del fused["Layers"][:2]  # what goes on inside of a ForeignNode with float ends
        assert plan_layers.read(json.dumps(fused)).has("fp16") is None
        assert plan_layers.read('{"Layers": []}').has("fp16") is None

    @pytest.mark.parametrize("text", ["", "no json", "{}", '{"Layers": 3}', "None"])
    def test_unreadable_output_of_the_inspector_is_an_error(self, text):
        with pytest.raises(PlanError, match="cannot be parsed") as error:
            plan_layers.read(text)
        assert error.value.code == "plan-layers-unreadable"


def samples(shapes: list[tuple[int, ...]], *, batched: bool = True, dtype: str = "fp32") -> SampleSet:
    files = TensorFiles(
        directory=Path("samples"), tensors=(TensorSpec(name="x", dtype=dtype, shape=("b", "n")),), count=len(shapes)
    )
    random = np.random.default_rng(0)
    for index, shape in enumerate(shapes):
        arrays.save(files, index, {"x": random.standard_normal(shape).astype(arrays.numpy_dtype(dtype))})
    return SampleSet(files=files, batched=batched, origin="here")


def profile(low: tuple[int, ...], usual: tuple[int, ...], high: tuple[int, ...]) -> dict[str, dict[str, tuple[int, ...]]]:
    return {"x": {"min": low, "opt": usual, "max": high}}


class TestSchedule:
    """Which batches run, and which sizes are reported as not run."""

    def test_every_sample_at_min_opt_and_max_of_every_profile(self):
        drawn = samples([(1, 2), (1, 5), (1, 2), (1, 3)])
        found = engine.schedule([profile((1, 2), (2, 3), (4, 5)), profile((5, 2), (6, 5), (8, 5))], drawn)
        sizes = {(each.profile, len(each.samples)) for each in found.batches}
        assert sizes == {(0, 1), (0, 2), (0, 4), (1, 5), (1, 6), (1, 8)}
        for number, size in sizes:
            run = {index for each in found.batches if (each.profile, len(each.samples)) == (number, size) for index in each.samples}
            assert run == {0, 1, 2, 3}
        assert [each.profile for each in found.batches] == sorted(each.profile for each in found.batches)
        assert (found.gaps, found.unreached) == ((), ())

    def test_sizes_that_no_sample_has_are_named(self):
        found = engine.schedule([profile((1, 2), (2, 3), (4, 9))], samples([(1, 2), (1, 5)]))
        assert found.gaps == (
            "profile 0: opt 3 of x axis 1 was not run: samples have 2, 5",
            "profile 0: max 9 of x axis 1 was not run: samples have 2, 5",
        )
        assert found.unreached == ()

    def test_a_profile_and_a_sample_without_each_other_leave_the_proof_incomplete(self):
        found = engine.schedule([profile((1, 2), (2, 3), (4, 3)), profile((1, 20), (1, 20), (4, 20))], samples([(1, 2), (1, 7)]))
        assert found.unreached == (
            "profile 1: no sample fits its sizes",
            "1 samples of shape x [1, 7]: they fit no profile",
        )
        assert {each.profile for each in found.batches} == {0}

    def test_a_plan_without_profiles_and_batch_runs_each_sample(self):
        found = engine.schedule([], samples([(3, 2), (3, 2)], batched=False))
        assert [each.samples for each in found.batches] == [(0,), (1,)]

    def test_a_plan_runs_on_gpus_of_its_kind(self, monkeypatch):
        known = SimpleNamespace(compute_capability="8.9", settings={})
        monkeypatch.setattr(gpu, "find", lambda: None)
        assert engine.not_possible(known) == "no GPU"
        monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu(name="a GPU", compute_capability="9.0", driver="570.86.15", cuda="12.8"))
        assert engine.not_possible(known) == "no GPU of compute capability 8.9 here; this one is 9.0"
        known.settings["hardware_compatibility"] = "ampere_plus"
        assert engine.not_possible(known) is None


class TestProof:
    """plan_proof.py, with the worker, over the stand-ins."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _here(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A GPU of compute capability 8.9, as the workers and this process see it."""
        for name, value in fake_driver.environment(library).items():
            monkeypatch.setenv(name, value)
        here = gpu.Gpu(name="a stand-in", compute_capability="8.9", driver="570.86.15", cuda="12.8")
        monkeypatch.setattr(gpu, "find", lambda: here)

    def built(self, name: str = "model.plan", capability: str = "8.9", *, detailed: bool = True) -> BuiltPlan:
        path = Path(name)
        path.write_bytes(plan_bytes(onnx_file(), [SMALL], detailed=detailed))
        known = plan_file.PlanMetadata(
            module="tensorrt",
            version="10.16.1.11",
            compute_capability=capability,
            gpu=None,
            driver=None,
            profiles=(profile((1, 2), (2, 3), (4, 5)),),
            inputs=(),
            outputs=(),
            tf32=False,
            precision_built=None,
            onnx_sha256="",
            settings={},
            plan_sha256="",
            plan_bytes=0,
            build_seconds=0.0,
            timing_cache_sha256=None,
            built_by="a test",
        )
        return BuiltPlan(path=path, log=Path("build.log"), metadata=known, cached=False, seconds=0.0)

    def prove(self, *plans: BuiltPlan, precision: str = "fp32") -> tuple[tuple[plan_proof.PlanProof, ...], Recorder]:
        drawn, recorder = samples([(1, 2), (1, 5), (1, 4)]), Recorder()
        expected = TensorFiles(directory=Path("expected"), tensors=(TensorSpec(name="y", dtype="fp32", shape=("b", "n")),), count=3)
        for index in range(3):
            arrays.save(expected, index, {"y": np.maximum(arrays.load(drawn.files, index)["x"], 0)})
        golden = GoldenSet(samples=drawn, expected=expected, max_batch_size=4)
        run = plan_proof.ProofRun(input=ProofInput(golden=golden, precision=precision, deadline_s=60.0))
        return plan_proof.prove(plans, run, Path("engines"), recorder=recorder), recorder

    def test_a_plan_of_another_gpu_is_not_run_and_the_version_stays_unproven(self):
        proofs, recorder = self.prove(self.built("model.sm89.plan"), self.built("model.sm90.plan", "9.0"))
        here, elsewhere = proofs
        assert here.text == "passed"
        assert here.notes == ("model.sm89.plan: profile 0: opt 3 of x axis 1 was not run: samples have 2, 4, 5.",)
        assert {check.batch_size for check in here.checks} == {1, 2, 4}
        assert {index for check in here.checks for index in check.samples} == {0, 1, 2}
        assert here.facts["precisions"] == {"fp32": 1}
        assert (here.facts["driver"], here.facts["cuda"]) == (gpu.driver_version("12.8"), "12.8")
        assert plan_file.read_metadata(Path("model.sm89.plan")).precision_built == {"fp32": 1}
        assert elsewhere.text == "not run: no GPU of compute capability 9.0 here; this one is 8.9"
        assert elsewhere.plan.metadata.precision_built is None
        assert plan_proof.overall(proofs) == "not run"
        assert plan_proof.served_here(proofs)
        assert [stage.verdict for stage in recorder.stages] == ["passed", "not run"]

    def test_a_half_precision_plan_whose_layers_run_in_fp32_fails(self):
        (proof,), _ = self.prove(self.built(), precision="fp16")
        assert proof.verdict == "failed"
        assert "no layer runs in fp16: 1 fp32" in proof.reason
        assert all(
            check.passed for check in proof.checks
        )  # its outputs match PyTorch, but it does not run in the requested precision
        assert proof.findings
        (proof,), _ = self.prove(self.built(detailed=False), precision="fp16")
        assert proof.verdict == "not run"  # the inspector knows names alone, which proves neither
        assert "detailed_profiling" in proof.reason

    def test_wrong_outputs_fail(self, monkeypatch):
        monkeypatch.setenv("FAKE_GPU_ERROR", "1.1")
        (proof,), recorder = self.prove(self.built())
        assert proof.verdict == recorder.stages[0].verdict == plan_proof.overall((proof,)) == "failed"
        assert "elements are outside" in proof.reason

    def test_an_engine_that_crashes_its_worker_fails_the_proof(self, monkeypatch):
        monkeypatch.setenv("FAKE_GPU_CRASH", "1")
        (proof,), _ = self.prove(self.built())
        assert proof.verdict == "failed"
        assert "SIGSEGV" in proof.reason

    def test_a_damaged_plan_fails_with_the_text_of_tensorrt(self):
        built = self.built()
        built.path.write_bytes(b"vtrt" + bytes(100))
        (proof,), _ = self.prove(built)
        assert proof.verdict == "failed"
        assert "magic tag does not match" in proof.reason

    def test_with_a_driver_that_is_too_old_the_plan_is_not_run(self, monkeypatch):
        monkeypatch.setenv("FAKE_GPU_OLD_DRIVER", "1")
        (proof,), recorder = self.prove(self.built())
        assert proof.verdict == recorder.stages[0].verdict == "not run"
        assert "tensorrt 10.16.1.11 does not start on this machine." in proof.reason
        assert "CUDA driver version is insufficient" in proof.reason  # a warning
        assert "CUDA initialization failure with error: 35" in proof.reason

    def test_a_stripped_plan_is_not_run(self):
        built = self.built()
        stripped = replace(built, metadata=replace(built.metadata, settings={"strip_plan": True}))
        (proof,), _ = self.prove(stripped)
        assert proof.text == "not run: it was built with strip_plan and has no weights; tritonize does not refit it"

    def test_without_a_gpu_the_plan_is_not_run(self, monkeypatch):
        monkeypatch.setattr(gpu, "find", lambda: None)
        (proof,), recorder = self.prove(self.built())
        assert proof.text == "not run: no GPU"
        assert plan_proof.overall((proof,)) == "not run"
        assert [(stage.name, stage.verdict, stage.note) for stage in recorder.stages] == [("plan run", "not run", "no GPU")]


class TestContract:
    """Which plan a configuration means, by the native backend's rules."""

    @pytest.mark.parametrize(
        ("config", "name"),
        [
            ({}, "model.plan"),
            ({"default_model_filename": "other.plan"}, "other.plan"),
            ({"cc_model_filenames": {"8.9": "model.sm89.plan", "9.0": "model.sm90.plan"}}, "model.sm89.plan"),
            ({"cc_model_filenames": {"9.0": "model.sm90.plan"}, "default_model_filename": "other.plan"}, "other.plan"),
            ({"cc_model_filenames": {"9.0": "model.sm90.plan"}}, "model.plan"),
        ],
    )
    def test_the_plan_of_the_gpus_compute_capability_is_chosen(self, config, name):
        version = Path("1")
        version.mkdir()
        for each in ("model.plan", "other.plan", "model.sm89.plan", "model.sm90.plan"):
            (version / each).touch()
        assert plan_contract.plan_file(config, version, "8.9").name == name

    def test_a_missing_plan_for_the_gpu_is_an_error_that_lists_the_others(self):
        Path("1").mkdir()
        with pytest.raises(ValueError, match=r"capability 8.9; the configuration names plans for compute capability 9.0"):
            plan_contract.plan_file({"cc_model_filenames": {"9.0": "model.sm90.plan"}}, Path("1"), "8.9")

    def test_versions_are_compared_before_the_plan_is_loaded(self):
        Path("m.plan").write_bytes(plan_bytes(b"", []))
        plan_contract.check_version(Path("m.plan"), "tensorrt", "10.16.1.11", known={})
        plan_contract.check_version(Path("m.plan"), "tensorrt", "10.16.1", known={})  # 8.6 has three parts in its version
        with pytest.raises(ValueError, match=r"built by tensorrt 10.16.1.11, and this server has 11.4.0.106"):
            plan_contract.check_version(Path("m.plan"), "tensorrt", "11.4.0.106", known={})
        plan_contract.check_version(Path("m.plan"), "tensorrt", "11.4.0.106", known={"settings": {"version_compatible": True}})
        with pytest.raises(ValueError, match=r"is a plan of tensorrt 10.16.1.11, which tensorrt_rtx does not load"):
            plan_contract.check_version(Path("m.plan"), "tensorrt_rtx", "1.7.1.116", known={})

    def test_an_instance_has_the_profiles_of_its_group(self):
        groups = [{"name": "net_0", "profile": ["0"]}, {"name": "net_1", "profile": ["1", "0"]}]
        assert plan_contract.profiles({"instance_group": groups}, "net_0_0", 2) == (0,)
        assert plan_contract.profiles({"instance_group": groups}, "net_1_3", 2) == (1, 0)
        assert plan_contract.profiles({"instance_group": [{"name": "net"}]}, "net_0", 2) == (0,)
        assert plan_contract.profiles({"backend": "tensorrt_rtx", "instance_group": [{"name": "net"}]}, "net_0", 2) == (0, 1)
        with pytest.raises(ValueError, match="profile '2' is not in the plan, which has 2"):
            plan_contract.profiles({"instance_group": [{"name": "net", "profile": ["2"]}]}, "net_0", 2)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({}, None),
            ({"max_batch_size": 5}, "max_batch_size is 5; the profiles 0 of the plan take at most 4"),
            ({"data_type": "TYPE_FP16"}, "input 'x': the configuration says TYPE_FP16, the plan has FLOAT"),
            ({"dims": ["-1", "3"]}, "says dims [-1, -1, 3] (the batch first), the plan has [-1, -1]"),
            ({"dims": ["9"]}, "input 'x': the configuration says 9 on axis 0; the profiles take 2 to 5"),
            ({"name": "z"}, "the configuration has inputs 'z', the plan has 'x'"),
            ({"max_batch_size": 0}, "input 'x': the configuration says dims [-1], the plan has [-1, -1]"),
        ],
    )
    def test_a_configuration_that_contradicts_the_plan_is_an_error(self, change, text, trt, device):
        loaded = runner.Engine(trt, device, plan_bytes(onnx_file(), [SMALL, LARGE]))
        tensor = {"name": "x", "data_type": "TYPE_FP32", "dims": ["-1"]}
        config = {"max_batch_size": 4, "input": [tensor], "output": [{**tensor, "name": "y"}]}
        config |= {key: value for key, value in change.items() if key == "max_batch_size"}
        tensor |= {key: value for key, value in change.items() if key != "max_batch_size"}
        if text is None:
            plan_contract.check(config, loaded, (0,))
            return
        with pytest.raises(ValueError) as error:
            plan_contract.check(config, loaded, (0,))
        assert text in str(error.value)

    @pytest.mark.parametrize(
        ("shapes", "limit", "text"),
        [
            ([[1, 2], [1, 3], [1, 5]], 1, None),
            ([[1, 2], [1, 3], [1, 5]], 2, "max_batch_size is 2; the profiles 0 of the plan take at most 1"),
            ([[1, 3], [2, 3], [4, 3]], 4, None),
            ([[2, 3]] * 3, 2, None),
        ],
    )
    def test_a_dynamic_axis_may_have_a_size_that_the_profiles_fix(self, shapes, limit, text, trt, device):
        loaded = runner.Engine(trt, device, plan_bytes(onnx_file(), [{"x": shapes}]))
        tensor = {"name": "x", "data_type": "TYPE_FP32", "dims": ["-1"]}
        config = {"max_batch_size": limit, "input": [tensor], "output": [{**tensor, "name": "y"}]}
        if text is None:
            plan_contract.check(config, loaded, (0,))
            return
        with pytest.raises(ValueError, match=text):
            plan_contract.check(config, loaded, (0,))

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("instance_group [ { count: 1 kind: KIND_CPU } ]", "KIND_CPU"),
            ("instance_group {\n  kind: 2\n}", "KIND_CPU"),
            ("instance_group { kind: KIND_MODEL }", "KIND_MODEL"),
            ("instance_group [ { kind: KIND_GPU } ]", None),
            ("# kind: KIND_CPU\ninstance_group [ { count: 2 } ]", None),
            ("", None),
        ],
    )
    def test_instances_that_are_not_on_a_gpu_are_an_error(self, text, kind):
        if kind is None:
            plan_contract.check_groups(text)
            return
        with pytest.raises(ValueError, match=f"instance_group: the kind is {kind}, but plans run only on GPUs"):
            plan_contract.check_groups(text)

    def test_only_tensorrt_is_imported_from_the_packages_folder(self, monkeypatch):
        for name in ("tensorrt_here", "numpy"):
            Path("packages", name).mkdir(parents=True)
            Path("packages", name, "__init__.py").touch()
        monkeypatch.setenv(plan_contract.PACKAGES, str(Path("packages").absolute()))
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        plan_contract.allow_packages()
        found = importlib.util.find_spec("tensorrt_here")
        assert found.origin.startswith(str(Path.cwd()))
        finder = sys.meta_path[0]
        assert finder.find_spec("numpy") is None

    def test_the_servers_python_imports_tensorrt_from_here_and_its_own_numpy(self):
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import plan_contract; plan_contract.allow_packages(); "
            "import tensorrt_rtx, numpy; print(tensorrt_rtx.__version__, numpy.__version__, tensorrt_rtx.Runtime.__name__)"
        )
        installed = environment.ready(python=True)
        assert installed.python is not None
        command = [str(installed.python.prefix / "bin" / "python"), "-I", "-c", code, str(installed.backends / "plans")]
        done = subprocess.run(command, env=gpu_access.variables(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        version, numpy_version, name = done.stdout.split()
        assert version == importlib.metadata.version("tensorrt_rtx")
        assert numpy_version.startswith("1.")
        assert name == "Runtime"

    def test_the_server_gets_access_to_a_gpu_only_for_plans(self):
        for name, text in (("a", 'backend: "onnxruntime"'), ("b", 'platform: "tensorrt_plan"'), ("c", '  backend: "tensorrt_rtx"')):
            Path("repository", name).mkdir(parents=True)
            Path("repository", name, "config.pbtxt").write_text(f'name: "{name}"\n{text}\n')
        assert gpu_access.serves_plans(Path("repository"), None)
        assert not gpu_access.serves_plans(Path("repository"), ["a"])
        assert gpu_access.serves_plans(Path("repository"), ["b"])
        assert gpu_access.serves_plans(Path("repository"), ["c"])
        assert any("tensorrt_rtx" in os.listdir(folder) for folder in gpu_access.packages())

    @pytest.mark.parametrize(("mine", "seen"), [(None, "0"), ("2,0", "2"), (" GPU-7, 1", "GPU-7"), ("", ""), ("-1", "-1")])
    def test_the_server_sees_only_the_gpu_of_the_proof(self, mine, seen, monkeypatch):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if mine is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mine)
        assert gpu_access.variables()["CUDA_VISIBLE_DEVICES"] == seen
        assert gpu_access.variables(every_gpu=True).get("CUDA_VISIBLE_DEVICES") == mine

    def test_a_configuration_that_names_gpus_gets_all_of_them(self):
        Path("repository", "a").mkdir(parents=True)
        config = Path("repository", "a", "config.pbtxt")
        config.write_text('platform: "tensorrt_plan"\n# gpus: [1]\n')
        assert not gpu_access.names_gpus(Path("repository"), ["a"])
        config.write_text('platform: "tensorrt_plan"\ninstance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n')
        assert gpu_access.names_gpus(Path("repository"), None)

    def test_the_server_gets_the_users_library_path(self, monkeypatch):
        monkeypatch.setenv("LD_LIBRARY_PATH", f"/opt/tensorrt/lib::{Path('here')}:/drivers")
        monkeypatch.setenv("TRITONIZE_LIBCUDA", "/drivers/libcuda.so.1")
        assert gpu_access.variables()["LD_LIBRARY_PATH"] == f"/opt/tensorrt/lib:{Path('here').absolute()}"
        monkeypatch.delenv("TRITONIZE_LIBCUDA")
        monkeypatch.setattr(gpu_access, "_libcuda", lambda: "/drivers/libcuda.so.1")
        monkeypatch.setenv("LD_LIBRARY_PATH", f"/opt/tensorrt/lib:{Path('here')}")
        assert gpu_access.variables()["LD_LIBRARY_PATH"] == f"/drivers:/opt/tensorrt/lib:{Path('here').absolute()}"
        assert "LD_LIBRARY_PATH" not in gpu_access.without_gpu()


NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.first(x)).mean((2, 3))
"""
SPEC = """
schema: 1
models:
  net:
    source: {source}
    backend: tensorrt
    {strategies}
    inputs: {{x: {{shape: [batch, 3, 16, 16]}}}}
    max_batch_size: 4
"""


class TestWholeWay:
    """`tritonize run` from PyTorch to a published version, by the real server, with both stand-ins."""

    def run(self, library: Path, command: str = "run", source: str = "network:Net", **variables: str) -> tuple[Any, dict[str, Any]]:
        Path("network.py").write_text(NETWORK)
        strategies = "" if source.endswith(".onnx") else "strategies: [legacy]"
        Path("spec.yaml").write_text(SPEC.format(source=source, strategies=strategies))
        Path("cache").mkdir()  # the stand-in's plans go into no other
        Path("cache", "server").symlink_to(Path(os.environ["TRITONIZE_CACHE"], "server"))
        env = {**fake_driver.environment(library), "TRITONIZE_CACHE": str(Path("cache").absolute()), **variables}
        done = tritonize(command, "spec.yaml", "--json", env=env)
        assert '"reports"' in done.stdout, done.stderr
        (report,) = json.loads(done.stdout)["reports"]
        return done, report

    def test_a_plan_whose_outputs_match_is_served_and_published(self, library):
        done, report = self.run(library)
        assert done.returncode == 0, done.stderr
        assert report["published"]
        stages = {(stage["name"], stage["verdict"]) for stage in report["stages"]}
        assert {("plan run", "passed"), ("grpc", "passed"), ("shm", "passed"), ("concurrent", "passed")} <= stages
        checks = [check for check in report["checks"] if check["stage"] == "plan"]
        assert {check["batch_size"] for check in checks} == {1, 4}
        assert all(check["passed"] for check in checks)
        assert report["proved_by"]["tensorrt"] == "10.16.1.11"
        assert "tensorrt" in report["proved_by"]["backend"]
        assert "onnxruntime" not in report["proved_by"]
        (told,) = report["details"]["plans"]
        assert told["proof"] == "passed"
        known = plan_file.read_metadata(Path(report["location"]) / "model.plan")
        assert known.precision_built == told["precision_built"]
        assert sum(known.precision_built.values()) == 1

    def test_a_plan_whose_outputs_differ_fails_and_is_not_served(self, library):
        from tests.support import plan_requests

        onnx.save(onnx.shape_inference.infer_shapes(onnx.load(plan_requests.network("m.onnx"))), "m.onnx")
        done, report = self.run(library, source="m.onnx", FAKE_GPU_ERROR="1.1")
        assert done.returncode == 1, done.stderr
        assert report["verdict"] == "failed"
        assert not report["published"]
        assert ("plan run", "failed") in {(stage["name"], stage["verdict"]) for stage in report["stages"]}
        assert ("server", "not run") in {(stage["name"], stage["verdict"]) for stage in report["stages"]}
        assert report["details"]["plans"][0]["proof"].startswith("failed: ")


def test_the_server_loads_plugins_and_rejects_instances_on_the_cpu(library, monkeypatch):
    from tritonize.core.errors import ServerError
    from tritonize.triton.server import embedded

    for name, value in fake_driver.environment(library).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(fake_driver.FOLDER))
    Path("plugins").mkdir()
    Path("plugins", "libmine.so").touch()
    for name, group in (("net", ""), ("cpu", "instance_group [ { kind: KIND_CPU } ]\n")):
        version = Path("repository", name, "1")
        version.mkdir(parents=True)
        Path(version, "model.plan").write_bytes(plan_bytes(onnx_file(), [SMALL]))
        Path(version, "model.plan.json").write_text(json.dumps({"settings": {"plugins": ["libmine.so"]}}))
        tensors = "".join(f'{kind} [ {{ name: "{each}" data_type: TYPE_FP32 dims: [ -1 ] }} ]\n' for kind, each in IO)
        Path("repository", name, "config.pbtxt").write_text(f'platform: "tensorrt_plan"\nmax_batch_size: 4\n{tensors}{group}')
    repository, plugins = Path("repository"), [Path("plugins", "libmine.so")]
    with embedded.start(repository, directory=Path("server"), models=["net"], plugins=plugins) as running:
        assert "tensorrt" in running.identity["backend"]
    with pytest.raises(ServerError) as error, embedded.start(repository, directory=Path("server"), plugins=plugins):
        pass
    assert error.value.where == "cpu"
    assert "the kind is KIND_CPU, but plans run only on GPUs" in error.value.found
    with (
        pytest.raises(ServerError, match=r"libmine\.so cannot be loaded"),
        embedded.start(repository, directory=Path("server"), models=["net"]),
    ):
        pass


@without_gpu
def test_without_a_gpu_the_server_rejects_a_plan():
    from tests.support import plan_requests
    from tritonize.core.errors import MissingError
    from tritonize.plans import builder as plan_builder
    from tritonize.triton.server import embedded

    plan_requests.network("m.onnx")
    (built,) = plan_builder.build(plan_requests.request(), Path("out"))
    version = Path("repository", "net", "1")
    version.mkdir(parents=True)
    for file in built.files:
        shutil.copy(file, version)
    tensors = (
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 16, 16 ] } ] '
        'output [ { name: "y0" data_type: TYPE_FP32 dims: [ 8, 16, 16 ] } ]'
    )
    Path("repository", "net", "config.pbtxt").write_text(f'backend: "tensorrt_rtx"\nmax_batch_size: 4\n{tensors}\n')
    with pytest.raises(MissingError) as error, embedded.start(Path("repository"), directory=Path("server")):
        pass
    assert error.value.exit_code == 3
    assert error.value.code == "server-no-gpu"
    assert "the plan of 'net'" in error.value.what
    assert "backend tensorrt_rtx runs plans on a GPU: no GPU here" in error.value.found
    config = Path("repository", "net", "config.pbtxt")
    config.write_text(f"{config.read_text()}instance_group [ {{ kind: KIND_GPU }} ]\n")  # as profiles have it
    with pytest.raises(MissingError, match="no GPUs are available"), embedded.start(Path("repository"), directory=Path("server")):
        pass


def test_a_half_precision_plan_is_built_with_detailed_profiling():
    model = schema.Model.model_validate(
        {"source": "m.onnx", "backend": "tensorrt", "precision": "fp16", "inputs": {"x": {"shape": [3]}}}
    )
    artifact = SimpleNamespace(path=Path("m.onnx"), node_map=None)
    assert from_spec.request(model, schema.Target(), artifact).settings.detailed_profiling
    plain = model.model_copy(update={"precision": "fp32"})
    assert not from_spec.request(plain, schema.Target(), artifact).settings.detailed_profiling


class TestGpuSuite:
    """`python -m gpu` itself."""

    def run(self, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], str]:
        out = Path("results.md").absolute()
        command = [sys.executable, "-m", "gpu", "--out", str(out), *arguments]
        env = {**os.environ, **variables}
        done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=240, check=False)
        return done, out.read_text()

    @without_gpu
    def test_without_a_gpu_every_step_is_not_run(self):
        done, written = self.run()
        assert done.returncode == 3, done.stderr
        lines = done.stdout.splitlines()
        rows = [line for line in lines if "not run  no GPU" in line]
        assert len(rows) == sum(len(steps.steps_of(group)) for group in steps.groups())
        assert max(map(len, lines[: len(rows)])) <= 80
        assert f"0 passed, 0 failed, {len(rows)} not run" in done.stdout
        assert written.count("| not run | no GPU |") == len(rows)
        assert "| passed |" not in written

    @without_gpu
    def test_the_committed_table_has_every_test(self):
        committed = (CHECKOUT / "docs" / "gpu-results.md").read_text()
        for group in steps.groups():
            for step in steps.steps_of(group):
                assert f"| {step} |" in committed

    def test_every_step_passes_with_the_stand_ins(self, library):
        done, written = self.run("--only", "case:cnn", **fake_driver.environment(library))
        assert "GPU: no GPU, a test's stand-in" in written
        for step in ("build", "deserialize", "infer", "time TensorRT"):
            assert f"| cnn: {step} | passed |" in written, done.stdout
        assert re.search(r"\| cnn: build \| passed \| .* s, by tritonize \|", written)
        assert f"- driver: {gpu.driver_version('12.8')}" in written
        assert "| cnn: inspect | passed | 1 fp32 |" in written
        assert "| cnn_fp16: inspect | failed | AssertionError: asked in fp16, and no layer computes in it: 1 fp32 |" in written
        assert done.returncode == 1

    def test_a_crash_fails_its_step_and_leaves_the_others_not_run(self, library):
        done, written = self.run("--only", "case:lstm", **fake_driver.environment(library), FAKE_GPU_CRASH="1")
        assert done.returncode == 1
        assert "| lstm: deserialize | passed |" in written
        assert "| lstm: infer | failed | its process ended with -11" in written
        assert "| lstm: inspect | not run | a step before it did not pass |" in written

    def test_the_models_of_the_suite_build_with_tensorrt_rtx(self):
        import tensorrt_rtx

        bench = object.__new__(steps.Bench)
        bench.name, bench.trt, bench.said, bench.folder = "tensorrt_rtx", tensorrt_rtx, [], Path.cwd()
        bench.device = SimpleNamespace(compute_capability="8.9")
        for case in CASES:
            plan, builder = bench.build(case)
            assert plan[:4] == b"vtrt", case.name
            assert builder == "by tritonize"
            known = plan_file.read_metadata(Path(case.name, "model.plan"))
            assert known.tf32 == (case.precision == "tf32")
            assert len(known.profiles) == len(case.profiles)

    def test_the_models_of_the_suite_build_without_pydantic(self, monkeypatch):
        import tensorrt_rtx

        def missing(*_: Any) -> None:
            raise ModuleNotFoundError(name="pydantic")

        bench = object.__new__(steps.Bench)
        bench.name, bench.trt, bench.said, bench.folder = "tensorrt_rtx", tensorrt_rtx, [], Path.cwd()
        bench.device = SimpleNamespace(compute_capability="8.9")
        monkeypatch.setattr(steps.Bench, "by_product", missing)
        plan, builder = bench.build(CASES[0])
        assert plan[:4] == b"vtrt"
        assert builder == "by TensorRT's own calls, without pydantic"

    @without_gpu
    def test_a_machine_without_a_gpu_does_not_overwrite_the_results(self):
        kept = "| test | outcome | |\n|---|---|---|\n| cnn: build | passed | 0.1 MiB |\n| cnn: infer | not run | no GPU |\n"
        Path("results.md").write_text(kept)
        done, written = self.run("--only", "driver")
        assert written == kept
        assert done.returncode == 3
        assert "Not written: " in done.stdout
        Path("results.md").write_text(kept.replace("| passed |", "| not run |"))
        done, written = self.run("--only", "driver")
        assert "| driver: memory, copies, events | not run | no GPU |" in written

    def test_the_outputs_of_the_suites_models_match_the_stored_ones(self):
        from gpu import networks

        for case in CASES:
            if case.precision == "bf16":  # which ONNX Runtime has no kernels for on a CPU
                with torch.inference_mode():
                    for inputs, expected in items(case, 0, 4):
                        found = networks.made(case.network)(torch.from_numpy(inputs)).numpy()
                        np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.atol)
                continue
            session = onnxruntime.InferenceSession(str(case.onnx), providers=["CPUExecutionProvider"])
            for end, batch in enumerate(case.profiles[0]):
                for inputs, expected in items(case, end, batch):
                    (found,) = session.run(None, {"x": inputs})
                    np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.atol)
