"""Rules about an ONNX file by itself: its structure, and the files with its weights. No weight is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tritonize.core import onnx_graph
from tritonize.core.onnx_graph import Graph
from tritonize.lint import files, onnx_sequences, onnx_tensors
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

INVALID = Rule(
    id="TR601",
    name="onnx-invalid",
    severity="error",
    triton="refuses",
    what="The model file is not a valid ONNX file.",
    why="Lint reads the structure of the file: inputs, outputs and the places of weights. A file that was cut off, or a "
    "pointer of Git "
    "LFS in its place, has none.",
    fix="copy the file again; `git lfs pull` fetches what a pointer stands for",
    wrong="1/model.onnx   # 130 bytes: version https://git-lfs.github.com/spec/v1",
    right="1/model.onnx",
)
DATA_MISSING = Rule(
    id="TR610",
    name="onnx-data-missing",
    severity="error",
    triton="refuses",
    what="A file with the model's weights is missing or too short.",
    why="ONNX files keep large weights in other files, which lie beside them.",
    fix="copy the file into the version's directory",
    wrong="1/model.onnx   # names model.onnx.data",
    right="1/model.onnx\n1/model.onnx.data",
)
DATA_OUTSIDE = Rule(
    id="TR611",
    name="onnx-data-outside",
    severity="error",
    triton="refuses",
    what="A file with the model's weights is outside the version's directory.",
    why="ONNX Runtime refuses absolute paths and paths that lead out of the model's folder.",
    fix="save the model with its weights beside it",
    wrong="1/model.onnx   # names ../weights.bin",
    right="1/model.onnx\n1/weights.bin",
)
NOT_A_TENSOR = Rule(
    id="TR612",
    name="onnx-not-a-tensor",
    severity="error",
    triton="refuses",
    what="An input or output of the model is not a tensor of a type that Triton has.",
    why="Triton serves tensors, no sequences and no maps; scikit-learn's ZipMap makes the latter.",
    fix="export the model without ZipMap, or with tensors as outputs",
    wrong="output of type sequence(map(int64, float))",
    right="output of type tensor(float)",
)
RULES = (INVALID, DATA_MISSING, DATA_OUTSIDE, NOT_A_TENSOR)


def check(model: Model) -> Iterator[Diagnostic]:
    """Check the ONNX file of every served version against the configuration."""
    if model.completed.backend != "onnxruntime":
        return
    for version, path in model.files():
        file = path / "model.onnx" if files.is_directory(path) else path
        name = f"{version}/{file.relative_to(path.parent)}"
        if not model.may_read(file) or not files.is_file(file):
            continue
        try:
            graph = onnx_graph.read(file)
        except (OSError, ValueError) as error:
            yield model.of(INVALID, name, found=getattr(error, "strerror", None) or str(error))
            continue
        yield from _data(model, file, name=name, graph=graph)
        yield from _values(model, name, graph)
        if model.config is not None:
            yield from onnx_tensors.check(model, graph)
            yield from onnx_sequences.check(model, graph)


def _data(model: Model, file: Path, *, name: str, graph: Graph) -> Iterator[Diagnostic]:
    for location, needed in sorted(graph.data.items()):
        path = file.parent / location
        if Path(location).is_absolute() or ".." in Path(location).parts:
            yield model.of(DATA_OUTSIDE, name, found=repr(location))
        elif not location or not files.is_file(path):
            yield model.of(DATA_MISSING, name, found=f"there is no file {location!r}")
        elif files.size(path) < needed:
            found, expected = f"{location!r} has {files.size(path):,} bytes", f"{needed:,} bytes"
            yield model.of(DATA_MISSING, name, found=found, expected=expected)


def _values(model: Model, name: str, graph: Graph) -> Iterator[Diagnostic]:
    for field, values in (("input", graph.inputs), ("output", graph.outputs)):
        for each in values:
            if each.element_type is None or onnx_tensors.triton_type(each) is None:
                kind = "not a tensor" if each.element_type is None else f"TensorProto.DataType {each.element_type}"
                yield model.of(NOT_A_TENSOR, name, found=f"{field} {each.name!r} is {kind}")
