"""The node an error comes from: planted faults in single nodes, parts within a bound, modules, and what to keep in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper
import onnxruntime
import pytest
import typer
from onnx import TensorProto

from tests.support.command import tritonize
from tritonize.cli import locate as cli_locate
from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact, SampleSet, Source, TensorFiles, TensorSpec, from_json
from tritonize.core.error_location import FAR, Location, NodeError, as_text
from tritonize.core.errors import UsageError
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check, TensorCheck
from tritonize.core.stages import StageName
from tritonize.locate import bisection, tracing
from tritonize.locate.search import failing, locate, to_keep
from tritonize.locate.tasks import Captured, ErrorsRequest, ErrorsResult, ModuleTensor
from tritonize.locate.worker import node_errors
from tritonize.locate.worker.module_tensors import NodeMap, Tensors
from tritonize.locate.worker.subgraphs import Graph
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.baseline import Baseline
from tritonize.spec import editing, loader, schema
from tritonize.workflows import keep_fp32

RNG = np.random.default_rng(5)
Edit = Callable[[onnx.ModelProto], None]


class Net:
    """A graph under construction: every node has the name of its output with the prefix `n_`."""

    def __init__(self, **inputs: tuple[int, ...]) -> None:
        self.nodes, self.weights, self.inputs = [], [], inputs

    def weight(self, name: str, *shape: int, value=None) -> str:
        array = RNG.standard_normal(shape) / max(1.0, np.sqrt(np.prod(shape[1:]))) if value is None else np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, output: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        names = [output, *(f"{output}_{position}" for position in range(1, outputs))]
        self.nodes.append(oh.make_node(operator, list(inputs), names, f"n_{output}", **attributes))
        return output

    def model(self, *outputs: str) -> onnx.ModelProto:
        inputs = [oh.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.inputs.items()]
        graph = oh.make_graph(
            self.nodes, "net", inputs, [onnx.ValueInfoProto(name=each) for each in outputs], initializer=self.weights
        )
        model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 20)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)


def convolutions() -> onnx.ModelProto:
    """Convolutions, batch normalization, a residual block, a pool, a classifier."""
    net = Net(x=(1, 3, 8, 8))
    net.add("Conv", "c1", "x", net.weight("w1", 6, 3, 3, 3), net.weight("b1", 6), pads=[1, 1, 1, 1])
    stats = [net.weight("s", value=RNG.uniform(0.5, 2, 6)), net.weight("o", 6), net.weight("m", 6)]
    net.add("BatchNormalization", "bn", "c1", *stats, net.weight("v", value=RNG.uniform(0.5, 2, 6)), epsilon=1e-5)
    net.add("LeakyRelu", "act", "bn", alpha=0.1)
    net.add("Conv", "c2", "act", net.weight("w2", 6, 6, 3, 3), net.weight("b2", 6), pads=[1, 1, 1, 1])
    net.add("Clip", "clip", "c2", net.weight("low", value=np.float32(-1)), net.weight("high", value=np.float32(1)))
    net.add("Add", "sum", "clip", "act")
    net.add("AveragePool", "pool", "sum", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=0)
    net.add("Sub", "sub", "pool", "sum")
    net.add("GlobalAveragePool", "mean", "sub")
    net.add("Flatten", "flat", "mean")
    net.add("Gemm", "logits", "flat", net.weight("wg", 4, 6), net.weight("bg", 4), transB=1)
    net.add("Softmax", "y", "logits", axis=1)
    return net.model("y")


def attention() -> onnx.ModelProto:
    """One attention block with a token embedding, layer normalization and a gelu."""
    net = Net(x=(1, 8, 8))
    ids = net.weight("ids", value=np.array([3, 1, 0, 2, 7, 5, 4, 6], np.int64))
    net.add("Gather", "position", net.weight("table", 8, 8), ids, axis=0)
    net.add("Add", "embedded", "x", "position")
    net.add(
        "LayerNormalization",
        "norm",
        "embedded",
        net.weight("ls", value=np.ones(8)),
        net.weight("lb", 8),
        epsilon=1e-5,
    )
    for each in "qkv":
        net.add("MatMul", each, "norm", net.weight(f"w{each}", 8, 8))
    net.add("Transpose", "kt", "k", perm=[0, 2, 1])
    net.add("MatMul", "scores", "q", "kt")
    net.nodes.append(oh.make_node("Constant", [], ["root"], "n_root", value_float=8**0.5))
    net.add("Div", "scaled", "scores", "root")
    net.add("Softmax", "weights", "scaled", axis=-1)
    net.add("MatMul", "mixed", "weights", "v")
    net.add("Add", "residual", "mixed", "embedded")
    net.add("Gelu", "gelu", "residual")
    net.add("ReduceMean", "y", "gelu", net.weight("axes", value=np.array([1], np.int64)), keepdims=0)
    return net.model("y")


def recurrent() -> onnx.ModelProto:
    """A GRU after an LSTM, over six steps."""
    net = Net(x=(6, 1, 5))
    net.add(
        "LSTM",
        "lstm",
        "x",
        net.weight("lw", 1, 16, 5),
        net.weight("lr", 1, 16, 4),
        net.weight("lbias", 1, 32),
        hidden_size=4,
    )
    net.add("Squeeze", "steps", "lstm", net.weight("one", value=np.array([1], np.int64)))
    gates = [net.weight("gw", 1, 9, 4), net.weight("gr", 1, 9, 3), net.weight("gb", 1, 18)]
    net.add("GRU", "gru", "steps", *gates, outputs=2, hidden_size=3, linear_before_reset=1)
    net.add("Tanh", "y", "gru_1")
    return net.model("y")


def volume() -> onnx.ModelProto:
    """A 3-D U-Net with one level."""
    net = Net(x=(1, 1, 8, 8, 8))
    net.add("Conv", "down", "x", net.weight("d", 4, 1, 3, 3, 3), net.weight("db", 4), pads=[1] * 6)
    net.add(
        "InstanceNormalization",
        "norm",
        "down",
        net.weight("is", value=np.ones(4)),
        net.weight("ib", 4),
        epsilon=1e-5,
    )
    net.add("Relu", "relu", "norm")
    net.add("MaxPool", "pool", "relu", kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    net.add("Conv", "deep", "pool", net.weight("e", 8, 4, 3, 3, 3), net.weight("eb", 8), pads=[1] * 6)
    net.add("Elu", "elu", "deep", alpha=1.0)
    net.add("ConvTranspose", "up", "elu", net.weight("u", 8, 4, 2, 2, 2), net.weight("ub", 4), strides=[2, 2, 2])
    net.add("Concat", "cat", "up", "relu", axis=1)
    net.add("Conv", "out", "cat", net.weight("f", 2, 8, 1, 1, 1), net.weight("fb", 2))
    net.add("Resize", "big", "out", "", net.weight("scales", value=np.array([1, 1, 2, 2, 2], np.float32)), mode="linear")
    net.add("Sigmoid", "y", "big")
    return net.model("y")


GRAPHS = {each.__name__: each() for each in (convolutions, attention, recurrent, volume)}


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(each for each in model.graph.node if each.name == name)


def weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.name == name)
        changed = np.asarray(change(onnx.numpy_helper.to_array(tensor).copy()))
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, name))

    return edit


def zeroed(array: np.ndarray) -> np.ndarray:
    array[2] = 0
    return array


def attribute(name: str, **changes) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        changed = node(model, name)
        kept = [each for each in changed.attribute if each.name not in changes]
        del changed.attribute[:]
        changed.attribute.extend([*kept, *(oh.make_attribute(key, value) for key, value in changes.items() if value is not None)])

    return edit


def swapped(name: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        changed = node(model, name)
        changed.input[:] = [changed.input[1], changed.input[0], *changed.input[2:]]

    return edit


def operator(name: str, kind: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        changed = node(model, name)
        changed.op_type = kind
        del changed.attribute[:]

    return edit


def rounded(name: str, kind: int, where: str) -> Edit:
    """Cast a node's output, or its input, to another type and back."""

    def edit(model: onnx.ModelProto) -> None:
        changed = node(model, name)
        position = list(model.graph.node).index(changed)
        tensor = changed.output[0] if where == "after" else changed.input[0]
        there = oh.make_node("Cast", [f"{tensor}_raw" if where == "after" else tensor], [f"{tensor}_low"], "planted", to=kind)
        back = oh.make_node("Cast", [f"{tensor}_low"], [tensor if where == "after" else f"{tensor}_back"], "planted_back", to=1)
        if where == "after":
            changed.output[0] = f"{tensor}_raw"
        else:
            changed.input[0] = f"{tensor}_back"
        nodes = list(model.graph.node)
        nodes[position + (where == "after") : position + (where == "after")] = [there, back]
        kept = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
        del model.graph.node[:]
        model.graph.node.extend(kept)

    return edit


