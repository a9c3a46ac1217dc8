"""Measure how far rounding alone moves the outputs of an ONNX file. Runs in a worker process, without torch.

The output of every arithmetic node is multiplied by 1 plus or minus a unit or two in the last place, drawn at random with a seed. A
right file and a wrong one move about equally, so this measures how accurately an output can be computed, not whether it is right.
It is used where PyTorch's own error is a bad measure: on a constant input a normalization divides by almost zero, and it is luck
whether its sums are exact there.
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
"""Operators that only move or select values, without rounding."""
_CHOOSING = frozenset(("ArgMax", "ArgMin", "Hardmax", "NonMaxSuppression", "TopK", "Unique"))
"""Operators that rank values: the order of tied values is unspecified."""
_AVERAGING = frozenset(("GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"))
_NORMALIZING = frozenset(
    ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization", "RMSNormalization")
)
"""Operators that add up one axis or more. The rounding error of a sum of n terms grows with sqrt(n). Normalizations add, too."""
_ULP = 2.0**-23
_TERMS = 1 << 12
"""Number of terms if the shapes are unknown."""
DRAWS = 2


def measure(request: SamplesRequest) -> Sensitivity:
    """Measure how far rounding moves the outputs of each sample, and find the outputs that depend on a ranking of values."""
    watch = Stopwatch()
    with watch.library():
        plain = ort_session.session(request.path, request.libraries)
    moved = [dict[str, float]() for _ in request.indices]
    shapes = {name: array.shape for name, array in arrays.load(request.samples.files, request.indices[0]).items()}
    for draw in range(DRAWS):
        path = request.path.with_name(f"{request.path.stem}.rounded{draw}.onnx")  # beside the file, to share its external data
        try:
            onnx.save(_rounded(onnx.load(request.path, load_external_data=False), shapes, draw), path)
            with watch.library():
                noisy = ort_session.session(path, request.libraries)
        finally:
            path.unlink(missing_ok=True)
        for found, index in zip(moved, request.indices, strict=True):
            batch = arrays.load(request.samples.files, index)
            with watch.library():
                outputs = ort_session.run_batch(plain, batch, 1), ort_session.run_batch(noisy, batch, 1)
            _widen(found, *outputs)
    chosen = _chosen(onnx.load(request.path, load_external_data=False).graph)
    return Sensitivity(moved=tuple(moved), chosen=frozenset(chosen), library_seconds=watch.seconds)


def _chosen(graph: onnx.GraphProto) -> set[str]:
    """Return the outputs that depend on a ranking operator, also one in a subgraph; the nodes are in topological order."""
    dependent: set[str] = set()
    for node in graph.node:
        if _chooses(node) or dependent.intersection(node.input):
            dependent.update(node.output)
    return dependent & {output.name for output in graph.output}


def _chooses(node: onnx.NodeProto) -> bool:
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return node.op_type in _CHOOSING or any(_chooses(each) for graph in inner for each in graph.node)


def _widen(found: dict[str, float], one: Arrays, other: Arrays) -> None:
    for name, array in one.items():
        if array.dtype.kind == "f" and other[name].shape != array.shape:
            found[name] = math.inf  # a different number of boxes, or of values over a threshold
        elif array.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                far = np.abs(array.astype(np.float64) - other[name])
            found[name] = max(found.get(name, 0.0), float(far[np.isfinite(far)].max(initial=0.0)))


def _rounded(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], draw: int) -> onnx.ModelProto:
    """Return the model with every float32 output of an arithmetic node rounded differently.

    Args:
        shapes: of the model's inputs in the sample.
    """
    known = inferred(model, shapes)
    nodes: list[onnx.NodeProto] = []
    for position, node in enumerate(model.graph.node):
        seed = float(1 + position + 100_003 * draw)
        if node.op_type in _NORMALIZING and node.input[0] in known:
            # An error of its sums acts like a different input, so its output may change by far more than rounding.
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
    """Return the nodes that multiply a value by 1 plus or minus up to a step, element by element."""
    drawn = f"{rounded}__rounding"
    return [
        helper.make_node("RandomUniformLike", [value], [drawn], low=1 - step, high=1 + step, seed=seed),
        helper.make_node("Mul", [value, drawn], [rounded]),
    ]


def inferred(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int | None, ...]]:
    """Return the float32 values of a graph with their sizes, as far as shape inference finds them from the sample's inputs."""
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
    """Return the number of terms in one sum of a node: the reduced axes, or at most all axes except batch and channel."""
    taken, given = known.get(node.input[0], (None,)), known.get(node.output[0], (None,))
    sizes = [size for size in taken if size]
    if len(sizes) < len(taken):
        return _TERMS
    if node.op_type in _AVERAGING and all(given):
        return max(1, math.prod(sizes) // math.prod(size for size in given if size))
    return max(1, math.prod(sizes[2:]) if len(sizes) > 3 else sizes[-1] if sizes else 1)
