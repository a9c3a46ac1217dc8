"""What stock Triton's ONNX Runtime backend refuses of a request, and what tritonize's refuses, row by row.

The sources are those of `tests.support.refusals`; `core` is src/infer_request.cc here. A request is sent over HTTP, its tensors as
they are: the client checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.support import server_models

STRINGS = "ModelInstanceState::SetStringInputBuffer, ValidateStringBuffer"
SPLIT = "BackendOutputResponder::ProcessTensor"
CORE = "core InferenceRequest::Normalize"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One tensor of a request."""

    shape: tuple[int, ...]
    datatype: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to a model, and both verdicts."""

    stock: str
    """The function of stock that refuses it, and why; of a request that stock answers: with what."""
    refuses: bool = True
    """Whether stock refuses it."""
    ours: str
    """What our refusal says, the field included."""
    model: str
    inputs: dict[str, Sent]
    outputs: tuple[str, ...] = ()
    why: str = ""
    """The reason of a difference."""


def _floats(*shape: int, kind: str = "FP32", short: int = 0) -> Sent:
    content = np.ones(shape, np.float32).tobytes()
    return Sent(shape=shape, datatype=kind, content=content[: len(content) - short])


def _text(shape: tuple[int, ...], content: bytes) -> Sent:
    return Sent(shape=shape, datatype="BYTES", content=content)


def _index(value: int) -> Sent:
    return Sent(shape=(1, 1), datatype="INT64", content=np.int64(value).tobytes())


def _rows(path: Path) -> object:
    """ROWS has two rows, whatever the batch is."""
    return server_models.save(
        path,
        [
            helper.make_node("Concat", ["A", "A"], ["TWICE"], axis=0),
            helper.make_node("Slice", ["TWICE", "BEGIN", "END"], ["ROWS"]),
        ],
        [("A", TensorProto.FLOAT, ["batch", 3])],
        [("ROWS", TensorProto.FLOAT, ["rows", 3])],
        {"BEGIN": np.array([0], np.int64), "END": np.array([2], np.int64)},
    )


def _tensor(name: str, kind: str, dims: str, extra: str = "") -> str:
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] {extra} }}'


def _config(batch: int, inputs: str, outputs: str, extra: str = "") -> str:
    group = "instance_group [ { kind: KIND_CPU count: 1 } ]"
    return f'platform: "onnxruntime_onnx" max_batch_size: {batch} input [ {inputs} ] output [ {outputs} ] {group} {extra}'


def _scalar(path: Path) -> object:
    return server_models.save(
        path,
        [helper.make_node("Add", ["A", "A"], ["SUM"])],
        [("A", TensorProto.FLOAT, [])],
        [("SUM", TensorProto.FLOAT, [])],
    )


def _scattered(path: Path) -> object:
    """SUM has one element more than A: what is left belongs to no request."""
    return server_models.save(
        path,
        [helper.make_node("Concat", ["A", "ONE"], ["SUM"], axis=0)],
        [("A", TensorProto.FLOAT, ["n"])],
        [("SUM", TensorProto.FLOAT, ["m"])],
        {"ONE": np.ones(1, np.float32)},
    )


def _text_identity(path: Path) -> object:
    return server_models.identity(path, TensorProto.STRING)


MODELS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "add_sub": (server_models.ADD_SUB, server_models.add_sub),
    "lookup": (server_models.LOOKUP.replace("300000", "0"), server_models.lookup),
    "text": (server_models.identity_config("TYPE_STRING"), _text_identity),
    "rows": (_config(4, _tensor("A", "FP32", "3"), _tensor("ROWS", "FP32", "3")), _rows),
    "scalar": (_config(0, _tensor("A", "FP32", "1"), _tensor("SUM", "FP32", "1")), _scalar),
    "scattered": (
        _config(
            4,
            _tensor("A", "FP32", "-1", "allow_ragged_batch: true"),
            _tensor("SUM", "FP32", "-1"),
            'batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "SUM" source_input: "A" } ]',
        ),
        _scattered,
    ),
}
GOOD = {
    "add_sub": {"A": _floats(2, 3), "B": _floats(2, 3)},
    "lookup": {"X": _index(3)},
    "text": {"X": _text((1, 1), b"\1\0\0\0a")},
    "rows": {},
    "scalar": {"A": _floats(1)},
    "scattered": {},
}
"""A request that each model answers; empty where it answers none that is tried."""
ROWS = {
    "text_cut_short": Request(
        stock=f"{STRINGS}: incomplete string data",
        ours="input 'X'",
        model="text",
        inputs={"X": _text((1, 1), b"\x64\0\0\0ab")},
    ),
    "text_with_too_few_elements": Request(
        stock=f"{STRINGS}: expected 2 strings, got 1",
        ours="input 'X'",
        model="text",
        inputs={"X": _text((1, 2), b"\1\0\0\0a")},
    ),
    "text_with_too_many_elements": Request(
        stock=f"{STRINGS}: unexpected number of string elements",
        ours="input 'X'",
        model="text",
        inputs={"X": _text((1, 1), b"\1\0\0\0a\1\0\0\0b")},
    ),
    "too_few_rows": Request(
        stock=f"{SPLIT}: failed to split the output tensor: expected batch size of at least 3",
        ours="output 'ROWS' has shape [2, 3] for a batch of 3; expected 3 first",
        model="rows",
        inputs={"A": _floats(3, 3)},
    ),
    "index_out_of_bounds": Request(
        stock="ModelInstanceState::OrtRun: ONNX Runtime's error",
        ours="indices element out of data bounds",
        model="lookup",
        inputs={"X": _index(99)},
    ),
    "batch_too_large": Request(
        stock=f"{CORE}: inference request batch-size must be <= 4",
        ours="batch-size must be <= 4",
        model="add_sub",
        inputs={"A": _floats(5, 3), "B": _floats(5, 3)},
    ),
    "batches_differ": Request(
        stock=f"{CORE}: batch size does not match other inputs",
        ours="batch size does not match other inputs for 'add_sub'",
        model="add_sub",
        inputs={"A": _floats(1, 3), "B": _floats(2, 3)},
    ),
    "input_missing": Request(
        stock=f"{CORE}: expected 2 inputs but got 1",
        ours="missing required input(s) ['B']",
        model="add_sub",
        inputs={"A": _floats(1, 3)},
    ),
    "input_unknown": Request(
        stock=f"{CORE}: unexpected inference input",
        ours="unexpected inference input 'C'",
        model="add_sub",
        inputs={"A": _floats(1, 3), "C": _floats(1, 3)},
    ),
    "output_unknown": Request(
        stock=f"{CORE}: unexpected inference output",
        ours="unexpected inference output 'C'",
        model="add_sub",
        inputs=GOOD["add_sub"],
        outputs=("C",),
    ),
    "type_differs": Request(
        stock=f"{CORE}: data-type is 'INT32', but model expects 'FP32'",
        ours="input 'A' data-type is 'INT32'",
        model="add_sub",
        inputs={"A": _floats(1, 3, kind="INT32"), "B": _floats(1, 3)},
    ),
    "shape_differs": Request(
        stock=f"{CORE}: unexpected shape for input",
        ours="unexpected shape for input 'A'",
        model="add_sub",
        inputs={"A": _floats(1, 4), "B": _floats(1, 3)},
    ),
    "bytes_missing": Request(
        stock=f"{CORE}: input byte size mismatch",
        ours="input byte size mismatch for input 'A'",
        model="add_sub",
        inputs={"A": _floats(1, 3, short=4), "B": _floats(1, 3)},
    ),
    "too_many_rows": Request(
        stock=f"{SPLIT} sends the first row and leaves the rest",
        refuses=False,
        ours="output 'ROWS' has shape [2, 3] for a batch of 1; expected 1 first",
        model="rows",
        inputs={"A": _floats(1, 3)},
        why="an output that does not fit the batch cannot be split, and a row of it is a wrong answer",
    ),
    "scattered_output_left_over": Request(
        stock="BackendOutputResponder::ProcessBatchOutput leaves what no shape needs, and reads beyond the end of the rest",
        refuses=False,
        ours="output 'SUM' has 4 elements, the shapes of input 'A' need 3",
        model="scattered",
        inputs={"A": _floats(1, 3)},
        why="the elements may be another request's",
    ),
}
IMPOSSIBLE = {
    "null request": "Triton gives none",
    "BackendInputCollector: unexpected total byte size": "core compares an input's bytes with its shape before",
    "Failed to find the scalar output dimension": "core refuses the name of an output that the configuration lacks",
    "buffer size for input exceeds batch byte size": "both numbers are Triton's; tests/support/sanitize plays it",
}
"""What stock's functions refuse and no request can show here, with the reason."""
