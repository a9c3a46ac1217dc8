"""What is read off an ONNX file without onnx: the data files it names, wherever in it, and the types it declares."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonize.core import onnx_protobuf
from tritonize.core.errors import UsageError


def outside(name: str, location: str, offset: int = 0) -> TensorProto:
    """A tensor of four numbers that lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", str(offset)), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def constant(output: str, location: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [output], value=outside("", location))


def saved(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = (), **fields) -> Path:
    """m.onnx; an intermediate value is called `location`, which has the same bytes as the name of the key."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y", "location")]
    graph = helper.make_graph(list(nodes), "g", value[:1], value[1:2], list(weights), value_info=value[2:])
    model = helper.make_model(graph, **{"opset_imports": [helper.make_opsetid("", 18)], **fields})
    helper.set_model_props(model, {"location": "elsewhere"})
    Path("m.onnx").write_bytes(model.SerializeToString())
    return Path("m.onnx")


def named(path: Path) -> list[str]:
    return [str(each) for each in onnx_protobuf.data_files(path)]


def test_a_file_without_external_data_names_no_file():
    inside = numpy_helper.from_array(np.frombuffer(b"\x0a\x08location\x12\x01a" * 4, np.uint8), "w")
    assert named(saved(helper.make_node("Identity", ["x"], ["y"]), weights=(inside,))) == []


def test_data_files_are_listed_once_and_sorted():
    tensors = (outside("b", "weights.bin"), outside("a", "parts/deep/one.bin"), outside("c", "weights.bin", 16), outside("d", "a"))
    assert named(saved(weights=tensors)) == ["a", "parts/deep/one.bin", "weights.bin"]


def test_data_files_are_relative_to_the_folder_of_the_file(tmp_path):
    Path("sub").mkdir()
    saved(weights=(outside("a", "w.bin"),)).rename("sub/m.onnx")
    assert onnx_protobuf.data_files(tmp_path / "sub" / "m.onnx") == [tmp_path / "sub" / "w.bin"]


def test_data_files_of_subgraphs_attributes_functions_and_sparse_tensors_are_found():
    branches = {
        f"{name}_branch": helper.make_graph([constant("c", f"{name}.bin")], name, [], [helper.make_tensor_value_info("c", 1, [4])])
        for name in ("then", "else")
    }
    function = helper.make_function("own", "F", ["a"], ["b"], [constant("b", "function.bin")], [helper.make_opsetid("", 18)])
    sparse = onnx.SparseTensorProto(values=outside("s", "values.bin"), indices=outside("i", "indices.bin"), dims=[8])
    path = saved(helper.make_node("If", ["x"], ["y"], **branches), functions=[function])
    model = onnx.load(path, load_external_data=False)
    model.graph.sparse_initializer.append(sparse)
    path.write_bytes(model.SerializeToString())
    assert named(path) == ["else.bin", "function.bin", "indices.bin", "then.bin", "values.bin"]


def test_a_file_that_is_not_onnx_names_no_data_file():
    for content in (b"", b"hello, location", b"\x0a\x08location", b"\xff" * 40 + b"\x0a\x08location"):
        Path("m.onnx").write_bytes(content)
        assert named(Path("m.onnx")) == []
    whole = saved(weights=(outside("a", "w.bin"),)).read_bytes()
    for size in range(len(whole)):
        Path("m.onnx").write_bytes(whole[:size])
        assert set(named(Path("m.onnx"))) <= {"w.bin"}


@pytest.mark.parametrize("location", ["/etc/hostname", "../w.bin", "a/../../w.bin"])
def test_a_data_file_outside_the_folder_is_rejected(location):
    with pytest.raises(UsageError) as error:
        onnx_protobuf.data_files(saved(weights=(outside("a", location),)))
    assert error.value.found == location


def test_the_hash_covers_all_data_files():
    path = saved(weights=(outside("a", "m.onnx.data"),))
    Path("m.onnx.data").write_bytes(bytes(16))
    parts = b"".join(hashlib.sha256(Path(name).read_bytes()).digest() for name in ("m.onnx", "m.onnx.data"))
    assert onnx_protobuf.sha256(path) == hashlib.sha256(parts).hexdigest()
    Path("folder").mkdir()
    path = saved(weights=(outside("a", "weights.bin"), outside("b", "folder/more.bin")))
    for name in ("weights.bin", "folder/more.bin"):
        Path(name).write_bytes(bytes(16))
    seen = {onnx_protobuf.sha256(path)}
    for name in ("weights.bin", "folder/more.bin"):
        Path(name).write_bytes(b"\x01" * 16)
        seen.add(onnx_protobuf.sha256(path))
    assert len(seen) == 3


def test_types_are_read_for_inputs_and_outputs_without_weights():
    kinds = {"x": TensorProto.DOUBLE, "n": TensorProto.INT64, "w": TensorProto.FLOAT, "y": TensorProto.BFLOAT16}
    values = [helper.make_tensor_value_info(name, kind, ["batch", 4]) for name, kind in kinds.items()]
    many = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, [4])  # of no one type
    weight = numpy_helper.from_array(np.ones((2, 4), np.float32), "w")
    graph = helper.make_graph([], "g", values[:3], [values[3], many], [weight])  # an input too, as in files of old
    onnx.save(helper.make_model(graph), "m.onnx")
    assert onnx_protobuf.types(Path("m.onnx")) == {"x": TensorProto.DOUBLE, "n": TensorProto.INT64, "y": TensorProto.BFLOAT16}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_types_of_a_truncated_file_are_an_error(kept):
    path = saved(weights=(outside("a", "w.bin"),))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=r"longer than its message|ends inside"):
        onnx_protobuf.types(path)


def test_an_empty_file_declares_nothing():
    Path("m.onnx").touch()
    assert onnx_protobuf.types(Path("m.onnx")) == {}
