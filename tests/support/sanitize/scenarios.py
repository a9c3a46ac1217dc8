"""What is played to the native backend: every type and shape, batches, sequences, and what must end in an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.sanitize.writing import (
    DTYPES,
    TEXT,
    Array,
    Input,
    Raw,
    Scenario,
    content,
    copy,
    copy_config,
    model,
    quoted,
    tensor,
    value,
)
from tritonize.triton.server import native_backend

node = helper.make_node


def text(*items: bytes) -> Array:
    return np.array([*items, None], dtype=TEXT)[:-1]


def numbers(kind: str, *shape: int) -> Array:
    count = int(np.prod(shape))
    if kind == "BYTES":
        return np.array([*(b"%d" % i * (i % 3) for i in range(count)), None], dtype=TEXT)[:-1].reshape(shape)
    return (np.arange(count) % 2 if kind == "BOOL" else np.arange(count)).astype(DTYPES[kind][0]).reshape(shape)


def floats(*shape: int) -> Array:
    return numbers("FP32", *shape)


def _types() -> Iterator[Scenario]:
    """Each type, in one piece and several, aligned and not, and computed in place from the second run on."""
    for kind in DTYPES:
        one = Scenario(f"type-{kind.lower()}", copy(kind, [2, 3]), long=kind not in ("FP32", "BYTES"))
        one.served(copy_config(kind, [2, 3]))
        array = numbers(kind, 2, 3)
        size = len(content(array))
        for given in (
            Input(array),
            Input(array, offset=1),
            Input(array, offset=64),
            Input(array, pieces=[size // 2, size - size // 2]),
            Input(array, pieces=[1, 0, size - 1], offset=3),
            Input(array),
        ):
            for options in ((), ("output-offset 16",)):
                one.request({"x": given}, {"y": array}, options=options)
                one.run(2)
        for said in (0, size - 1, size + 1, 2**63):
            one.request({"x": Input(array, said_bytes=said)}, wanted=["y"], error="" if kind == "BYTES" else "input 'x'")
        one.request({"x": Input(array, on_gpu=True)}, wanted=["y"], error="GPU")
        one.request({"x": array}, wanted=["y"], error="GPU", options=("output-on-gpu",))
        one.request({"x": array}, wanted=["y"], error="not enough memory for y", options=("no-memory",))
        one.request({"x": array}, {"y": array})
        one.run(2)
        yield one


def _text() -> Iterator[Scenario]:
    one = Scenario("text", copy("BYTES", [None]))
    one.served(copy_config("BYTES", [-1]))
    for array in (text(), text(b""), text(b"", b"", b""), text(b"\0", "é€😀".encode(), b"x" * 5000), text(b"\xff\xfe")):
        one.request({"x": array}, {"y": array})
        one.request({"x": Input(array, pieces=[len(content(array)), 0])}, {"y": array})
    one.run(2)
    whole = content(text(b"ab", b"c"))
    for dims, data, said in (
        ([2], whole[:-1], "the data ends in element 1 of 2"),
        ([2], whole + b"\0", "more data than its 2 elements"),
        ([1], whole, "more data than its 1 elements"),
        ([0], whole, "more data than its 0 elements"),
        ([2], b"\xff" * 8, "the data ends in element 0 of 2"),
        ([2], whole[:6], "has 6 bytes, too few for 2 elements"),
        ([2], b"", "has 0 bytes, too few for 2 elements"),
        ([3], whole, "has 11 bytes, too few for 3 elements"),
        ([2**40], whole, "too few for 1099511627776 elements"),
        ([-1], whole, "impossible shape"),
        ([2**62], whole, "impossible shape"),
    ):
        one.request({"x": Raw("BYTES", dims, data)}, wanted=["y"], error=said)
    one.run()
    yield one
    batch = Scenario("text-batch", copy("BYTES", [None, 2]))
    batch.served(copy_config("BYTES", [2], max_batch_size=8))
    good = text(b"a", b"bc").reshape(1, 2)
    batch.request({"x": good}, {"y": good})
    batch.request({"x": Raw("BYTES", [1, 2], content(text(b"long", b"words"))[:-2])}, wanted=["y"], error="the data ends")
    batch.request({"x": numbers("BYTES", 3, 2)}, {"y": numbers("BYTES", 3, 2)})
    batch.run(2)
    batch.request({"x": good}, {"y": good})
    batch.request({"x": Input(good, said_bytes=2**64 - 1)}, wanted=["y"], error="not enough memory for x")
    batch.run()
    yield batch


def _shapes() -> Iterator[Scenario]:
    scalar = Scenario("scalar", model([node("Add", ["x", "x"], ["y"])], [value("x", "FP32", [])], [value("y", "FP32", [])]))
    scalar.served(copy_config("FP32", [1]))
    scalar.request({"x": np.float32([3])}, {"y": np.float32([6])})
    scalar.run(3)
    scalar.request({"x": floats(2)}, wanted=["y"], error="is a scalar and has 2 elements")
    scalar.request({"x": Raw("FP32", [], b"\0\0\x40\x40")}, {"y": np.float32([6])})
    scalar.request({"x": np.float32([[[3]]])}, {"y": np.float32([6])})
    scalar.run()
    scalar.served(copy_config("FP32", [1, 1, 1]))
    scalar.request({"x": np.float32([[[3]]])}, {"y": np.float32([[[6]]])})
    scalar.run(2)
    scalar.config(copy_config("FP32", [2]))
    scalar.load("needs dims of 1 and max_batch_size 0, the configuration says [2]")
    scalar.config(copy_config("FP32", [1], max_batch_size=2))
    scalar.load("the configuration says [1] with batching")
    yield scalar

    dynamic = Scenario("dynamic", copy("INT64", [None, 3, None]))
    dynamic.served(copy_config("INT64", [-1, 3, -1]))
    for dims in ((1, 3, 2), (0, 3, 2), (4, 3, 0), (2, 3, 5)):
        dynamic.request({"x": numbers("INT64", *dims)}, {"y": numbers("INT64", *dims)})
    dynamic.run(2)
    for dims in ((3, 2), (1, 2, 3), (1, 1, 3, 2), ()):
        data = content(numbers("INT64", *dims))
        dynamic.request({"x": Raw("INT64", dims, data)}, wanted=["y"], error="")
    dynamic.request({"x": Raw("INT64", [-1, 3, -2], bytes(48))}, wanted=["y"], error="impossible shape")
    dynamic.request({"x": Raw("INT64", [2**31, 2**31, 2**31], bytes(48))}, wanted=["y"], error="impossible shape")
    dynamic.request({"x": Raw("INT64", [2**40, 3, 0], b"")}, {"y": np.zeros((2**40, 3, 0), np.int64)})
    dynamic.request({"x": Raw("INT64", [1] * 33, bytes(8))}, wanted=["y"], error="more than 32 dimensions")
    dynamic.run()
    yield dynamic

    deep = Scenario("rank-32", copy("UINT8", [1] * 32))
    deep.served(copy_config("UINT8", [1] * 32))
    deep.request({"x": numbers("UINT8", *[1] * 32)}, {"y": numbers("UINT8", *[1] * 32)})
    deep.run(2)
    deep.config(copy_config("UINT8", [1] * 33))
    deep.load("more than 32 dims")
    yield deep

    deeper = Scenario("rank-33", copy("UINT8", [1] * 33))
    deeper.config(copy_config("UINT8", [1] * 33))
    deeper.load("has 33 dimensions, more than 32")
    yield deeper


def _declared() -> Iterator[Scenario]:
    """Models whose outputs have other shapes than they declare."""
    for kind in ("FP32", "BYTES"):
        graph = model(
            [node("Reshape", ["x", "shape"], ["y"])],
            [value("x", kind, [None]), value("shape", "INT64", [None])],
            [value("y", kind, [3])],
        )
        one = Scenario(f"declared-{kind.lower()}", graph)
        one.served(
            {
                "input": [tensor("x", kind, [-1]), tensor("shape", "INT64", [-1])],
                "output": [tensor("y", kind, [3])],
                "parameters": {"enable_mem_arena": {"string_value": "0"}},
            }
        )
        for count in (3, 3, 4):
            for dims in ([count], [1, count], [count, 1], [3], []):
                if int(np.prod(dims)) == count:
                    one.request({"x": numbers(kind, count), "shape": np.int64(dims)}, {"y": numbers(kind, *dims)})
        one.run(3)
        one.request(
            {"x": numbers(kind, 1), "shape": np.int64([])}, wanted=["y"], error="output 'y' is a scalar, the model declares [3]"
        )
        one.request({"x": numbers(kind, 3), "shape": np.int64([3])}, {"y": numbers(kind, 3)})
        one.run(2)
        yield one
    # Once in place, with inputs of the same shapes, and then another shape.
    late = Scenario(
        "declared-late",
        model(
            [node("NonZero", ["x"], ["found"]), node("Squeeze", ["found", "axis"], ["y"])],
            [value("x", "FP32", [4])],
            [value("y", "INT64", [2])],
            [helper.make_tensor("axis", TensorProto.INT64, [1], [0])],
        ),
    )
    late.served({"input": [tensor("x", "FP32", [4])], "output": [tensor("y", "INT64", [2])]})
    late.request({"x": np.float32([0, 1, 0, 1])}, {"y": np.int64([1, 3])})
    late.run(3)
    late.request({"x": np.float32([1, 1, 0, 1])}, wanted=["y"], error="")
    late.run()
    late.request({"x": np.float32([1, 1, 0, 1])}, {"y": np.int64([0, 1, 3])})
    late.request({"x": np.float32([0, 0, 0, 0])}, {"y": np.int64([])})
    late.run(2)
    yield late
    copied = Scenario("declared-late-copied", late.model)
    copied.served({"input": [tensor("x", "FP32", [4])], "output": [tensor("y", "INT64", [2])]})
    copied.request({"x": np.float32([0, 1, 0, 1])}, {"y": np.int64([1, 3])}, options=("output-offset 8",))
    copied.run(3)
    error = "output 'y' has shape [3], the model declares [2]"
    copied.request({"x": np.float32([1, 1, 0, 1])}, wanted=["y"], error=error, options=("output-offset 8",))
    copied.run()
    copied.request({"x": np.float32([1, 1, 0, 1])}, {"y": np.int64([0, 1, 3])}, options=("output-offset 8",))
    copied.run(2)
    yield copied


def _batches() -> Iterator[Scenario]:
    graph = model(
        [node("Add", ["a", "b"], ["sum"]), node("Identity", ["a"], ["same"])],
        [value("a", "FP32", [None, None]), value("b", "FP32", [None, None])],
        [value("sum", "FP32", [None, None]), value("same", "FP32", [None, None])],
    )
    config = {
        "max_batch_size": 4,
        "input": [tensor("a", "FP32", [-1]), tensor("b", "FP32", [-1])],
        "output": [tensor("sum", "FP32", [-1]), tensor("same", "FP32", [-1])],
    }
    one = Scenario("batches", graph)
    one.served(config)
    for rows, columns in ((1, 2), (2, 2), (1, 3), (1, 2), (0, 2), (4, 2), (1, 3), (3, 0)):
        a = floats(rows, columns)
        one.request({"a": a, "b": a}, {"sum": a + a, "same": a})
    one.run(3)
    a = floats(1, 2)
    one.request({"a": a, "b": a}, {"sum": a + a})
    one.request({"a": a, "b": a}, {"same": a})
    one.request({"a": a, "b": a}, {}, error="At least one output should be requested")
    one.request({"a": a, "b": floats(2, 2)}, wanted=["sum"], error="has a batch of 2, input 'a' one of 1")
    one.request({"a": a, "b": floats(1, 3)}, wanted=["sum"], error="")
    one.request({"a": a}, wanted=["sum"], error="input 'b' is missing")
    one.request({}, wanted=["sum"], error="input 'a' is missing")
    one.request({"a": a, "b": a}, wanted=["sum", "other"], error="output 'other' is not in the model")
    one.request({"a": a, "c": a}, wanted=["sum"], error="input 'c' is not in the model")
    one.request({"a": a, "b": numbers("FP64", 1, 2)}, wanted=["sum"], error="input 'b' has TYPE_FP64, the model needs TYPE_FP32")
    one.request({"a": Raw("FP32", [], bytes(4)), "b": a}, wanted=["sum"], error="has no batch")
    one.request({"a": Raw("FP32", [-1, 2], bytes(8)), "b": a}, wanted=["sum"], error="has no batch")
    one.request({"a": a, "b": Input(a, on_gpu=True)}, wanted=["sum"], error="GPU")
    one.request({"a": a, "b": a}, {"sum": a + a})
    one.run(2)
    for dims in ([2**62, 0], [2**63 - 1, 0]):
        empty = Raw("FP32", dims, b"")
        for _ in range(2):
            one.request({"a": empty, "b": empty}, wanted=["sum"], error=f"has a batch of {dims[0]}, max_batch_size is 4")
    one.run()
    yield one

    fixed = Scenario("batches-in-place", copy("FP32", ["n", 5]))
    fixed.served(copy_config("FP32", [5], max_batch_size=8))
    for rows in (1, 3, 8, 2):
        fixed.request({"x": floats(rows, 5)}, {"y": floats(rows, 5)})
        fixed.run(2)
        fixed.request({"x": floats(rows, 5)}, {"y": floats(rows, 5)}, options=("output-offset 8",))
        fixed.run(2)
    fixed.request({"x": floats(1, 5)}, wanted=["y"], error="GPU", options=("output-on-gpu",))
    fixed.run(2)
    fixed.request({"x": floats(1, 5)}, wanted=["y"], error="not enough memory", options=("no-memory",))
    fixed.run(2)
    yield fixed

    # One request of a batch that the model refuses, and a batch whose outputs cannot be split.
    gather = model(
        [node("Gather", ["table", "i"], ["y"])],
        [value("i", "INT64", [None])],
        [value("y", "FP32", [None])],
        [helper.make_tensor("table", TensorProto.FLOAT, [3], [5, 6, 7])],
    )
    faulty = Scenario("batches-faulty", gather)
    faulty.served(
        {
            "max_batch_size": 8,
            "input": [tensor("i", "INT64", [1], reshape={"shape": []})],
            "output": [tensor("y", "FP32", [1], reshape={"shape": []})],
        }
    )
    for index in (0, 2, 9, 1):
        error = "" if index == 9 else None
        answer = {} if index == 9 else {"y": np.float32([5 + index])}
        faulty.request({"i": np.int64([index])}, answer, wanted=["y"], error=error)
    faulty.run(3)
    yield faulty
    split = Scenario(
        "batches-unsplit",
        model(
            [node("NonZero", ["x"], ["found"]), node("Transpose", ["found"], ["y"])],
            [value("x", "FP32", [None])],
            [value("y", "INT64", [None, 1])],
        ),
    )
    split.served(
        {
            "max_batch_size": 8,
            "input": [tensor("x", "FP32", [1], reshape={"shape": []})],
            "output": [tensor("y", "INT64", [1])],
        }
    )
    for number in (1, 1, 0):
        error = None if number else ""
        split.request({"x": np.float32([number])}, {"y": np.int64([[0]])} if number else {}, wanted=["y"], error=error)
    split.run(2)
    yield split


def _initializers() -> Iterator[Scenario]:
    """Weights that a request may replace."""
    graph = model(
        [node("Add", ["x", "w"], ["y"])],
        [value("x", "FP32", [2]), value("w", "FP32", [2])],
        [value("y", "FP32", [2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2], [10, 20])],
    )
    one = Scenario("optional-inputs", graph)
    config = copy_config("FP32", [2])
    x, w = np.float32([1, 2]), np.float32([10, 20])
    one.served({**config, "input": [tensor("x", "FP32", [2]), tensor("w", "FP32", [2], optional=True)]})
    one.request({"x": x}, {"y": x + w})
    one.request({"x": x, "w": x}, {"y": x + x})
    one.request({"w": x}, wanted=["y"], error="input 'x' is missing")
    one.run(2)
    one.served(config)
    one.request({"x": x}, {"y": x + w})
    one.run(2)
    for broken, error in (
        ({"max_batch_size": 2, "input": [tensor("w", "FP32", [2], optional=True)]}, "the configuration has inputs none"),
        ({"max_batch_size": 2, "input": [tensor("x", "FP32", [2])]}, "for batching its first dimension must be dynamic"),
        ({"input": [tensor("x", "FP32", [2]), tensor("w", "FP32", [3], optional=True)]}, "says dims"),
        ({"input": [tensor("x", "FP32", [2]), tensor("v", "FP32", [2], optional=True)]}, "is not in the model"),
        ({"input": [tensor("x", "FP32", [2]), tensor("w", "FP32", [2])]}, "inputs 'x', 'w', the model has 'x'"),
        ({"input": [tensor("x", "FP32", [2], optional=True)]}, "inputs none"),
        ({"input": [tensor("x", "FP32", [2]), tensor("w", "FP32", [2], optional=True, allow_ragged_batch=True)]}, "with optional"),
    ):
        one.config({**config, "input": [tensor("x", "FP32", [2]), tensor("w", "FP32", [2], optional=True)], **broken})
        one.load(error)
    yield one


BATCH_INPUTS: dict[str, Callable[[list[int]], list[int]]] = {
    "BATCH_ELEMENT_COUNT": lambda counts: counts,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": lambda counts: np.cumsum(counts).tolist(),
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda counts: [0, *np.cumsum(counts).tolist()],
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda counts: [0] * max(counts),
    "BATCH_ITEM_SHAPE_FLATTEN": lambda counts: counts,
}


def _more_optional() -> Iterator[Scenario]:
    graph = model(
        [node("Add", ["x", "w"], ["y"])],
        [value("x", "FP32", [None, 2]), value("w", "FP32", [2])],
        [value("y", "FP32", [None, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2], [10, 20])],
    )
    one = Scenario("optional-in-batch", graph)
    config = copy_config("FP32", [2], max_batch_size=2)
    one.config({**config, "input": [*config["input"], tensor("w", "FP32", [2], optional=True)]})
    one.load("an optional input is not possible in a model with batching")
    yield one
    constant = Scenario(
        "no-inputs", model([node("Identity", ["w"], ["y"])], [], [value("y", "FP32", [2])], graph.graph.initializer)
    )
    constant.served({"output": [tensor("y", "FP32", [2])]})
    constant.request({}, {"y": np.float32([10, 20])})
    constant.run(3)
    constant.config(copy_config("FP32", [2]))
    constant.load("the model has none; not in the model: 'x'")
    constant.config({"batch_output": [{"kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "source_input": ["x"]}], "input": []})
    constant.load("batch_output.source_input 'x'")
    yield constant


def _large() -> Iterator[Scenario]:
    """Inputs that are copied, and whose memory is not kept."""
    graph = model(
        [node("ReduceMax", ["x"], ["y"], keepdims=1), node("ReduceMax", ["s"], ["t"], keepdims=1)],
        [value("x", "UINT8", [None, None]), value("s", "FP32", [None])],
        [value("y", "UINT8", [1, 1]), value("t", "FP32", [1])],
    )
    one = Scenario("large", graph, long=True)
    one.served(
        {
            "input": [tensor("x", "UINT8", [-1, -1]), tensor("s", "FP32", [-1])],
            "output": [tensor("y", "UINT8", [1, 1]), tensor("t", "FP32", [1])],
        }
    )
    for megabytes in (1, 65, 80, 2, 65):
        half = megabytes << 19
        one.request({"s": floats(3)}, {"y": numbers("UINT8", 1, 1), "t": np.float32([2])})
        one.step("zeros", "x", "UINT8", f"2,{half}")
        one.step("pieces", str(half), str(half))
        one.run(2)
    yield one


def _ragged_refused(graph: onnx.ModelProto, config: dict[str, Any]) -> Scenario:
    one = Scenario("ragged-refused", graph, long=True)
    for broken, error in (
        ({"kind": "BATCH_NOTHING"}, "batch_input.kind"),
        ({"data_type": "TYPE_INT64"}, "batch_input.data_type"),
        ({"data_type": "TYPE_FP32"}, "the configuration says TYPE_FP32"),
        ({"source_input": ["y"]}, "is not an input of the configuration"),
        ({"source_input": []}, "is not an input of the configuration"),
        ({"target_name": ["other"]}, "not in the model: 'other'"),
        ({"target_name": ["counts", "counts"]}, "batch_input.target_name: one name is expected, found 2"),
        ({"target_name": []}, "batch_input.target_name: one name is expected, found 0"),
    ):
        one.config({**config, "batch_input": [{**config["batch_input"][0], **broken}]})
        one.load(error)
    for broken, error in (
        ({"kind": "BATCH_OTHER"}, "batch_output.kind"),
        ({"source_input": ["y"]}, "batch_output.source_input"),
        ({"target_name": ["other"]}, "batch_output.target_name 'other'"),
    ):
        one.config({**config, "batch_output": [{**config["batch_output"][0], **broken}]})
        one.load(error)
    one.config({**config, "output": config["output"][1:]})
    one.load("batch_output.target_name 'same' is not an output of the configuration")
    return one


def _ragged() -> Iterator[Scenario]:
    """Inputs of several lengths in one batch, and what the batcher computes from them."""
    for batch_kind, computed in BATCH_INPUTS.items():
        for kind in ("INT32", "FP32"):
            # Every request gets the whole of `counted`, by an output as long as the batch that adds it up.
            graph = model(
                [
                    node("Identity", ["x"], ["same"]),
                    node("ReduceSum", ["counts"], ["total"], keepdims=1),
                    node("Expand", ["total", "shape"], ["counted"]),
                    node("Shape", ["row"], ["shape"]),
                ],
                [value("x", "FP32", [None]), value("counts", kind, [None]), value("row", "FP32", [None, 1])],
                [value("same", "FP32", [None]), value("counted", kind, [None, None])],
            )
            name = f"ragged-{batch_kind.lower().replace('_', '-')}-{kind.lower()}"
            one = Scenario(name, graph, long=name != "ragged-batch-item-shape-flatten-int32")
            config: dict[str, Any] = {
                "max_batch_size": 8,
                "input": [tensor("x", "FP32", [-1], allow_ragged_batch=True), tensor("row", "FP32", [1])],
                "output": [tensor("same", "FP32", [-1]), tensor("counted", kind, [-1])],
                "batch_input": [
                    {"kind": batch_kind, "data_type": f"TYPE_{kind}", "target_name": ["counts"], "source_input": ["x"]}
                ],
                "batch_output": [{"kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "target_name": ["same"], "source_input": ["x"]}],
            }
            one.served(config)
            for lengths in ([3, 1, 2], [4], [0, 2], [1, 1]):
                total = sum(computed(lengths))
                for length in lengths:
                    one.request(
                        {"x": floats(1, length), "row": floats(1, 1)},
                        {"same": floats(1, length), "counted": numbers(kind, 1, 1) + DTYPES[kind][0].type(total)},
                    )
                one.run(2)
            one.request({"row": floats(1, 1)}, wanted=["counted"], error="input 'x' is missing")
            one.run()
            one.served({**config, "output": [tensor("same", "FP32", [1]), config["output"][1]]})
            for length in (2, 1):
                error = "output 'same' has 2 elements, the shapes of input 'x' need 1" if length == 2 else None
                given = {"x": floats(1, length), "row": floats(1, 1)}
                one.request(given, {} if error else {"same": floats(1, 1)}, wanted=["same"], error=error)
            one.run(2)
            one.served({**config, "output": [tensor("same", "FP32", [3]), config["output"][1]]})
            one.request({"x": floats(1, 1), "row": floats(1, 1)}, wanted=["same"], error="too few elements for the batch")
            one.run()
            yield one
            if (batch_kind, kind) == ("BATCH_ELEMENT_COUNT", "INT32"):
                yield _ragged_refused(graph, config)

    shapes = Scenario(
        "ragged-item-shape",
        model(
            [node("Identity", ["x"], ["same"]), node("Identity", ["shapes"], ["seen"])],
            [value("x", "FP32", [None]), value("shapes", "INT32", [None, 2])],
            [value("same", "FP32", [None]), value("seen", "INT32", [None, 2])],
        ),
    )
    shapes.served(
        {
            "max_batch_size": 8,
            "input": [tensor("x", "FP32", [-1, -1], allow_ragged_batch=True)],
            "output": [tensor("same", "FP32", [-1, -1]), tensor("seen", "INT32", [2])],
            "batch_input": [
                {"kind": "BATCH_ITEM_SHAPE", "data_type": "TYPE_INT32", "target_name": ["shapes"], "source_input": ["x"]}
            ],
            "batch_output": [{"kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "target_name": ["same"], "source_input": ["x"]}],
        }
    )
    for rows, height, width in ((1, 2, 3), (2, 1, 4), (1, 0, 5)):
        seen = np.array([[height, width]] * rows, np.int32)
        shapes.request({"x": floats(rows, height, width)}, {"same": floats(rows, height, width), "seen": seen})
    shapes.run(2)
    shapes.request({"x": floats(1, 2, 3)}, {"seen": np.array([[2, 3]], np.int32)})
    shapes.request({"x": floats(1, 6)}, wanted=["seen"], error="")
    shapes.run()
    yield shapes

    for kind in ("BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"):
        dims = [None, 1] if kind == "BATCH_ITEM_SHAPE" else [None]
        flat = Scenario(
            f"batch-input-without-batching-{len(dims)}",
            model(
                [node("Identity", ["x"], ["same"]), node("Identity", ["shapes"], ["seen"])],
                [value("x", "FP32", [None, None]), value("shapes", "INT32", dims)],
                [value("same", "FP32", [None, None]), value("seen", "INT32", dims)],
            ),
        )
        flat.served(
            {
                "input": [tensor("x", "FP32", [-1, -1])],
                "output": [tensor("same", "FP32", [-1, -1]), tensor("seen", "INT32", [-1, 1][: len(dims)])],
                "batch_input": [{"kind": kind, "data_type": "TYPE_INT32", "target_name": ["shapes"], "source_input": ["x"]}],
            }
        )
        flat.request({"x": floats(1, 3)}, {"same": floats(1, 3), "seen": np.full([1] * len(dims), 3, np.int32)})
        flat.request({"x": Raw("FP32", [2**40, 0], b"")}, wanted=["seen"], error="input 'x' has more than 16777216 items")
        flat.run()
        yield flat

    for kind, error in (("FP32", "needs shape [-1]"), ("BYTES", "text cannot be scattered")):
        wrong = Scenario(f"ragged-wrong-{kind.lower()}", copy(kind, [None, None]))
        batch_output = [{"kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "target_name": ["y"], "source_input": ["x"]}]
        wrong.config(
            {
                "max_batch_size": 8,
                "input": [tensor("x", kind, [-1], allow_ragged_batch=True)],
                "output": [tensor("y", kind, [-1])],
                "batch_output": batch_output,
            }
        )
        wrong.load(error)
        yield wrong


def _sequences() -> Iterator[Scenario]:
    graph = model(
        [
            node("Add", ["x", "old"], ["new"]),
            node("Cast", ["start"], ["first"], to=TensorProto.FLOAT),
            node("Add", ["x", "first"], ["y"]),
            node("Identity", ["word"], ["next"]),
        ],
        [
            value("x", "FP32", [None, 1]),
            value("old", "FP32", [None, 1]),
            value("start", "BOOL", [None, 1]),
            value("word", "BYTES", [None, 1]),
        ],
        [value("y", "FP32", [None, 1]), value("new", "FP32", [None, 1]), value("next", "BYTES", [None, 1])],
    )
    control = {"name": "start", "control": [{"kind": "CONTROL_SEQUENCE_START", "bool_false_true": [False, True]}]}
    batching: dict[str, Any] = {
        "control_input": [control],
        "state": [
            {"input_name": "old", "output_name": "new", "data_type": "TYPE_FP32", "dims": ["1"]},
            {"input_name": "word", "output_name": "next", "data_type": "TYPE_STRING", "dims": ["1"]},
        ],
    }
    config: dict[str, Any] = {
        "max_batch_size": 4,
        "input": [tensor("x", "FP32", [1])],
        "output": [tensor("y", "FP32", [1])],
        "sequence_batching": batching,
    }
    one = Scenario("sequences", graph)
    for outputs in (["y"], ["y", "new"]):
        one.served({**config, "output": [tensor(name, "FP32", [1]) for name in outputs]})
        for number, started, word in ((1, True, b""), (2, False, b"ab"), (3, False, b"c" * 100)):
            x = np.float32([[number]])
            given = {"x": x, "old": x * 2, "start": np.array([[started]]), "word": text(word).reshape(1, 1)}
            answers = {"y": x + started, "new": x * 3}
            states = {"new": x * 3, "next": text(word).reshape(1, 1)}
            one.request(given, {name: answers[name] for name in outputs}, states=states)
        one.run(2)
        one.request({**given, "word": Raw("BYTES", [1, 1], b"\x09\0\0\0")}, wanted=["y"], error="the data ends")
        one.request(given, {}, states=states)
        one.run()
        one.request(given, wanted=[], error="state 'new' is wanted in the memory of a GPU", options=("output-on-gpu",))
        one.request(given, wanted=[], error="not enough memory for new", options=("no-memory",))
        one.run()
    yield one
    refused = Scenario("sequences-refused", graph, long=True)
    for broken, error in (
        ({"control_input": [{**control, "control": [{"int32_false_true": [0, 1]}]}]}, "sequence control 'start'"),
        ({"control_input": [{**control, "control": []}]}, "sequence control 'start'"),
        ({"control_input": [{"name": "stop", "control": control["control"]}]}, "not in the model: 'stop'"),
        ({"control_input": []}, "not in the configuration: 'start'"),
        ({"control_input": [control, control]}, "a name appears twice"),
        ({"state": []}, "not in the configuration: 'old'"),
        ({"state": [{**batching["state"][0], "output_name": "no"}, batching["state"][1]]}, "state output 'no' is not in the model"),
        ({"state": [{**batching["state"][0], "data_type": "TYPE_INT8"}, batching["state"][1]]}, "state input 'old'"),
        ({"state": [{**batching["state"][0], "output_name": "next"}, batching["state"][1]]}, "state output 'next'"),
    ):
        refused.config({**config, "sequence_batching": {**batching, **broken}})
        refused.load(error)
    yield refused

    wide = Scenario(
        "sequences-wide-control",
        model(
            [node("Identity", ["start"], ["y"])],
            [value("start", "FP32", [None, 2])],
            [value("y", "FP32", [None, 2])],
        ),
    )
    fp32 = {"name": "start", "control": [{"kind": "CONTROL_SEQUENCE_START", "fp32_false_true": [0, 1]}]}
    wide.config({**config, "input": [], "output": [tensor("y", "FP32", [2])], "sequence_batching": {"control_input": [fp32]}})
    wide.load("dims [1] are expected, the model has [-1, 2]")
    for controls in ([], fp32["control"] * 2):
        several = {"control_input": [{"name": "start", "control": controls}]}
        wide.config({**config, "input": [], "output": [tensor("y", "FP32", [2])], "sequence_batching": several})
        wide.load(f"sequence control 'start': one entry of control is expected, found {len(controls)}")
    yield wide


def _cancelled() -> Iterator[Scenario]:
    body = helper.make_graph(
        [node("Identity", ["go_in"], ["go_out"]), node("Add", ["s_in", "s_in"], ["s_out"])],
        "body",
        [value("i", "INT64", []), value("go_in", "BOOL", []), value("s_in", "FP32", [None, 1])],
        [value("go_out", "BOOL", []), value("s_out", "FP32", [None, 1])],
    )
    graph = model(
        [node("Squeeze", ["n", "axes"], ["count"]), node("Loop", ["count", "go", "x"], ["y"], body=body)],
        [value("x", "FP32", [None, 1]), value("n", "INT64", [1, 1])],
        [value("y", "FP32", [None, 1])],
        [helper.make_tensor("go", TensorProto.BOOL, [], [True]), helper.make_tensor("axes", TensorProto.INT64, [2], [0, 1])],
    )
    one = Scenario("cancelled", graph, long=True)
    one.served(
        {
            "input": [tensor("x", "FP32", [-1, 1]), tensor("n", "INT64", [1, 1])],
            "output": [tensor("y", "FP32", [-1, 1])],
        }
    )
    x = np.float32([[1]])
    one.request({"x": x, "n": np.int64([[3]])}, {"y": x * 8})
    one.request({"x": x, "n": np.int64([[10**12]])}, wanted=["y"], error="cancelled while", options=("cancel-after-ms 100",))
    one.request({"x": x, "n": np.int64([[10**12]])}, wanted=["y"], error="cancelled before", options=("cancel-after-ms 0",))
    one.request({"x": x, "n": np.int64([[3]])}, {"y": x * 8})
    one.run(2)
    yield one
    batch = Scenario("cancelled-batch", copy("FP32", [None, 1]))
    batch.served(copy_config("FP32", [1], max_batch_size=8))
    for cancelled in (True, False, True, False):
        options = ("cancel-after-ms 0",) if cancelled else ()
        batch.request({"x": x}, {} if cancelled else {"y": x}, wanted=["y"], error="" if cancelled else None, options=options)
    batch.run(2)
    yield batch
    yield _cancelled_together(body)


def _cancelled_together(body: onnx.GraphProto) -> Scenario:
    """All requests of a batch are cancelled while it runs: it ends, and none of them runs again alone."""
    largest = [node("ReduceMax", ["x"], ["largest"], keepdims=0), node("Cast", ["largest"], ["count"], to=TensorProto.INT64)]
    graph = model(
        [*largest, node("Loop", ["count", "go", "x"], ["y"], body=body)],
        [value("x", "FP32", [None, 1])],
        [value("y", "FP32", [None, 1])],
        [helper.make_tensor("go", TensorProto.BOOL, [], [True])],
    )
    one = Scenario("cancelled-together", graph, long=True)
    one.served(copy_config("FP32", [1], max_batch_size=8))
    for count in (1e12, 2e12, 3e12):
        one.request({"x": np.float32([[count]])}, wanted=["y"], error="cancelled before", options=("cancel-after-ms 100",))
    one.run()
    one.request({"x": np.float32([[2]])}, {"y": np.float32([[8]])})
    one.run()
    return one


def _instances() -> Iterator[Scenario]:
    for shared in ("false", "true"):
        one = Scenario(f"instances-shared-{shared}", copy("FP32", [None, 3]))
        if shared == "true":
            for name, number in (
                ("enable-global-threadpool", "on"),
                ("intra_op_thread_count", "2"),
                ("inter_op_thread_count", "1"),
            ):
                one.option(name, number)
        parameters = {
            "share_session_between_instances": {"string_value": shared},
            "intra_op_thread_count": {"string_value": "1"},
            "inter_op_thread_count": {"string_value": "1"},
            "execution_mode": {"string_value": "1"},
            "enable_mem_arena": {"string_value": shared},
            "enable_mem_pattern": {"string_value": "false"},
            "memory.enable_memory_arena_shrinkage": {"string_value": "cpu:0" if shared == "true" else ""},
            "session.use_device_allocator_for_initializers": {"string_value": "1"},
        }
        one.served(copy_config("FP32", [3], max_batch_size=4, parameters=parameters), instances=3)
        for rows in (1, 2, 1, 3):
            one.request({"x": floats(rows, 3)}, {"y": floats(rows, 3)})
        one.request({"x": floats(1, 2)}, wanted=["y"], error="")
        one.run(40)
        for rows in (1, 2, 1, 3):
            one.request({"x": floats(rows, 3)}, {"y": floats(rows, 3)})
            one.run(5)
        yield one
    gpu = Scenario("instances-gpu", copy("FP32", [None, 3]))
    gpu.config(copy_config("FP32", [3], max_batch_size=4))
    gpu.load()
    gpu.step("gpu-instances")
    gpu.instance("the kind is KIND_GPU")
    yield gpu


def _completed() -> Iterator[Scenario]:
    one = Scenario("completed", copy("FP32", ["n", 3]), long=True)
    one.option("default-max-batch-size", "4")
    for config, found in (
        ("{}", '"max_batch_size":4'),
        ("{}", '"dynamic_batching":{}'),
        ("{}", '"input":[{"name":"x","data_type":"TYPE_FP32","dims":[3]}]'),
        ("{}", '"output":[{"name":"y","data_type":"TYPE_FP32","dims":[3]}]'),
        ('{"max_batch_size":2}', '"max_batch_size":2'),
        ('{"sequence_batching":{},"text":"\\u00e9\\ud83d\\ude00\\t\\"\\\\"}', 'é😀\\u0009\\"\\\\'),
        ('{"input":[],"output":[],"x":[true,false,null,1.5e-3]}', '"x":[true,false,null,1.5e-3]'),
    ):
        one.config(config)
        one.step("complete")
        one.load()
        one.step("completed", quoted(found))
        one.instance()
        one.request({"x": floats(2, 3)}, {"y": floats(2, 3)})
        one.run(2)
    one.config({"output": [tensor("y", "FP32", [3])]})
    one.step("complete")
    one.load()
    one.config({"input": [tensor("x", "FP32", [3])], "batch_output": []})
    one.step("complete")
    one.load()
    yield one

    fixed = Scenario("completed-fixed", copy("FP32", [2, 3]))
    fixed.config("{}")
    fixed.step("complete")
    fixed.load()
    fixed.step("completed", '"dims":[2,3]')
    fixed.config({"max_batch_size": 2})
    fixed.step("complete")
    fixed.load("not every tensor of the model has a dynamic first dimension")
    yield fixed

    scalar = Scenario("completed-row", copy("INT32", ["n"]))
    scalar.option("default-max-batch-size", "4")
    scalar.config("{}")
    scalar.step("complete")
    scalar.load()
    scalar.step("completed", '"dims":[1],"reshape":{"shape":[]}')
    scalar.instance()
    scalar.request({"x": numbers("INT32", 3)}, {"y": numbers("INT32", 3)})
    scalar.run(2)
    yield scalar

    output = value("y", "FP32", [2, 3])
    half = Scenario(
        "completed-half",
        model(
            [node("Reshape", ["x", "shape"], ["y"])],
            [value("x", "FP32", ["n"])],
            [output],
            [helper.make_tensor("shape", TensorProto.INT64, [2], [2, 3])],
        ),
    )
    half.option("default-max-batch-size", "4")
    half.config("{}")
    half.step("complete")
    half.load()
    half.step("completed", quoted('"dims":[-1]'))
    half.instance()
    half.request({"x": floats(6)}, {"y": floats(2, 3)})
    half.run(2)
    yield half

    small = helper.make_tensor_value_info("y", TensorProto.FLOAT8E4M3FN, [2])
    cast = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    unknown = Scenario("completed-unknown", model([cast], [value("x", "FP32", [2])], [small]))
    unknown.config("{}")
    unknown.step("complete")
    unknown.load("output 'y' of the model has a type that Triton does not have")
    unknown.config({"input": [tensor("x", "FP32", [2])], "output": [tensor("y", "UINT8", [2])]})
    unknown.load("the model has a type that Triton does not have")
    yield unknown

    odd = helper.make_tensor_value_info("x", TensorProto.COMPLEX64, ["n"])
    other = helper.make_tensor_value_info("y", TensorProto.COMPLEX64, ["n"])
    complex_numbers = Scenario("completed-complex", model([node("Identity", ["x"], ["y"])], [odd], [other]))
    complex_numbers.config("{}")
    complex_numbers.step("complete")
    complex_numbers.load("")
    yield complex_numbers


MALFORMED = (
    *("", "{", "[", "[1]", "nothing", "{}x", '"text"', "-", "{'a':1}", '{"a"}', '{"a":}', '{"a":1,}', '{"a":tru}'),
    *('{"a":"\\u12"}', '{"a":"\\ud800"}', '{"a":"\\ud800\\u"}', '{"a":"\\', '{"a":"\\x"}', '{"a":"\\uzzzz"}'),
    *('{"input":{"a":1}}', '{"input":[1,"",null]}', '{"input":[[[{}]]],"output":[[]],"batch_input":[1],"batch_output":{"a":3}}'),
    *("[" * 10_000, '{"a":' * 100, '{"a":1' + "}" * 100),
)
"""Configurations that are no JSON, or none of a model."""


def _refused() -> Iterator[Scenario]:
    """Configurations that do not suit their model, or cannot be read."""
    one = Scenario("refused", copy("FP32", [None, 3]), long=True)
    good = copy_config("FP32", [-1, 3])

    def parameters(**values: str) -> dict[str, Any]:
        return {"parameters": {name: {"string_value": each} for name, each in values.items()}}

    accelerators = {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}
    long = "n" * 3000
    for changed, error in (
        ({"input": []}, "inputs none"),
        ({"input": [tensor("z", "FP32", [-1, 3])]}, "not in the model: 'z'"),
        ({"input": [tensor(long, "FP32", [-1, 3])]}, "the configuration has inputs"),
        ({"input": good["input"] * 2}, "a name appears twice"),
        ({"input": [tensor("x", "FP64", [-1, 3])]}, "says TYPE_FP64, the model has TYPE_FP32"),
        ({"input": [tensor("x", "FP32", [-1, 4])]}, "says dims [-1, 4], the model has [-1, 3]"),
        ({"input": [tensor("x", "FP32", [3])]}, "says dims [3]"),
        ({"input": [tensor("x", "FP32", [1] * 40)]}, "more than 32 dims"),
        ({"input": [tensor("x", "FP32", [-1] * 32)], "max_batch_size": 1}, "(the batch first)"),
        ({"input": [tensor("x", "FP32", [9], reshape={"shape": ["2", "3"]})]}, None),
        ({"output": [tensor("z", "FP32", [-1, 3])]}, "output 'z' is not in the model, which has 'y'"),
        ({"output": [tensor("y", "INT8", [-1, 3])]}, "says TYPE_INT8"),
        ({"output": [tensor("y", "FP32", [2, 3])]}, "output 'y'"),
        ({"output": []}, None),
        ({"max_batch_size": 2}, "(the batch first)"),
        ({"max_batch_size": -3}, None),
        ({"max_batch_size": "many"}, None),
        (parameters(execution_mode="2"), "execution_mode"),
        (parameters(execution_mode="x"), "expected a whole number, found 'x'"),
        (parameters(intra_op_thread_count="99999999999999999999"), "expected a whole number"),
        (parameters(inter_op_thread_count="4097"), "parameter inter_op_thread_count: expected at most 4096, found 4097"),
        (parameters(inter_op_thread_count=""), "expected a whole number"),
        (parameters(enable_mem_arena="maybe"), "expected true or false"),
        (parameters(enable_mem_pattern="2"), "expected true or false"),
        (parameters(share_session_between_instances="?"), "expected true or false"),
        ({"parameters": {"execution_mode": {}}}, "expected a whole number, found ''"),
        ({"parameters": ["execution_mode", None]}, None),
        ({"optimization": accelerators}, "gpu_execution_accelerator"),
        ({"optimization": {"graph": {"level": -1}}}, None),
        ({"optimization": {"graph": {"level": 1}}}, None),
        ({"optimization": {"graph": {"level": 2}}}, None),
        ({"model_operations": {"op_library_filename": ["/no/such/library.so"]}}, "op_library_filename"),
        ({"model_operations": {"op_library_filename": [None]}}, "op_library_filename"),
        ({"default_model_filename": "other.onnx"}, "there is no file other.onnx in version directory 1"),
        *(({"default_model_filename": each}, "leads out of the version directory") for each in ("..", "../m", "a/../../m", "a/..")),
        ({"default_model_filename": "..a/...b"}, "there is no file ..a/...b in version directory 1"),
        ({"default_model_filename": ""}, None),
        ({"batch_input": [{}], "batch_output": [None]}, "batch_input.kind"),
        ({"sequence_batching": 3}, None),
    ):
        one.config({**good, **changed})
        one.load(error)
    one.config({**good, "x": "y" * 100_000})
    one.load()
    one.config(good)
    one.step("version", str(2**64 - 1))
    one.load("version directory 18446744073709551615")
    yield one

    broken = Scenario("refused-text", copy("FP32", [None, 3]), long=True)
    for config in MALFORMED:
        for complete in (False, True):
            broken.config(config)
            if complete:
                broken.step("complete")
            broken.step("try-load")
    yield broken


def _files() -> Iterator[Scenario]:
    """Files that are no models, and models that are not where they are expected."""
    good = copy("FP32", [None, 3]).SerializeToString()
    config = copy_config("FP32", [-1, 3])
    for name, data, error in (
        ("empty", b"", ""),
        ("text", b"This is no model.", ""),
        ("cut", good[: len(good) // 2], ""),
        ("missing", None, "there is no file model.onnx"),
    ):
        one = Scenario(f"file-{name}", data)
        one.config(config)
        one.load(error)
        yield one
    folder = Scenario("file-in-folder", good, file="1/model.onnx/model.onnx")
    folder.served(config)
    folder.request({"x": floats(2, 3)}, {"y": floats(2, 3)})
    folder.run()
    yield folder
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    graph = model(
        [node("SequenceLength", ["x"], ["y"])],
        [sequence],
        [value("y", "INT64", [])],
    )
    lists = Scenario("file-of-sequences", graph)
    lists.config({"input": [tensor("x", "FP32", [1])], "output": [tensor("y", "INT64", [1])]})
    lists.load("is no tensor, which Triton cannot serve")
    yield lists
    names = ["x" * 300, "%s%n%d", "ü 😀", '"\\']
    odd = model(
        [node("Identity", [name], [f"{name}!"]) for name in names],
        [value(name, "INT8", [2]) for name in names],
        [value(f"{name}!", "INT8", [2]) for name in names],
    )
    strange = Scenario("names", odd)
    strange.served(
        {"input": [tensor(name, "INT8", [2]) for name in names], "output": [tensor(f"{name}!", "INT8", [2]) for name in names]}
    )
    arrays = {name: numbers("INT8", 2) for name in names}
    strange.request(arrays, {f"{name}!": array for name, array in arrays.items()})
    strange.request({**arrays, "%s%s%n": numbers("INT8", 2)}, wanted=["%n"], error="input '%s%s%n' is not in the model")
    strange.run(2)
    strange.config("{}")
    strange.step("complete")
    strange.load()
    yield strange


def _starts() -> Iterator[Scenario]:
    for name, option, error in (
        ("relative", ("library", "x.so"), "expected the absolute path"),
        ("missing", ("library", "/no/such/libonnxruntime.so"), "cannot load ONNX Runtime"),
        ("other", ("library", str(native_backend.find().file)), "is no ONNX Runtime: it has no OrtGetApiBase"),
        ("long", ("library", "/" * 4000), "cannot load ONNX Runtime"),
        ("batch", ("default-max-batch-size", "four"), "default-max-batch-size: expected a whole number, found 'four'"),
        ("threads", ("intra_op_thread_count", "1x"), "intra_op_thread_count"),
        ("inter", ("inter_op_thread_count", "1x"), "inter_op_thread_count"),
        ("pool", ("enable-global-threadpool", "perhaps"), "expected true or false, found 'perhaps'"),
    ):
        one = Scenario(f"start-{name}", None)
        one.option(*option)
        one.start(error)
        yield one
    again = Scenario("start-again", copy("FP32", [2]))
    for _ in range(3):
        again.start()
        again.served(copy_config("FP32", [2]))
        again.request({"x": floats(2)}, {"y": floats(2)})
        again.run()
        again.step("unload")
    yield again


def all_scenarios() -> list[Scenario]:
    tensors = (_types, _text, _shapes, _declared)
    requests = (_batches, _large, _initializers, _more_optional, _ragged, _sequences, _cancelled, _instances)
    loads = (_completed, _refused, _files, _starts)
    return [each for group in (*tensors, *requests, *loads) for each in group()]
