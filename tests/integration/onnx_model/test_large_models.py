"""Weights that are too large for one file: with a lowered limit, since the real one is 2 GiB (`make bench` runs that)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonize.core.errors import UsageError
from tritonize.onnx_model import tasks
from tritonize.onnx_model.tasks import FinishRequest, FinishResult
from tritonize.process import workers

WIDTH = 256
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.standard_normal((WIDTH, WIDTH), dtype=np.float32) for name in ("first", "second")}
CONSTANT = RNG.standard_normal((1, WIDTH, WIDTH), dtype=np.float32)
LIMIT = 100_000


def model() -> onnx.ModelProto:
    """x [batch, 256] through two weights, and a large constant in a node."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], name="a"),
        helper.make_node("MatMul", ["a", "second"], ["b"], name="b"),
        helper.make_node("Constant", [], ["c"], name="c", value=numpy_helper.from_array(CONSTANT, "c")),
        helper.make_node("Squeeze", ["c"], ["d"], name="d"),
        helper.make_node("MatMul", ["b", "d"], ["y"], name="y"),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(values, name) for name, values in WEIGHTS.items()]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def finish(source: Path, **fields) -> FinishResult:
    target = Path("finished")
    target.mkdir(exist_ok=True)
    request = FinishRequest(exported=source, path=target / "model.onnx", simplify=True, opset=18, **fields)
    return workers.run_worker(tasks.FINISH, request, directory=target, deadline_s=60).value


@pytest.fixture(params=["inside", "one file", "a file each"])
def exported(request) -> Path:
    """The model as exporters write it."""
    folder = Path("exported")
    folder.mkdir()
    path = folder / "model.onnx"
    if request.param == "inside":
        onnx.save(model(), path)
    else:
        onnx.save_model(
            model(), path, save_as_external_data=True, all_tensors_to_one_file=request.param == "one file", size_threshold=0
        )
    return path


def expected(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS["first"] @ WEIGHTS["second"] @ CONSTANT[0]


def test_one_data_file_has_all_weights(exported):
    answer = finish(exported, inline_limit=LIMIT)
    assert answer.data == "model.onnx.data"
    assert not answer.simplified
    finished = onnx.load("finished/model.onnx", load_external_data=False)
    assert Path("finished/model.onnx").stat().st_size < 4096
    references = [{entry.key: entry.value for entry in tensor.external_data} for tensor in finished.graph.initializer]
    assert {each["location"] for each in references} == {"model.onnx.data"}
    assert all(int(each["offset"]) % 65536 == 0 for each in references)
    x = RNG.standard_normal((3, WIDTH), dtype=np.float32)
    session = onnxruntime.InferenceSession("finished/model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected(x), rtol=1e-4, atol=1e-2)
    assert not list(Path("exported").iterdir())  # the disk need not hold it twice


def test_the_source_is_not_moved_and_a_small_model_has_no_data_file(exported):
    before = sorted(path.name for path in exported.parent.iterdir())
    answer = finish(exported, consume=False)
    assert answer.data is None
    assert answer.simplified
    assert sorted(path.name for path in exported.parent.iterdir()) == before
    shutil.rmtree(exported.parent)
    x = RNG.standard_normal((2, WIDTH), dtype=np.float32)
    session = onnxruntime.InferenceSession("finished/model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected(x), rtol=1e-4, atol=1e-2)


def test_a_second_export_gives_the_same_bytes():
    contents = []
    for number in range(2):
        folder = Path(f"exported{number}")
        folder.mkdir()
        onnx.save(model(), folder / "model.onnx")
        finish(folder / "model.onnx", inline_limit=LIMIT)
        contents.append([Path(f"finished/model.onnx{suffix}").read_bytes() for suffix in ("", ".data")])
    assert contents[0] == contents[1]


def test_truncated_external_data_is_an_error():
    folder = Path("exported")
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save_model(model(), path, save_as_external_data=True, size_threshold=0, location="weights")
    weights = folder / "weights"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for limit in (LIMIT, 1 << 30):
        with pytest.raises(UsageError, match="shorter than its tensors"):
            finish(path, inline_limit=limit)
