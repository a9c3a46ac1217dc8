"""Scenarios as scenario.c reads them: a folder with ONNX files and `scenario.txt`, one step per line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TEXT = np.dtype(object)
DTYPES: dict[str, tuple[np.dtype[Any], int]] = {
    "BOOL": (np.dtype(np.bool_), TensorProto.BOOL),
    "UINT8": (np.dtype(np.uint8), TensorProto.UINT8),
    "UINT16": (np.dtype(np.uint16), TensorProto.UINT16),
    "UINT32": (np.dtype(np.uint32), TensorProto.UINT32),
    "UINT64": (np.dtype(np.uint64), TensorProto.UINT64),
    "INT8": (np.dtype(np.int8), TensorProto.INT8),
    "INT16": (np.dtype(np.int16), TensorProto.INT16),
    "INT32": (np.dtype(np.int32), TensorProto.INT32),
    "INT64": (np.dtype(np.int64), TensorProto.INT64),
    "FP16": (np.dtype(np.float16), TensorProto.FLOAT16),
    "FP32": (np.dtype(np.float32), TensorProto.FLOAT),
    "FP64": (np.dtype(np.float64), TensorProto.DOUBLE),
    "BYTES": (TEXT, TensorProto.STRING),
    "BF16": (BFLOAT16, TensorProto.BFLOAT16),
}
"""Triton's name of a type in a request: NumPy's and ONNX's."""

Array = np.ndarray[Any, Any]
Dims = Sequence[int]


def triton_type(array: Array) -> str:
    return next(name for name, (dtype, _) in DTYPES.items() if dtype == array.dtype)


def content(array: Array) -> bytes:
    """The bytes of a request; a text has its length in four bytes before it."""
    if array.dtype == TEXT:
        return b"".join(len(each).to_bytes(4, "little") + each for each in array.ravel())
    return array.tobytes()


def tensor(name: str, kind: str, dims: Dims, **more: Any) -> dict[str, Any]:
    """An input or output of a configuration, as Triton writes it."""
    data_type = "TYPE_STRING" if kind == "BYTES" else f"TYPE_{kind}"
    return {"name": name, "data_type": data_type, "dims": [str(dim) for dim in dims], **more}


def value(name: str, kind: str, dims: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, DTYPES[kind][1], dims)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def copy(kind: str, model_dims: Sequence[int | str | None]) -> onnx.ModelProto:
    """y = x."""
    return model([helper.make_node("Identity", ["x"], ["y"])], [value("x", kind, model_dims)], [value("y", kind, model_dims)])


def copy_config(kind: str, dims: Dims, **more: Any) -> dict[str, Any]:
    return {"input": [tensor("x", kind, dims)], "output": [tensor("y", kind, dims)], **more}


def quoted(text: str) -> str:
    """One word of a line; a space for nothing, which every error's text has."""
    kept = set(b"{}[]\":,._-+'/=")
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in kept else f"%{byte:02x}" for byte in (text or " ").encode()
    )


@dataclass
class Raw:
    """A tensor of a request that is not what its type and shape say."""

    kind: str
    dims: Dims
    data: bytes


@dataclass
class Input:
    """How an input lies in memory."""

    tensor: Array | Raw
    pieces: Sequence[int] | None = None
    offset: int = 0
    said_bytes: int | None = None
    on_gpu: bool = False


@dataclass
class Scenario:
    """The steps of one life of the backend, and the ONNX files that it loads."""

    name: str
    model: onnx.ModelProto | bytes | None
    file: str = "1/model.onnx"
    long: bool = False
    """It is not played again for every call that can fail; shorter ones make the same calls."""
    lines: list[str] = field(default_factory=list)

    def step(self, *words: str) -> None:
        self.lines.append(" ".join(words))

    def option(self, name: str, text: str) -> None:
        self.step("option", quoted(name), quoted(text))

    def start(self, error: str | None = None) -> None:
        self._expecting("start", error)

    def config(self, config: Mapping[str, Any] | str) -> None:
        self.step("config", quoted(config if isinstance(config, str) else json.dumps(config)))

    def load(self, error: str | None = None) -> None:
        self._expecting("load", error)

    def instance(self, error: str | None = None) -> None:
        self._expecting("instance", error)

    def served(self, config: Mapping[str, Any], *, instances: int = 1) -> None:
        """A configuration that is right, and its instances."""
        self.config(config)
        self.load()
        for _ in range(instances):
            self.instance()

    def request(
        self,
        inputs: Mapping[str, Array | Raw | Input],
        answers: Mapping[str, Array] | None = None,
        *,
        wanted: Sequence[str] | None = None,
        states: Mapping[str, Array] | None = None,
        error: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """A request of the next run; it wants what it expects, unless `wanted` says otherwise."""
        self.step("request")
        for name, given in inputs.items():
            self._input(name, given if isinstance(given, Input) else Input(given))
        for name in wanted if wanted is not None else (answers or {}):
            self.step("want", quoted(name))
        for step, values in (("answer", answers or {}), ("state", states or {})):
            for name, array in values.items():
                self.step(step, *_words(name, array))
        if error is not None:
            self.step("error", quoted(error))
        for each in options:
            self.step(each)

    def run(self, times: int = 1) -> None:
        """Every instance executes the requests so far, as one batch; several instances at the same time."""
        self.step("run", str(times))

    def write(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / "model" / self.file
        path.parent.mkdir(parents=True)
        if self.model is not None:
            path.write_bytes(self.model if isinstance(self.model, bytes) else self.model.SerializeToString())
        (folder / "scenario.txt").write_text("\n".join(self.lines) + "\n")

    def _expecting(self, step: str, error: str | None) -> None:
        self.step(step, *([] if error is None else [quoted(error)]))

    def _input(self, name: str, given: Input) -> None:
        self.step("input", *_words(name, given.tensor))
        if given.pieces is not None:
            self.step("pieces", *map(str, given.pieces))
        if given.offset:
            self.step("offset", str(given.offset))
        if given.said_bytes is not None:
            self.step("said-bytes", str(given.said_bytes))
        if given.on_gpu:
            self.step("on-gpu")


def _words(name: str, given: Array | Raw) -> list[str]:
    raw = given if isinstance(given, Raw) else Raw(triton_type(given), given.shape, content(given))
    return [quoted(name), raw.kind, ",".join(map(str, raw.dims)) or "scalar", raw.data.hex()]