FAULTS: list[tuple[str, str, Edit]] = [
    ("convolutions", "n_c1", weight("w1", lambda array: array * np.float32(1 + 1e-3))),
    ("convolutions", "n_c2", weight("w2", zeroed)),
    ("convolutions", "n_c2", weight("b2", lambda array: -array)),
    ("convolutions", "n_bn", attribute("n_bn", epsilon=1e-3)),
    ("convolutions", "n_act", attribute("n_act", alpha=0.11)),
    ("convolutions", "n_act", operator("n_act", "Elu")),
    ("convolutions", "n_clip", weight("high", lambda array: np.float32(0.9))),
    ("convolutions", "n_sub", swapped("n_sub")),
    ("convolutions", "n_pool", attribute("n_pool", count_include_pad=1)),
    ("convolutions", "n_logits", weight("wg", lambda array: array[::-1].copy())),
    ("convolutions", "n_logits", attribute("n_logits", alpha=1.01)),
    ("convolutions", "planted", rounded("n_c2", TensorProto.FLOAT16, "after")),
    ("convolutions", "planted", rounded("n_pool", TensorProto.FLOAT16, "before")),
    ("attention", "n_position", weight("ids", lambda array: np.roll(array, 1))),
    ("attention", "n_norm", attribute("n_norm", epsilon=1e-2)),
    ("attention", "n_kt", attribute("n_kt", perm=[0, 1, 2])),
    ("attention", "n_scores", swapped("n_scores")),
    ("attention", "n_root", attribute("n_root", value_float=8.0)),
    ("attention", "n_scaled", swapped("n_scaled")),
    ("attention", "n_weights", attribute("n_weights", axis=1)),
    ("attention", "n_gelu", attribute("n_gelu", approximate="tanh")),
    ("attention", "n_y", operator("n_y", "ReduceMax")),
    ("recurrent", "n_lstm", weight("lbias", lambda array: array * np.float32(1.01))),
    ("recurrent", "n_gru", attribute("n_gru", linear_before_reset=0)),
    ("recurrent", "n_y", operator("n_y", "Sigmoid")),
    ("volume", "n_down", attribute("n_down", pads=[0, 1, 1, 2, 1, 1])),
    ("volume", "n_norm", attribute("n_norm", epsilon=1e-1)),
    ("volume", "n_elu", attribute("n_elu", alpha=0.9)),
    ("volume", "n_cat", swapped("n_cat")),
    ("volume", "n_up", weight("u", lambda array: array[:, :, ::-1].copy())),
    ("volume", "n_big", attribute("n_big", mode="nearest")),
    ("volume", "n_pool", attribute("n_pool", strides=[2, 2, 1])),  # another shape, and the rest does not run
]


