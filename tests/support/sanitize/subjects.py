"""Models that random configurations and requests are tried on: each a folder with an ONNX file and `tensors.txt` for fuzz.c."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.sanitize.writing import DTYPES, model, quoted, value

node = helper.make_node
Axes = tuple[int | None, ...]


@dataclass
class Subject:
    """A model, and the role of each of its tensors."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    batches: bool = False
    lines: list[str] = field(default_factory=list)

    def tensor(self, role: str, name: str, kind: str, axes: Axes, other: str = "-") -> None:
        """A tensor of the graph; `other` is the output of a state, what a counted one counts, what an output copies."""
        tensors = self.outputs if role == "output" else self.inputs
        tensors.append(value(name, kind, axes))
        dims = ",".join("-1" if axis is None else str(axis) for axis in axes) or "scalar"
        self.lines.append(f"{role} {quoted(other)} {quoted(name)} {kind} {dims}")

    def copied(self, source: str, name: str, kind: str, axes: Axes) -> None:
        """An output that copies an input."""
        self.nodes.append(node("Identity", [source], [name]))
        self.tensor("output", name, kind, axes, other=source)

    def write(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / "model/1/model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(model(self.nodes, self.inputs, self.outputs, self.initializers).SerializeToString())
        (folder / "tensors.txt").write_text("\n".join([*self.lines, *["batches"] * self.batches]) + "\n")


def _copies() -> Iterator[Subject]:
    """Copies of random types and shapes, under random names."""
    random = np.random.default_rng(2024)
    names = ["x", "input", "ü", "a b", "%s", "n" * 200, 'q"', "back\\slash"]
    for number in range(24):
        one = Subject(batches=number % 3 > 0)
        for index in range(int(random.integers(1, 5))):
            kind = list(DTYPES)[int(random.integers(len(DTYPES)))]
            axes: Axes = tuple(
                None if random.random() < 0.4 else int(random.integers(0, 4)) for _ in range(int(random.integers(0, 4)))
            )
            name = f"{names[int(random.integers(len(names)))]}{index}"
            axes = (None, *axes) if one.batches else axes
            one.tensor("input", name, kind, axes)
            one.copied(name, f"{name} copied", kind, axes)
        yield one


def _ragged() -> Iterator[Subject]:
    for counted in ((None,), (None, 1), (None, 2)):
        for kind in ("INT32", "FP32"):
            one = Subject(batches=True)
            one.tensor("input", "x", "FP32", (None,))
            one.tensor("input", "row", "INT8", (None, 1))
            one.tensor("counted", "counts", kind, counted, other="x")
            one.copied("x", "same", "FP32", (None,))
            one.copied("row", "same row", "INT8", (None, 1))
            one.nodes.append(node("Identity", ["counts"], ["seen"]))
            one.tensor("output", "seen", kind, counted)
            yield one


def _sequences() -> Iterator[Subject]:
    for kind in ("FP32", "INT32", "BOOL", "BYTES"):
        one = Subject(batches=kind != "INT32")
        axes: Axes = (None, 2) if one.batches else (2,)
        flags: Axes = (None, 1) if one.batches else (1,)
        one.tensor("input", "x", kind, axes)
        one.tensor("control", "start", "BOOL" if kind == "BYTES" else kind, flags)
        one.tensor("state", "old", kind, axes, other="new")
        one.copied("x", "same", kind, axes)
        one.nodes.append(node("Identity", ["old"], ["new"]))
        one.tensor("output", "new", kind, axes, other="old")
        one.nodes.append(node("Identity", ["start"], ["started"]))
        one.tensor("output", "started", "BOOL" if kind == "BYTES" else kind, flags, other="start")
        yield one


def _computing() -> Iterator[Subject]:
    add = Subject(batches=True)
    add.tensor("input", "a", "FP32", (None, None))
    add.tensor("input", "b", "FP32", (None, None))
    add.nodes.append(node("Add", ["a", "b"], ["sum"]))
    add.tensor("output", "sum", "FP32", (None, None))
    add.copied("a", "same", "FP32", (None, None))
    yield add
    weights = Subject()
    weights.tensor("input", "x", "INT64", (2, None))
    weights.tensor("initializer", "w", "INT64", (2, 1))
    weights.initializers.append(helper.make_tensor("w", TensorProto.INT64, [2, 1], [3, 4]))
    weights.nodes.append(node("Mul", ["x", "w"], ["y"]))
    weights.tensor("output", "y", "INT64", (2, None))
    weights.copied("w", "same", "INT64", (2, 1))
    yield weights
    # Outputs that have other shapes than they declare.
    for declared in ((3,), (), (2, 2)):
        for kind in ("FP64", "BYTES"):
            shaped = Subject()
            shaped.tensor("input", "x", kind, (None,))
            shaped.tensor("input", "shape", "INT64", (None,))
            shaped.nodes.append(node("Reshape", ["x", "shape"], ["y"]))
            shaped.tensor("output", "y", kind, declared, other="x")
            yield shaped
    for batches in (False, True):
        found = Subject(batches=batches)
        found.tensor("input", "x", "UINT8", (None, 3))
        found.nodes += [node("Cast", ["x"], ["flags"], to=TensorProto.BOOL), node("NonZero", ["flags"], ["places"])]
        found.nodes.append(node("Transpose", ["places"], ["y"]))
        found.tensor("output", "y", "INT64", (None, 2))
        yield found
    rows = Subject(batches=True)
    rows.tensor("input", "i", "INT32", (None,))
    rows.initializers.append(helper.make_tensor("table", TensorProto.STRING, [3], [b"", b"ab", b"c" * 99]))
    rows.nodes.append(node("Gather", ["table", "i"], ["y"]))
    rows.tensor("output", "y", "BYTES", (None,))
    yield rows


def all_subjects() -> list[Subject]:
    return [each for group in (_copies, _ragged, _sequences, _computing) for each in group()]
