"""How far rounding alone moves what an ONNX file answers; runs inside a worker, without torch.

Every arithmetic node's answer is multiplied by 1 plus or minus a unit or two in the last place, drawn at random and seeded. A right
file and a wrong one are moved about alike, so this says how exactly a question can be answered, and not whether it was. It is
asked where PyTorch's own error is no measure: on a constant input a normalization divides by next to nothing, and whether its
sums come out exact there is luck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.onnx_model.tasks import SamplesRequest, Sensitivity
from tritonize.onnx_model.worker import session as ort_session
from tritonize.onnx_model.worker.finishing import without_weights
from tritonize.process.stopwatch import Stopwatch

_MOVING = frozenset(
    (
        *("Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity", "Max", "MaxPool"),
        *("Min", "Pad", "Relu", "Reshape", "Shape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
    )
)
"""Operators that only move or choose values, and round nothing."""
_CHOOSING = frozenset(("ArgMax", "ArgMin", "Hardmax", "NonMaxSuppression", "TopK", "Unique"))
"""Operators that say which of several values comes first: among equal ones that is nobody's rule."""
_AVERAGING = frozenset(("GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"))
_NORMALIZING = frozenset(
    ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization", "RMSNormalization")
)
"""Operators that add up a whole axis or more: plain sums of n terms are off by sqrt(n) units, and normalizations contain such."""
_ULP = 2.0**-23
_TERMS = 1 << 12
"""n where the shapes do not say."""
DRAWS = 2


def measure(asked: SamplesRequest) -> Sensitivity:
    """How far rounding moves the answer to each sample, and which outputs depend on which of several values comes first."""
    watch = Stopwatch()
    with watch.library():
        plain = ort_session.session(asked.path, asked.libraries)
    moved = [dict[str, float]() for _ in asked.indices]
    shapes = {name: array.shape for name, array in arrays.load(asked.samples.files, asked.indices[0]).items()}
    for draw in range(DRAWS):
        path = asked.path.with_name(f"{asked.path.stem}.rounded{draw}.onnx")  # beside the file, whose data it names
        try:
            onnx.save(_rounded(onnx.load(asked.path, load_external_data=False), shapes, draw), path)
            with watch.library():
                noisy = ort_session.session(path, asked.libraries)
        finally:
            path.unlink(missing_ok=True)
        for found, index in zip(moved, asked.indices, strict=True):
            batch = arrays.load(asked.samples.files, index)
            with watch.library():
                answers = ort_session.answer(plain, batch, 1), ort_session.answer(noisy, batch, 1)
            _widen(found, *answers)
    chosen = _chosen(onnx.load(asked.path, load_external_data=False).graph)
    return Sensitivity(moved=tuple(moved), chosen=frozenset(chosen), library_seconds=watch.seconds)


def _chosen(graph: onnx.GraphProto) -> set[str]:
    """The outputs that lie behind an operator that chooses, also one in a subgraph; nodes come in the order of their values."""
    behind: set[str] = set()
    for node in graph.node:
        if _chooses(node) or behind.intersection(node.input):
            behind.update(node.output)
    return behind & {output.name for output in graph.output}


def _chooses(node: onnx.NodeProto) -> bool:
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return node.op_type in _CHOOSING or any(_chooses(each) for graph in inner for each in graph.node)


def _widen(found: dict[str, float], one: Arrays, other: Arrays) -> None:
    for name, array in one.items():
        if array.dtype.kind == "f" and other[name].shape != array.shape:
            found[name] = math.inf  # another number of answers: of boxes, or of values over a threshold
        elif array.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                far = np.abs(array.astype(np.float64) - other[name])
            found[name] = max(found.get(name, 0.0), float(far[np.isfinite(far)].max(initial=0.0)))


def _rounded(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], draw: int) -> onnx.ModelProto:
    """The model with another rounding of every float32 answer of an arithmetic node.

    Args:
        shapes: of the model's inputs in the sample.
    """
    known = inferred(model, shapes)
    nodes: list[onnx.NodeProto] = []
    for position, node in enumerate(model.graph.node):
        seed = float(1 + position + 100_003 * draw)
        if node.op_type in _NORMALIZING and node.input[0] in known:
            # What its sums are off acts like another input: what it answers may be far more than rounded.
            name = f"{node.input[0]}__rounded_{position}"
            nodes += _noise(node.input[0], name, _ULP * math.sqrt(_terms(node, known)), seed=seed + 0.5)
            node.input[0] = name
        nodes.append(node)
        if node.op_type in _MOVING and not node.domain:
            continue
        step = _ULP * (math.sqrt(_terms(node, known)) if node.op_type in _AVERAGING else 1.0)
        for place, name in enumerate(node.output):
            if name in known:
                node.output[place] = f"{name}__exact"
                nodes += _noise(node.output[place], name, step, seed=seed)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _noise(value: str, rounded: str, step: float, *, seed: float) -> list[onnx.NodeProto]:
    """The nodes that multiply a value by 1 plus or minus up to a step, element by element."""
    drawn = f"{rounded}__rounding"
    return [
        helper.make_node("RandomUniformLike", [value], [drawn], low=1 - step, high=1 + step, seed=seed),
        helper.make_node("Mul", [value, drawn], [rounded]),
    ]


def inferred(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int | None, ...]]:
    """The float32 values of a graph and their sizes, as far as they follow from the inputs' in the sample."""
    light = without_weights(model)
    for value in light.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            dim.dim_value = size
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(light).graph
    return {
        value.name: tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output, *graph.input)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _terms(node: onnx.NodeProto, known: Mapping[str, tuple[int | None, ...]]) -> int:
    """How many elements one sum of a node adds up: at most all of its input but batch and channel, or all that is reduced."""
    taken, given = known.get(node.input[0], (None,)), known.get(node.output[0], (None,))
    sizes = [size for size in taken if size]
    if len(sizes) < len(taken):
        return _TERMS
    if node.op_type in _AVERAGING and all(given):
        return max(1, math.prod(sizes) // math.prod(size for size in given if size))
    return max(1, math.prod(sizes[2:]) if len(sizes) > 3 else sizes[-1] if sizes else 1)