def batches(model: onnx.ModelProto, directory: Path, count: int = 2, scale: float = 1.0) -> SampleSet:
    """Samples of a graph with one input."""
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    drawn = [{"x": (scale * np.random.default_rng(seed).standard_normal(dims)).astype(np.float32)} for seed in range(count)]
    files = TensorFiles(directory=directory / "samples", tensors=(arrays.spec_of("x", drawn[0]["x"]),), count=count)
    for index, each in enumerate(drawn):
        arrays.save(files, index, each)
    return SampleSet(files=files, batched=False, origin="test")


def compared(expected: onnx.ModelProto, found: onnx.ModelProto, *, part_bytes: int = 1 << 20, folder: str = "work") -> ErrorsResult:
    """The worker's result for two graphs."""
    directory = Path(folder)
    directory.mkdir()
    for name, model in (("a", expected), ("b", found)):
        (directory / f"{name}.onnx").write_bytes(model.SerializeToString())
    return node_errors.compare(
        ErrorsRequest(
            found=directory / "b.onnx",
            expected=directory / "a.onnx",
            samples=batches(expected, directory),
            batches=((0,), (1,)),
            directory=directory / "values",
            part_bytes=part_bytes,
        )
    )


def origin(answer: ErrorsResult) -> NodeError | None:
    return next((each for each in answer.series if each.exceeds), None)


@pytest.mark.parametrize(
    ("graph", "named", "edit"), FAULTS, ids=[f"{graph}-{named}-{i}" for i, (graph, named, _) in enumerate(FAULTS)]
)
def test_a_fault_in_one_node_is_found_at_that_node(graph, named, edit):
    expected, found = GRAPHS[graph], onnx.ModelProto()
    found.CopyFrom(expected)
    edit(found)
    answer = compared(expected, found)
    first = origin(answer)
    assert first is not None
    assert first.node == named
    assert first.difference  # it describes the planted fault
    wrong = [each.node for each in answer.series if each.exceeds]
    assert wrong == [named]  # and no other node is blamed


@pytest.mark.parametrize("graph", GRAPHS)
def test_equal_graphs_have_no_origin_and_no_error(graph):
    answer = compared(GRAPHS[graph], GRAPHS[graph])
    assert len(answer.series) == answer.nodes
    assert all(each.own == each.total == each.propagated == each.inputs == 0 for each in answer.series)


def copied(model: onnx.ModelProto, *edits: Edit) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for edit in edits:
        edit(copy)
    return copy


def test_of_two_faults_the_first_is_the_origin_and_the_larger_one_the_largest():
    model = GRAPHS["volume"]
    found = copied(model, attribute("n_elu", alpha=0.99), swapped("n_cat"))
    answer = compared(model, found)
    assert origin(answer).node == "n_elu"
    assert max(answer.series, key=lambda each: each.own).node == "n_cat"


def test_a_nodes_own_error_is_separated_from_the_inherited_one():
    model = GRAPHS["convolutions"]
    answer = compared(model, copied(model, weight("w1", lambda array: array * np.float32(1.5))))
    by_name = {each.node: each for each in answer.series}
    assert by_name["n_c1"].own > 0.1
    assert by_name["n_c1"].inputs == by_name["n_c1"].propagated == 0
    for name in ("n_bn", "n_c2", "n_y"):
        assert by_name[name].own == 0
        assert by_name[name].propagated == by_name[name].total > 1e-3
    assert by_name["n_bn"].inputs == by_name["n_c1"].total


def test_a_folded_normalization_is_not_an_error():
    onnxslim = pytest.importorskip("onnxslim")
    model = GRAPHS["convolutions"]
    answer = compared(model, onnxslim.slim(copied(model)))
    assert answer.nodes == len(model.graph.node) - 1
    assert origin(answer) is None
    assert answer.series[0].own > 0  # it was computed another way, and that is seen


