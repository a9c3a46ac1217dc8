"""Compare two ONNX files: operators, inputs, outputs, and weights by name and content. Runs in a worker process."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import external_data_helper, numpy_helper

from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.onnx_model.tasks import GraphDiff, GraphDiffRequest, WeightChange
from tritonize.onnx_model.worker import finishing


def compare(request: GraphDiffRequest) -> GraphDiff:
    """Return the differences; weights are loaded one at a time.

    Raises:
        UsageError: a file is not a valid ONNX file, or its external data is missing, cut off or outside its folder.
        ExportError: an input or output of a file is not a tensor that Triton can serve.
    """
    before, after = _Side(request.before), _Side(request.after)
    counts = [
        Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in finishing.nodes(each.model))
        for each in (before, after)
    ]
    shared = [name for name in before.weights if name in after.weights]
    changed = [change for name in shared if (change := _change(before, after, name)) is not None]
    return GraphDiff(
        opset=(finishing.opset(before.model), finishing.opset(after.model)),
        nodes=(counts[0].total(), counts[1].total()),
        operators={
            kind: (counts[0][kind], counts[1][kind]) for kind in sorted(counts[0] | counts[1]) if counts[0][kind] != counts[1][kind]
        },
        inputs=_differing(before.inputs(), after.inputs()),
        outputs=_differing(before.outputs(), after.outputs()),
        weights=(len(before.weights), len(after.weights)),
        weights_added=tuple(name for name in after.weights if name not in before.weights),
        weights_removed=tuple(name for name in before.weights if name not in after.weights),
        weights_changed=tuple(sorted(changed, key=lambda each: -(each.relative if each.relative is not None else math.inf))),
    )


class _Side:
    """One of the two files; its external data stays on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.model = onnx.load(path, load_external_data=False)
        except Exception as error:
            raise UsageError.of(files_wording.NOT_ONNX, where=str(path), found=str(error).splitlines()[0]) from error
        finishing.require_safe_external_data(self.model, path)
        self.weights = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def inputs(self) -> dict[str, TensorSpec]:
        """Inputs by name, without initializers that are also listed as inputs."""
        values = [value for value in self.model.graph.input if value.name not in self.weights]
        return {spec.name: spec for spec in finishing.specs(values, "input")}

    def outputs(self) -> dict[str, TensorSpec]:
        """Outputs by name."""
        return {spec.name: spec for spec in finishing.specs(self.model.graph.output, "output")}

    def array(self, name: str) -> np.ndarray:
        """Load one weight; it is not kept."""
        tensor = onnx.TensorProto()
        tensor.CopyFrom(self.weights[name])
        if external_data_helper.uses_external_data(tensor):
            external_data_helper.load_external_data_for_tensor(tensor, str(self.path.parent))
        return numpy_helper.to_array(tensor)


def _differing(before: dict[str, TensorSpec], after: dict[str, TensorSpec]) -> dict[str, tuple[str, str]]:
    names = [*before, *(name for name in after if name not in before)]
    words = {name: (_words(before.get(name)), _words(after.get(name))) for name in names}
    return {name: pair for name, pair in words.items() if pair[0] != pair[1]}


def _words(spec: TensorSpec | None) -> str:
    """Format type and shape. Dynamic axes are written as `?`, since clients do not see their names."""
    sizes = ", ".join(str(size) if isinstance(size, int) else "?" for size in spec.shape) if spec else ""
    return f"{spec.dtype} [{sizes}]" if spec else "none"


def _change(before: _Side, after: _Side, name: str) -> WeightChange | None:
    """Return the change of a weight; `None` if type, shape and contents are equal."""
    old, new = before.array(name), after.array(name)
    sums = tuple(
        hashlib.sha256(f"{each.dtype} {each.shape} ".encode() + np.ascontiguousarray(each).tobytes()).hexdigest()
        for each in (old, new)
    )
    if sums[0] == sums[1]:
        return None
    return WeightChange(name=name, sha256=(sums[0], sums[1]), relative=_relative(old, new), elements=int(new.size))


def _relative(old: np.ndarray, new: np.ndarray) -> float | None:
    """||new - old|| / ||old||; `None` if the shapes differ, the type is text, or the result is not finite."""
    if old.shape != new.shape or old.dtype == object or new.dtype == object:
        return None
    difference = norm = 0.0
    for one, other in _chunks(old.reshape(-1), new.reshape(-1)):
        difference += float(np.square(other - one).sum())
        norm += float(np.square(one).sum())
    change = math.sqrt(difference / norm) if norm else math.nan
    return change if math.isfinite(change) else None


def _chunks(old: np.ndarray, new: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, old.size, 1 << 20):
        yield old[start : start + (1 << 20)].astype(np.float64), new[start : start + (1 << 20)].astype(np.float64)
