"""An index that no row belongs to: the error names the integers that were sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonize.core.errors import ExportError
from tritonize.onnx_model.worker import session


def test_the_error_names_the_inputs_and_their_integers() -> None:
    nodes = [helper.make_node("Add", ["tokens", "one"], ["next"]), helper.make_node("Gather", ["table", "next"], ["y"])]
    weights = [numpy_helper.from_array(np.ones(()).astype(np.int64), "one"), numpy_helper.from_array(np.zeros((9, 2)), "table")]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["batch", 2])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), "m.onnx")
    opened = session.session(Path("m.onnx"), ())
    with pytest.raises(ExportError) as error:
        session.run_batch(opened, {"tokens": np.array([0, 8])}, 2)
    assert error.value.code == "onnxruntime-index-outside"
    assert "tokens 0 to 8" in str(error.value.cause)
    assert "range:" in str(error.value.next_step)