def with_subgraphs() -> onnx.ModelProto:
    """An If whose branches take a tensor from outside, a Loop, and a sequence between nodes."""
    net = Net(x=(4, 6))
    net.add("Mul", "t", "x", net.weight("w", 4, 6))
    net.add("ReduceSum", "sum", "t", keepdims=0)
    net.add("Greater", "positive", "sum", net.weight("zero", value=np.float32(0)))
    then = oh.make_graph(
        [oh.make_node("Mul", ["t", "factor"], ["then_out"], "inner")],
        "then",
        [],
        [onnx.ValueInfoProto(name="then_out")],
        initializer=[onnx.numpy_helper.from_array(np.float32(2.0).reshape(1), "factor")],
    )
    other = oh.make_graph(
        [oh.make_node("Neg", ["t"], ["else_out"], "inner_else")], "else", [], [onnx.ValueInfoProto(name="else_out")]
    )
    net.add("If", "branch", "positive", then_branch=then, else_branch=other)
    body = oh.make_graph(
        [
            oh.make_node("Identity", ["go"], ["go_on"]),
            oh.make_node("Add", ["state", "t"], ["next"], "inner_add"),
            oh.make_node("Identity", ["next"], ["scan"]),
        ],
        "body",
        [
            oh.make_tensor_value_info("number", TensorProto.INT64, []),
            oh.make_tensor_value_info("go", TensorProto.BOOL, []),
            oh.make_tensor_value_info("state", TensorProto.FLOAT, [4, 6]),
        ],
        [onnx.ValueInfoProto(name=name) for name in ("go_on", "next", "scan")],
    )
    trips, go = net.weight("trips", value=np.int64(3)), net.weight("yes", value=np.bool_(True))
    net.add("Loop", "loop", trips, go, "branch", outputs=2, body=body)
    net.add("SplitToSequence", "parts", "loop", axis=0)
    net.add("ConcatFromSequence", "joined", "parts", axis=1)
    net.add("Tanh", "y", "joined")
    return net.model("y")


def inside(name: str, change: Callable[[onnx.GraphProto], None]) -> Edit:
    return lambda model: change(node(model, name).attribute[0].g)


def other_factor(graph: onnx.GraphProto) -> None:
    graph.node[0].op_type = "Div"


def other_step(graph: onnx.GraphProto) -> None:
    graph.node[1].op_type = "Sub"


@pytest.mark.parametrize(
    ("named", "edit"),
    [
        (None, lambda model: None),
        ("n_t", weight("w", lambda array: array * np.float32(1.01))),
        ("n_loop", inside("n_loop", other_step)),
        ("n_joined", attribute("n_joined", axis=0)),
    ],
)
@pytest.mark.parametrize("part_bytes", [1, 1 << 20])
def test_a_node_with_subgraphs_is_one_node(named, edit, part_bytes):
    model = with_subgraphs()
    answer = compared(model, copied(model, edit), part_bytes=part_bytes)
    assert (origin(answer).node if origin(answer) else None) == named
    compared_nodes = {each.node for each in answer.series}
    assert "n_branch" in compared_nodes
    assert "n_parts" not in compared_nodes  # a sequence is not a tensor, so it is compared with the node that consumes it
    if named == "n_joined":
        assert origin(answer).nodes == ("SplitToSequence n_parts", "ConcatFromSequence n_joined")


def test_a_fault_in_a_branch_is_found_where_the_branch_is_taken():
    model = with_subgraphs()
    branch = node(model, "n_branch")
    for each in branch.attribute:
        (inner,) = each.g.node
        assert inner.input[0] == "t"
    found = copied(model)
    for each in node(found, "n_branch").attribute:
        each.g.node[0].op_type, each.g.node[0].input[:] = "Abs", ["t"]
    first = origin(compared(model, found))
    assert (first.node, first.operator) == ("n_branch", "If")


def chain(length: int, size: int) -> onnx.ModelProto:
    net, last = Net(x=(1, size)), "x"
    for number in range(length):
        last = net.add("Mul" if number % 2 else "Add", f"t{number}", last, net.weight(f"w{number}", value=np.float32(0.9)))
    net.add("Add", "y", last, "t0")  # a skip from the beginning to the end
    return net.model("y")


def test_the_parts_stay_within_the_bound_and_give_the_same_errors():
    model = chain(40, 1 << 12)  # 16 KiB per tensor
    found = copied(model, weight("w17", lambda array: np.float32(0.8)))
    bound = 5 << 14
    small, large = compared(model, found, part_bytes=bound), compared(model, found, part_bytes=1 << 30, folder="whole")
    assert small.largest_part <= bound < large.largest_part
    assert small.parts > 3 * 41 // 6
    assert small.series == large.series
    assert origin(small).node == "n_t17"
    left = list(Path("work/values").rglob("*.npy"))
    assert len(left) <= 2 * 3  # values go as soon as nothing needs them: what is left is the last tensors, of two batches


def test_the_worst_failed_batch_is_compared():
    def check(sample: int, error: float, *, passed: bool, stage: StageName = StageName.ONNXRUNTIME) -> Check:
        shape = {"expected_shape": (1,), "found_shape": (1,), "expected_dtype": "fp32", "found_dtype": "fp32"}
        tensor = TensorCheck(name="y", passed=passed, reason=None, rtol=0, atol=0, max_abs=error, largest=2.0, **shape)
        return Check(stage=stage, batch_size=1, samples=(sample,), tensors=(tensor,))

    asked = [check(0, 1e-3, passed=True), check(1, 5e-3, passed=True), check(2, 9.0, passed=False, stage=StageName.GRPC)]
    assert failing(asked) == (1,)
    assert failing([*asked, check(3, 1e-4, passed=False), check(4, 1e-3, passed=False)]) == (4,)
    assert failing([]) == (0,)


