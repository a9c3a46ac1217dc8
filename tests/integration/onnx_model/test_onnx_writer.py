from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tritonize.onnx_model.worker import writer


def model(sizes: list[int]) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    weights = [numpy_helper.from_array(generator.standard_normal(size).astype(np.float32), f"w{size}") for size in sizes]
    node = helper.make_node("Identity", ["x"], ["y"], name="n")
    value = [helper.make_tensor_value_info(name, 1, ["batch", 3]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", value[:1], value[1:], weights)
    function = helper.make_function(
        "local", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    return helper.make_model(graph, functions=[function], opset_imports=[helper.make_opsetid("", 18)], producer_name="p")


@pytest.mark.parametrize("sizes", [[], [10], [100_000], [10, 20_000, 100_000, 7, 4_200_000]])
def test_the_written_file_equals_the_model(sizes, tmp_path):
    original = model(sizes)
    kept = original.SerializeToString(deterministic=True)
    writer.write(original, tmp_path / "m.onnx")
    assert original.SerializeToString(deterministic=True) == kept
    assert (tmp_path / "m.onnx").stat().st_size == original.ByteSize()
    found = onnx.load(tmp_path / "m.onnx")
    by_name = {tensor.name: tensor.SerializeToString() for tensor in original.graph.initializer}
    assert {tensor.name: tensor.SerializeToString() for tensor in found.graph.initializer} == by_name
    for each in (original, found):
        del each.graph.initializer[:]
    assert found == original
    onnx.checker.check_model(str(tmp_path / "m.onnx"))


def test_two_writes_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        writer.write(model([30_000, 5]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
