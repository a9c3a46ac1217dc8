"""Trying an ONNX Runtime before a server is started with it: another function table ends in a sentence, and not in a crash."""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.reference
import pytest

from tests.support.command import CHECKOUT
from tritonize.core.errors import MissingError
from tritonize.triton.server import native_backend
from tritonize.triton.server.native_backend import NativeBackend

SOURCES = CHECKOUT / "tritonize/backends/onnxruntime/native"
SHUFFLED = CHECKOUT / "tests/support/shuffled_onnxruntime.c"


def slots() -> dict[str, int]:
    """The place of each function in the table, as the backend has it."""
    text = (SOURCES / "ort_abi.h").read_text()
    return {name: int(slot) for slot, name in re.findall(r"X\((\d+), [^,]+, (\w+),", text)}


@pytest.fixture
def native() -> NativeBackend:
    return native_backend.find()


def test_the_installed_onnx_runtime_passes(native: NativeBackend, tmp_path: Path) -> None:
    native_backend._require_usable(native, log=tmp_path / "log")
    assert (tmp_path / "log").read_text().splitlines()[-1] == native.version


def test_every_function_of_the_table_is_called() -> None:
    """What the probe does not call it cannot try."""
    probe = (SOURCES / "probe.c").read_text()
    assert len(slots()) > 50
    assert [name for name in slots() if not re.search(rf"\b{name}\b", probe)] == []


def test_each_function_has_a_place_of_its_own() -> None:
    assert len(set(slots().values())) == len(slots())


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler cc")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SessionGetInputCount", "SessionGetOutputName"),  # of other arguments
        ("SessionGetInputName", "SessionGetOutputName"),  # of the same arguments
        ("EnableMemPattern", "SetSessionGraphOptimizationLevel"),
        ("Run", "CreateSession"),
        ("GetTensorMutableData", "GetStringTensorDataLength"),
        ("ReleaseValue", "CreateRunOptions"),
        ("GetErrorMessage", "ReleaseStatus"),
    ],
)
def test_another_order_ends_in_a_sentence(first: str, second: str, native: NativeBackend, tmp_path: Path) -> None:
    """Two options of which neither can be read back, such as the number of threads and the memory pattern, are not told apart."""
    library = tmp_path / native.onnxruntime.name
    places = [f"-DFIRST={slots()[first]}", f"-DSECOND={slots()[second]}", f'-DREAL="{native.onnxruntime}"']
    subprocess.run(["cc", "-shared", "-fPIC", *places, "-o", str(library), str(SHUFFLED), "-ldl"], check=True, timeout=60)
    with pytest.raises(MissingError) as caught:
        native_backend._require_usable(dataclasses.replace(native, onnxruntime=library), log=tmp_path / "log")
    assert caught.value.code == "server-onnxruntime-unusable"
    assert re.match(rf"ONNX Runtime {re.escape(native.version)}\b.*(function table|crashed|failed)", str(caught.value.found))


def test_the_model_of_the_probe_is_what_its_comment_says() -> None:
    """Y = X + W and T = S."""
    text = re.search(r"static const char model\[\] =\n(.*?);", (SOURCES / "probe.c").read_text(), re.DOTALL)
    assert text
    content = b"".join(ast.literal_eval(f"b{line.strip()}") for line in text[1].splitlines())
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert [value.name for value in model.graph.input] == ["X", "S", "W"]
    feeds = {"X": np.array([[1, 2], [3, 4]], np.float32), "S": np.array(["a", "bcd"], dtype=object)}
    found = dict(zip(("T", "Y"), onnx.reference.ReferenceEvaluator(model).run(["T", "Y"], feeds), strict=True))
    assert found["Y"].tolist() == [[11, 22], [13, 24]]
    assert found["T"].tolist() == ["a", "bcd"]