def test_a_smaller_bound_takes_less_memory():
    model = chain(16, 1 << 20)  # 4 MiB per tensor, 68 MiB in all
    for name in ("a.onnx", "b.onnx"):
        Path(name).write_bytes(model.SerializeToString())
    drawn = batches(model, Path(), count=1)
    peaks = []
    for number, part_bytes in enumerate((8 << 20, 1 << 30)):
        limits = tracing.Limits(deadline_s=120, part_bytes=part_bytes)
        traced = tracing.errors(Path("b.onnx"), Path("a.onnx"), drawn, batches=[(0,)], directory=Path(str(number)), limits=limits)
        assert all(each.own == 0 for each in traced.series)
        peaks.append(traced.peak_memory)
    assert peaks[0] < peaks[1] - (40 << 20)


def artifact(path: Path, node_map: Path | None = None) -> OnnxArtifact:
    """A file as the export hands it on."""
    return OnnxArtifact(
        path=path, node_map=node_map, sha256="", size=0, opset=20, ir_version=10, inputs=(), outputs=(), exporter="",
        strategy="legacy", simplified=False,
    )  # fmt: skip


def test_weights_beside_the_file_are_read_part_by_part():
    model = GRAPHS["convolutions"]
    onnx.save(copied(model), "a.onnx", save_as_external_data=True, location="a.data", size_threshold=16)
    onnx.save(copied(model, weight("w2", zeroed)), "b.onnx", save_as_external_data=True, location="b.data", size_threshold=16)
    asked = schema.Model.model_validate({"source": "a.onnx", "inputs": {"x": {"shape": [1, 3, 8, 8]}}})
    source = Source(kind="onnx", location="a.onnx", sha256={})
    drawn = batches(model, Path())
    found = locate(asked, source, artifact(Path("b.onnx")), samples=drawn, work=Path("w"), batch=(1,), part_bytes=2048)
    assert (found.kind, found.origin.node, found.largest.node) == ("graphs", "n_c2", "n_c2")
    assert found.parts > 3


def test_graphs_without_a_common_name_are_an_error():
    model = GRAPHS["recurrent"]
    other = copied(model)
    for each in other.graph.node:
        each.name = ""
        each.input[:] = [f"q_{name}" if name in ("lstm", "steps", "gru_1") else name for name in each.input]
        each.output[:] = [f"q_{name}" for name in each.output]
    other.graph.output[0].name = "q_y"
    with pytest.raises(UsageError, match="No tensor of the graph has a counterpart"):
        compared(model, other)


