"""The worker that builds plans, with a stand-in for TensorRT: its calls on the module, and its errors if the module fails.

It proves the wiring and nothing about TensorRT, see `tests/support/fake_gpu`.
"""

from __future__ import annotations

import enum
import errno
import importlib
import json
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support import fake_driver
from tritonize.core.errors import MissingError, PlanError, UsageError
from tritonize.plans import gpu
from tritonize.plans.tasks import BuilderSettings, PlanBuildRequest, PlanBuildResult
from tritonize.plans.worker import build_plan, timing_cache

HERE = gpu.Gpu(name="a GPU", compute_capability="8.9", driver="550.54.15", cuda="12.4")
DRIVER = "CUDA driver version is insufficient for CUDA runtime version"


@pytest.fixture(autouse=True)
def trt(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in as `tensorrt`, on a machine with a GPU."""
    monkeypatch.syspath_prepend(str(fake_driver.FOLDER))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(gpu, "find", lambda: HERE)
    importlib.import_module("tensorrt")
    module = sys.modules.pop("tensorrt")  # so that what is put back in the end is nothing
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def model(kind: int = TensorProto.FLOAT, operator: str = "Add") -> Path:
    """m.onnx: one operator of an input and a weight, in two nodes, the name of one of which holds the other's."""
    values = [helper.make_tensor_value_info(name, kind, [2, 3]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((2, 3), helper.tensor_dtype_to_np_dtype(kind)), "w")
    nodes = [
        helper.make_node(operator, ["x", "w"], ["a"], name="/layer/add"),
        helper.make_node(operator, ["a", "w"], ["y"], name="/layer/add_1"),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "m.onnx")
    return Path("m.onnx")


def build(node_map: str | None = None, module: str = "tensorrt", timings: str | None = None, **settings) -> PlanBuildResult:
    """The worker's own function, in this process."""
    return build_plan.build(
        PlanBuildRequest(
            onnx=Path("m.onnx"),
            module=module,
            compute_capability=None,
            profiles=(),
            settings=BuilderSettings(**settings),
            node_map=Path(node_map) if node_map else None,
            plan=Path("m.plan"),
            log=Path("m.log"),
            timing_cache=Path(timings) if timings else None,
        )
    )


def calls() -> list[list[str]]:
    """The calls on the builder's configuration, in order."""
    content = Path("m.plan").read_bytes()
    (size,) = struct.unpack_from("<Q", content, 36)
    return json.loads(content[44 : 44 + size])["calls"]


def test_a_build_in_fp32_clears_tf32_which_the_builder_sets_by_default():
    model()
    build()
    assert ["clear_flag", "TF32"] in calls()
    assert ["set_flag", "TF32"] not in calls()
    build(tf32=True)
    assert ["set_flag", "TF32"] in calls()
    assert ["clear_flag", "TF32"] not in calls()


def test_settings_reach_the_builder():
    model()
    build(workspace_mib=64, version_compatible=True, refit=True)
    assert ["set_memory_pool_limit", "WORKSPACE", str(64 << 20)] in calls()
    assert [["set_flag", name] in calls() for name in ("VERSION_COMPATIBLE", "REFIT", "STRIP_PLAN")] == [True, True, False]


def test_a_driver_that_is_too_old_is_a_missing_error(monkeypatch):
    model()
    monkeypatch.setenv("FAKE_GPU_OLD_DRIVER", "1")
    with pytest.raises(MissingError, match="does not start") as error:
        build()
    assert error.value.exit_code == 3
    assert DRIVER in error.value.found
    assert "newer driver" in error.value.next_step
    assert DRIVER in Path("m.log").read_text()  # noise it is where TensorRT-RTX builds without a GPU, and nowhere else


@pytest.mark.parametrize(
    ("module", "here", "kept"),
    [("tensorrt", HERE, True), ("tensorrt", None, True), ("tensorrt_rtx", HERE, True), ("tensorrt_rtx", None, False)],
)
def test_warnings_that_a_missing_gpu_explains_are_dropped(module, here, kept, trt, monkeypatch):
    model()
    monkeypatch.setattr(gpu, "find", lambda: here)
    monkeypatch.setitem(sys.modules, module, trt)
    loggers = []

    class Parser(trt.OnnxParser):
        def __init__(self, network, logger) -> None:
            super().__init__(network, logger)
            loggers.append(logger)

        def parse_from_file(self, path: str) -> bool:
            loggers[-1].log(trt.ILogger.Severity.ERROR, DRIVER)
            return False

    monkeypatch.setattr(trt, "OnnxParser", Parser)
    with pytest.raises(PlanError, match="cannot parse") as error:
        build(module=module)
    assert (DRIVER in str(error.value)) is kept
    assert (DRIVER in Path("m.log").read_text()) is kept


def test_the_plugins_of_tensorrt_are_registered(trt, monkeypatch):
    model()
    build()
    assert trt.registered == [""]
    monkeypatch.delattr(trt, "init_libnvinfer_plugins")
    build()


def test_an_invalid_plugin_library_is_an_error():
    model()
    Path("good.so").write_text("")
    build(plugins=(Path("good.so"),))
    with pytest.raises(UsageError, match="plugin library") as error:
        build(plugins=(Path("good.so"), Path("bad.so")))
    assert error.value.where == "bad.so"


def test_a_setting_without_a_name_in_the_module_is_rejected_before_the_build():
    model()
    with pytest.raises(UsageError, match="does not support a setting") as error:
        build(hardware_compatibility="ampere_plus")  # the stand-in has no such enumeration
    assert "HardwareCompatibilityLevel.AMPERE_PLUS" in error.value.expected
    assert error.value.where == "hardware_compatibility: ampere_plus"
    assert not Path("m.plan").exists()


def test_int64_tensors_are_rejected_if_the_module_has_no_int64(trt, monkeypatch):
    model(TensorProto.INT64)
    build()
    monkeypatch.setattr(trt, "DataType", enum.Enum("DataType", [each.name for each in trt.DataType if each.name != "INT64"]))
    with pytest.raises(UsageError, match="silently") as error:
        build()
    assert error.value.found == "x is int64, and would be int32; y is int64, and would be int32"
    model(TensorProto.DOUBLE)
    with pytest.raises(UsageError, match="silently"):
        build()


def test_a_failure_of_the_builder_names_node_module_and_line(trt, monkeypatch):
    model()
    text = "Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[/layer/add_1]}.)"

    def fails(builder, network, config):
        builder.logger.log(trt.ILogger.Severity.ERROR, "Something else.")
        builder.logger.log(trt.ILogger.Severity.ERROR, text)

    monkeypatch.setattr(trt.Builder, "build_serialized_network", fails)
    Path("node_map.json").write_text(
        json.dumps({"format": 1, "nodes": [{"node": "/layer/add_1", "operator": "Add", "module": "head", "source": "net.py:7"}]})
    )
    with pytest.raises(PlanError, match="tensorrt built no plan") as error:
        build("node_map.json")
    assert error.value.found == f"Add (node /layer/add_1, module head, net.py:7): {text}"
    assert error.value.details == ("Something else.",)
    assert not Path("m.plan").exists()
    text = "Skipping [/layer/add ... /layer/add_1]"
    with pytest.raises(PlanError) as error:
        build("node_map.json")
    assert error.value.found == f"Add (node /layer/add): {text}"
    assert error.value.details[0] == "Add (node /layer/add_1, module head, net.py:7): named in the same message"


@pytest.mark.parametrize("kept", ["all_creators", "plugin_creator_list"])
def test_an_operator_that_a_plugin_implements_needs_no_importer(kept, trt, monkeypatch):
    model()
    monkeypatch.setattr(trt.OnnxParser, "supports_operator", lambda self, name: False)
    with pytest.raises(PlanError, match="no implementation of 2 nodes: Add"):
        build()
    monkeypatch.delattr(trt._Registry, "all_creators")
    monkeypatch.setattr(trt._Registry, kept, [trt.Creator("Add")], raising=False)
    build()


def test_native_instance_normalization_is_requested_if_the_parser_has_it(trt, monkeypatch):
    asked = []
    monkeypatch.setattr(trt, "OnnxParserFlag", enum.Enum("OnnxParserFlag", "NATIVE_INSTANCENORM"), raising=False)
    monkeypatch.setattr(trt.OnnxParser, "set_flag", lambda self, flag: asked.append(flag.name), raising=False)
    model()
    build()
    assert set(asked) == {"NATIVE_INSTANCENORM"}


def test_an_unwritable_timing_cache_does_not_fail_the_build(monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "timings")

    model()
    monkeypatch.setattr(timing_cache, "load", lambda *_: None)
    monkeypatch.setattr(timing_cache, "store", refused)
    assert build(timings="timings/a.cache").timing_cache_sha256 is None
    assert Path("m.plan").is_file()
    assert "the timing cache cannot be written" in Path("m.log").read_text()


def test_a_disk_that_fills_up_during_serialization_is_an_error(trt, monkeypatch):
    """No exception reaches the builder; the writer reports that nothing was written."""

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, piece: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def to_stream(builder, network, config, stream) -> bool:
        return stream.write(b"piece") == 5

    monkeypatch.setattr(trt, "IStreamWriter", type("IStreamWriter", (), {}), raising=False)
    monkeypatch.setattr(trt.Builder, "build_serialized_network_to_stream", to_stream, raising=False)
    model()
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *mode, **more: Full() if self.name == "m.plan" else opened(self, *mode, **more))
    with pytest.raises(OSError, match="No space left"):
        build()


def test_a_failing_progress_callback_does_not_cancel_the_build(monkeypatch):
    def refused(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build_plan.progress, "report", refused)
    monitor = build_plan._monitor(importlib.import_module("tensorrt_rtx"))
    monitor.phase_start("whole", None, 3)
    assert monitor.step_complete("whole", 0)
