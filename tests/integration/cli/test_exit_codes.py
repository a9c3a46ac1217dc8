"""One cause, one exit code, whichever command meets it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.command import tritonize

INPUT = ("--input", "x:fp32:1x4", "--max-batch-size", "2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "build": ("build", "m.onnx", *INPUT),
    "inspect": ("inspect", "m.onnx"),
    "check": ("check", "m.onnx", "m.onnx", *INPUT),
    "locate": ("locate", "m.onnx", "good.onnx"),
    "plan build": ("plan", "build", "--request", "r.json", "--out", "out"),
}


def graph() -> onnx.ModelProto:
    """y = x + w."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    weight = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    made = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"], name="add")], "g", [x], [y], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def without_data() -> None:
    onnx.save(graph(), "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    Path("m.data").unlink()


def data_outside() -> None:
    onnx.save(graph(), "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    model = onnx.load("m.onnx", load_external_data=False)
    (place,) = (each for each in model.graph.initializer[0].external_data if each.key == "location")
    place.value = "../m.data"
    Path("m.onnx").write_bytes(model.SerializeToString())


def no_onnx() -> None:
    Path("m.onnx").write_bytes(b"\xff\xfe no protobuf")


def no_file() -> None:
    Path("m.onnx").unlink(missing_ok=True)


CAUSES: dict[str, tuple[Callable[[], None], int, str]] = {
    "external data missing": (without_data, 2, "external data is missing"),
    "external data outside": (data_outside, 2, "outside the file's folder"),
    "no ONNX file": (no_onnx, 2, "The file is not an ONNX file"),
    "no file": (no_file, 2, "m.onnx"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("cause", CAUSES)
def test_every_command_exits_with_the_code_of_the_cause(
    cause: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, code, words = CAUSES[cause]
    onnx.save(graph(), "good.onnx")
    make()
    request = {"onnx": "m.onnx", "module": "tensorrt_rtx", "profiles": [], "compute_capabilities": ["8.6"]}
    Path("r.json").write_text(json.dumps({"schema": 1, **request}))
    done = tritonize(*COMMANDS[command])
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())


def test_a_port_in_use_is_exit_code_7(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `serve`, which tests/integration/cli/test_cli.py has."""
    monkeypatch.chdir(tmp_path)
    onnx.save(graph(), "good.onnx")
    pytest.importorskip("netron")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = tritonize("view", "good.onnx", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 7, done.stderr