def half(model: onnx.ModelProto, **options) -> onnx.ModelProto:
    """A graph in fp16, by ONNX Runtime's own tool."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(copied(model), keep_io_types=True, **options)


def overflowing() -> onnx.ModelProto:
    """Squares a large value and takes the root again: right in fp32, infinite in fp16."""
    net = Net(x=(1, 16))
    net.add("MatMul", "wide", "x", net.weight("w", value=400 * np.eye(16)))
    net.add("Mul", "square", "wide", "wide")
    net.add("ReduceMean", "mean", "square", net.weight("axes", value=np.array([1], np.int64)), keepdims=1)
    net.add("Sqrt", "root", "mean")
    net.add("Div", "unit", "wide", "root")
    net.add("MatMul", "y", "unit", net.weight("v", 16, 3))
    return net.model("y")


@pytest.mark.filterwarnings("ignore")
def test_rounding_of_a_reduced_graph_is_allowed_and_an_overflow_is_an_error():
    for graph in ("convolutions", "volume"):
        answer = compared(GRAPHS[graph], half(GRAPHS[graph]), folder=graph)
        assert origin(answer) is None
        assert max(each.total for each in answer.series) > 1e-4
    model = overflowing()
    answer = compared(model, half(model))
    first = origin(answer)
    assert (first.node, first.own) == ("n_square", FAR)
    assert first.reason.startswith("inf where ")
    kept = to_keep(answer.series)
    assert set(kept) == {"n_square", "n_mean", "n_root"}  # each has an output or an input beyond the range of fp16
    blocked = origin(compared(model, half(model, node_block_list=list(kept)), folder="blocked"))
    assert (blocked.operator, blocked.output) == ("Cast", "square")  # the tool casts between two nodes that it keeps: found too


def reduced_question(model: onnx.ModelProto, tolerance: float) -> tuple[OnnxArtifact, Baseline]:
    """A graph as a proven artifact, and its own outputs as the baseline of its reduced file."""
    Path("fp32.onnx").write_bytes(model.SerializeToString())
    output = TensorSpec(name="y", dtype="fp32", shape=(1, 16))
    drawn = batches(model, Path())
    session = onnxruntime.InferenceSession("fp32.onnx", providers=["CPUExecutionProvider"])
    expected = TensorFiles(directory=Path("expected"), tensors=(output,), count=2)
    for index in range(2):
        arrays.save(expected, index, {"y": session.run(None, dict(arrays.load(drawn.files, index)))[0]})
    rules = {"y": Rules(tolerance=schema.Tolerance(rtol=tolerance, atol=tolerance))}
    golden = GoldenSet(samples=drawn, expected=expected, max_batch_size=0, rules=rules)
    baseline = Baseline(golden=golden, source=Source(kind="onnx", location="fp32.onnx", sha256={}))
    return artifact(Path("fp32.onnx")), baseline


def test_the_nodes_that_must_stay_in_fp32_are_found_with_the_real_gate():
    net = Net(x=(1, 16))
    net.add("MatMul", "first", "x", net.weight("w1", 16, 16))
    net.add("Mul", "wide", "first", net.weight("large", value=np.float32(6e4)))
    net.add("Tanh", "second", "first")
    net.add("Mul", "narrow", "wide", net.weight("small", value=np.float32(1 / 3e4)))
    net.add("Add", "third", "narrow", "second")
    net.add("Gelu", "y", "third")
    model = net.model("y")
    whole, baseline = reduced_question(model, 5e-3)
    asked = schema.Model.model_validate({"source": "fp32.onnx", "precision": "fp16", "inputs": {"x": {"shape": [1, 16]}}})
    found = keep_fp32.repair(asked, whole, baseline, work=Path("w"))
    assert found.origin.node == "n_wide"
    assert found.origin.reason.startswith(("inf where", "-inf where"))
    assert found.keep_passes
    assert set(found.keep) == {"n_wide", "n_narrow"}  # one has an output, the other an input, beyond the range of fp16
    assert not list(Path("w/trials").glob("*"))


@pytest.mark.slow
def test_the_search_also_uses_bounds_on_metrics():
    """The tolerance accepts everything; the bound on the metric does not."""
    net = Net(x=(1, 16))
    net.add("MatMul", "first", "x", net.weight("w1", 16, 16))
    net.add("Mul", "wide", "first", net.weight("large", value=np.float32(100)))
    net.add("MatMul", "second", "x", net.weight("w2", 16, 16))
    net.add("Tanh", "third", "second")
    net.add("Mul", "narrow", "third", net.weight("small", value=np.float32(1e-3)))
    net.add("Add", "y", "wide", "narrow")
    whole, baseline = reduced_question(net.model("y"), 1e3)
    asked = schema.Model.model_validate({"source": "fp32.onnx", "precision": "fp16", "inputs": {"x": {"shape": [1, 16]}}})
    assert keep_fp32.repair(asked, whole, baseline, work=Path("tolerance")).keep == ()
    judged = GoldenSet(
        samples=baseline.samples,
        expected=baseline.golden.expected,
        max_batch_size=0,
        rules={"y": Rules(metrics={"max_abs": schema.Bound(max=1e-3)})},
        why_not="there is no PyTorch",
    )
    found = keep_fp32.repair(asked, whole, baseline, work=Path("metric"), tracker=ErrorTracker(judged))
    assert found.keep_passes
    assert {"n_first", "n_wide"} <= set(found.keep)
    assert not {"n_second", "n_third"} & set(found.keep)


def test_the_search_finds_a_small_set_that_is_not_a_prefix():
    names = [f"n{number}" for number in range(64)]
    for needed in ({"n63"}, {"n0", "n41"}, {"n5", "n6", "n40"}, set(), set(names[:9])):
        asked: list[frozenset[str]] = []

        def passes(kept: frozenset[str], needed=needed, asked=asked) -> bool:
            asked.append(kept)
            return needed <= kept

        found = bisection.smallest(names, passes)
        assert set(found.nodes) == needed
        assert found.minimal
        assert found.trials == len(asked) == len(set(asked))  # no set is evaluated twice


def test_the_search_is_bounded_and_returns_only_what_passed():
    names = [f"n{number}" for number in range(64)]
    needed, asked = {"n1", "n33", "n50"}, []

    def passes(kept: frozenset[str]) -> bool:
        asked.append((kept, needed <= kept))
        return needed <= kept

    found = bisection.smallest(names, passes, trials=14)
    assert len(asked) == found.trials == 14
    assert not found.minimal
    assert (frozenset(found.nodes), True) in asked
    assert len(found.nodes) < 64
    nothing = bisection.smallest(names, lambda kept: False)
    assert nothing.nodes is None
    assert not nothing.minimal


def test_a_gate_that_is_not_monotonic_still_gets_a_set_that_passed():
    names = [f"n{number}" for number in range(16)]

    def passes(kept: frozenset[str]) -> bool:
        return "n3" in kept and len(kept) % 2 == 0

    found = bisection.smallest(names, passes)
    assert passes(frozenset(found.nodes))
    assert len(found.nodes) == 2


SPEC_TEXT = """# the networks of one product
schema: 1
models:
  first:               # the old one
    source: "first.onnx"   # quoted
    max_batch_size: 0
    samples: {count: 2, seed: 1}
  second:
    source: second.onnx
    strategies:
      - dynamo   # the only one that works
      - legacy
    keep_fp32:
      operators: [Softmax]   # always
"""


@pytest.mark.parametrize("model", ["first", "second"])
def test_the_nodes_are_written_into_the_spec_and_its_comments_stay(model):
    path = Path("spec.yaml")
    path.write_text(SPEC_TEXT)
    editing.keep_in_fp32(path, model, ["n_square", "/net/mean"])
    written = path.read_text()
    lost = [line for line in SPEC_TEXT.splitlines() if line.rstrip() not in written]
    assert lost == []
    from ruamel.yaml import YAML

    plain, before = YAML(typ="safe").load(written), YAML(typ="safe").load(SPEC_TEXT)
    assert plain["models"][model]["keep_fp32"].pop("nodes") == ["n_square", "/net/mean"]
    if model == "first":
        del plain["models"]["first"]["keep_fp32"]
    assert plain == before
    with pytest.raises(UsageError, match="no such model"):
        editing.keep_in_fp32(path, "third", [])


HALF_SPEC = """schema: 1
models:
  net:
    source: a.onnx
    precision: fp16   # the card is old
    keep_fp32: {nodes: [n_first]}
    inputs: {x: {shape: [1, 8, 8]}}
"""


@pytest.mark.parametrize("write", [True, False])
def test_write_puts_the_nodes_that_passed_into_the_spec(write, monkeypatch):
    Path("a.onnx").write_bytes(GRAPHS["attention"].SerializeToString())
    Path("spec.yaml").write_text(HALF_SPEC)
    Path("w").mkdir()
    found = Location(expected="a", found="b", kind="graphs", keep=("n_wide", "n_root"), keep_passes=True)
    monkeypatch.setattr(keep_fp32, "locate_model", lambda model, work, recorder, trials: found)
    answers = cli_locate._of_spec(Path("spec.yaml"), None, [], work=Path("w"), recorder=Recorder(), write=write, trials=64)
    wanted = ["n_first", "n_wide", "n_root"] if write else ["n_first"]
    assert loader.load(Path("spec.yaml")).models["net"].keep_fp32.nodes == wanted
    assert "# the card is old" in Path("spec.yaml").read_text()
    assert answers["net"].written == ("spec.yaml" if write else None)
    assert ("--write" in as_text(answers["net"])) is not write


NETWORK = """
import torch
from torch import nn

class Scale(nn.Module):
    def forward(self, x):
        return torch.asinh(x)  # the line of Scale

class Part(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.scale = Scale() if scale else nn.Identity()

    def forward(self, x):
        return self.scale(self.act(self.norm(self.conv(x)))) + x

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([Part(False), Part(True), Part(False)])
        self.rnn, self.shared, self.head = nn.LSTM(16, 4, batch_first=True), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        y, _ = self.rnn(x.flatten(2))
        return self.head(self.shared(torch.relu(self.shared(y))))
"""
WRONG = """
import tritonize
from onnxscript import opset18 as op

@tritonize.operator("aten::asinh", opset=18)
def asinh(x):
    return op.Sinh(x)
"""
NETWORK_SPEC = """
schema: 1
models:
  wrong:
    source: network:Net
    operators: [wrong.py]
    strategies: [dynamo]
    inputs: {x: {shape: [batch, 3, 4, 4]}}
    max_batch_size: 2
"""


def network_spec() -> None:
    Path("network.py").write_text(NETWORK)
    Path("wrong.py").write_text(WRONG)
    Path("spec.yaml").write_text(NETWORK_SPEC)


def located(*arguments: str) -> tuple[int, Location, str]:
    """Exit code, location and its text."""
    done = tritonize("locate", *arguments, "--json", timeout=300)
    assert done.returncode in (0, 1, 3), done.stdout + done.stderr
    ((_, plain),) = json.loads(done.stdout)["locations"].items()
    found = from_json(Location, plain)
    return done.returncode, found, as_text(found)


def test_a_wrongly_translated_operator_is_found_with_its_module_and_line():
    network_spec()
    code, found, text = located("spec.yaml", "--model", "wrong")
    assert (code, found.kind) == (1, "modules")
    assert found.origin.module == "parts.1.scale"
    assert "Sinh" in " ".join((found.origin.operator, *found.origin.nodes))
    number = next(i for i, line in enumerate(NETWORK.splitlines(), 1) if line.endswith("# the line of Scale"))
    assert found.origin.source == f"network.py:{number}"
    assert found.origin.inputs < 1e-5 < 1e-2 < found.origin.own
    assert [each.module for each in found.series if each.exceeds] == ["parts.1.scale"]
    assert "rnn" in {each.module for each in found.series}
    assert text.startswith("ORIGIN  ")
    assert f"module parts.1.scale, network.py:{number}" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def module_tensor(
    module: str, *shape: int, place: str = "output", call: int = 0, position: int = 0, file: str = "", weighted: bool = True
):
    """What a hook saw."""
    name = file or f"{module}{place}{call}{position}"
    return ModuleTensor(
        module=module, call=call, place=place, position=position, dtype="fp32", shapes=(shape,), files=(Path(name),),
        weighted=weighted,
    )  # fmt: skip


def paired(model: onnx.ModelProto, modules: dict[str, str], *captured: ModuleTensor) -> dict[str, str]:
    """Tensor of the graph to what it is paired with."""
    Path("m.onnx").write_bytes(model.SerializeToString())
    graph = Graph(Path("m.onnx"))
    graph.infer(
        {name: np.zeros([dim.dim_value for dim in value.type.tensor_type.shape.dim]) for name, value in graph.inputs.items()}
    )
    entries = {tensor: {"module": module} for tensor, module in modules.items()}
    return Tensors(graph, NodeMap(entries), Captured(tensors=captured)).matches()


def test_a_tensor_and_a_module_are_paired_if_the_match_is_unique():
    net = Net(x=(1, 4))
    net.add("MatMul", "a1", "x", net.weight("w", 4, 4))
    net.add("Add", "a2", "a1", net.weight("b", 4))  # a: its output
    net.add("Relu", "r", "a2")  # of the model itself
    net.add("MatMul", "s1", "r", net.weight("ws", 4, 4))  # s: called twice
    net.add("Tanh", "between", "s1")
    net.add("MatMul", "s2", "between", "ws")
    net.add("Split", "t", "s2", outputs=2, num_outputs=2, axis=1)  # t: two outputs of one shape
    net.add("Add", "y", "t", "t_1")
    modules = {"a1": "a", "a2": "a", "r": "", "s1": "s", "between": "", "s2": "s", "t": "t", "t_1": "t", "y": ""}
    a, twice = module_tensor("a", 1, 4), [module_tensor("s", 1, 4, call=call) for call in (0, 1)]
    parts = [module_tensor("t", 1, 2, position=position, weighted=False) for position in (0, 1)]
    whole = module_tensor("", 1, 2, weighted=False)
    found = paired(net.model("y"), modules, a, *twice, *parts, whole)
    assert found == {"a2": a.key, "s1": twice[0].key, "s2": twice[1].key, "t": parts[0].key, "t_1": parts[1].key, "y": whole.key}
    # A different shape, one of two calls, or one of two tensors that both fit is not paired.
    found = paired(net.model("y"), modules, module_tensor("a", 1, 5), twice[0], parts[0], whole)
    assert found == {"y": whole.key}


def test_a_module_that_may_have_been_folded_into_another_leaves_both_unpaired():
    net = Net(x=(1, 4))
    net.add("MatMul", "a", "x", net.weight("w", 4, 4))
    net.add("Relu", "r", "a")
    net.add("MatMul", "y", "r", net.weight("v", 4, 4))
    modules = {"a": "a", "r": "", "y": "c"}
    kept = [module_tensor("a", 1, 4), module_tensor("c", 1, 4), module_tensor("c", 1, 4, place="input")]
    norm = [module_tensor("norm", 1, 4, place="input", file="aoutput00"), module_tensor("norm", 1, 4)]
    assert paired(net.model("y"), modules, *kept) == {"a": kept[0].key, "r": kept[2].key, "y": kept[1].key}
    assert paired(net.model("y"), modules, kept[0], *norm, *kept[1:]) == {"y": kept[1].key}


@pytest.mark.parametrize("kind", ["torchscript", "exported_program"])
def test_modules_that_run_without_python_are_not_available_and_the_command_fails(kind, capsys):
    model = schema.Model.model_validate({"source": "plain.pt", "inputs": {"x": {"shape": [1, 4]}}})
    exported = artifact(Path("model.onnx"), Path("node_map.json"))
    source = Source(kind=kind, location="plain.pt", sha256={})
    found = locate(model, source, exported, samples=batches(chain(2, 4), Path()), work=Path("w"))
    assert (found.kind, found.origin) == ("not available", None)
    with pytest.raises(typer.Exit) as ended:
        cli_locate._finish({"m": found}, as_json=False)
    assert ended.value.exit_code == 3
    text = capsys.readouterr().out
    assert text.strip().startswith("NOT LOCATED")
    assert "Module outputs are not available" in text


def test_locate_compares_two_files_on_the_command_line():
    model = GRAPHS["attention"]
    Path("a.onnx").write_bytes(model.SerializeToString())
    Path("b.onnx").write_bytes(copied(model, attribute("n_weights", axis=1)).SerializeToString())
    np.savez("given.npz", x=np.random.default_rng(3).standard_normal((1, 8, 8)).astype(np.float32))
    code, found, text = located("a.onnx", "b.onnx", "--samples", "given.npz")
    assert code == 1
    assert (found.origin.node, found.origin.operator) == ("n_weights", "Softmax")
    assert found.origin.difference == "attribute axis: 1 instead of -1"
    assert text.splitlines()[0] == "ORIGIN  Softmax n_weights"
    assert all(len(line) <= 80 for line in text.splitlines())
    code, found, text = located("a.onnx", "a.onnx")
    assert (code, found.origin) == (0, None)
    Path("cut.onnx").write_bytes(Path("a.onnx").read_bytes()[:100])
    done = tritonize("locate", "a.onnx", "cut.onnx")
    assert (done.returncode, "The file is not an ONNX file" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
    hopeless = Location(expected="a", found="b", kind="graphs", hopeless=True, notes=("It fails whatever is kept.",))
    assert "nothing was written" in " ".join(as_text(hopeless).split())
    assert "not tried" not in as_text(hopeless)
    with pytest.raises(typer.Exit) as ended:
        cli_locate._finish({"a": hopeless}, as_json=False)
    assert ended.value.exit_code == 1
    for found in (None, Path("nowhere.onnx"), Path("spec.yaml")):
        with pytest.raises(UsageError) as refused:
            cli_locate._of_files("a.onnx", found, None, described=(None, False), work=Path("w"), recorder=Recorder())
        assert refused.value.exit_code == 2


def test_a_search_that_used_all_trials_is_exhausted():
    names = [f"n{place}" for place in range(20)]
    needed = frozenset(names[:13])
    found = bisection.smallest(names, lambda kept: needed <= kept or len(kept) == 20, trials=8)
    assert found.exhausted and not found.minimal
    assert not bisection.smallest(names, lambda kept: needed <= kept, trials=200).exhausted
    assert bisection.smallest(names, lambda kept: len(kept) == 20, trials=200).nodes == tuple(names)
    unfinished = Location(expected="a", found="b", kind="graphs", exhausted=True)
    assert "--trials" in as_text(unfinished) and "nothing was written" not in as_text(unfinished)
    with pytest.raises(typer.Exit) as left:
        cli_locate._finish({"a": unfinished}, as_json=False)
    assert left.value.exit_code == 1
