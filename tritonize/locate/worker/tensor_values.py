"""Compute the values of a graph's tensors part by part in ONNX Runtime and store them in files while they are needed."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import locate as messages
from tritonize.locate.worker.subgraphs import Graph
from tritonize.process.stopwatch import Stopwatch

_WEIGHTS_LIMIT = 1 << 30
"""Size of weights in bytes above which a part is written with external data, because protobuf is limited to 2 GiB."""


class Store:
    """Arrays in files, by batch and tensor."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._kept: dict[tuple[int, str], tuple[Path, bool]] = {}
        self._written = 0

    def put(self, batch: int, name: str, array: Array) -> None:
        """Store an array. Raises OSError."""
        path = self._directory / f"{self._written}.npy"
        self._written += 1
        narrow = array.dtype == arrays.BFLOAT16  # NumPy cannot read a bfloat16 file back
        np.save(path, array.view(np.uint16) if narrow else array, allow_pickle=False)
        self._kept[batch, name] = (path, narrow)

    def get(self, batch: int, name: str) -> Array:
        """An array, memory-mapped. Raises KeyError."""
        path, narrow = self._kept[batch, name]
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.view(arrays.BFLOAT16) if narrow else array

    def names(self) -> set[str]:
        """The names of the stored tensors; every batch has the same."""
        return {name for _, name in self._kept}

    def drop(self, names: Iterable[str]) -> None:
        """Remove tensors of all batches."""
        gone = set(names)
        for key in [key for key in self._kept if key[1] in gone]:
            self._kept.pop(key)[0].unlink()


class Runner:
    """Runs parts of graphs with ONNX Runtime's graph optimizations disabled, and records the largest part."""

    def __init__(self, directory: Path, libraries: Sequence[str]) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._libraries = tuple(libraries)
        self.watch = Stopwatch()
        """Seconds spent in ONNX Runtime."""
        self.parts = 0
        self.largest = 0
        """Largest total size of the outputs of one part, in bytes."""

    def run(
        self,
        model: onnx.ModelProto,
        feeds: Sequence[Mapping[str, Array]],
        take: Callable[[int, Arrays], None],
        *,
        weights: int = 0,
    ) -> None:
        """Run a part on every batch and pass its outputs to `take`, one batch at a time.

        Raises:
            UsageError: a library of operators cannot be loaded.
            ExportError: ONNX Runtime does not load or run the part.
        """
        with self.watch.library():
            session = self._session(model, weights)
        outputs = session.get_outputs()
        self.parts += 1
        for number, fed in enumerate(feeds):
            names = [output.name for output in outputs]
            try:
                with self.watch.library():
                    values = session.run_with_ort_values(names, {name: _value(array) for name, array in fed.items()})
            except Exception as error:
                where = f"between {model.graph.node[0].name} and {model.graph.node[-1].name}"
                raise ExportError.of(messages.PART_FAILED, found=_first_line(error), where=where) from error
            computed = {name: _array(value) for name, value in zip(names, values, strict=True)}
            self.largest = max(self.largest, sum(array.nbytes for array in computed.values()))
            take(number, computed)

    def _session(self, model: onnx.ModelProto, weights: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        for library in self._libraries:
            try:
                options.register_custom_ops_library(library)
            except Exception as error:
                raise UsageError.of(messages.OPERATOR_LIBRARY, where=library, found=_first_line(error)) from error
        try:
            source: bytes | str
            if weights > _WEIGHTS_LIMIT:
                path = self._directory / "part.onnx"
                path.with_name("part.data").unlink(missing_ok=True)
                onnx.save(model, path, save_as_external_data=True, location="part.data")
                source = str(path)
            else:
                source = model.SerializeToString()
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            nodes = ", ".join(f"{node.op_type} {node.name}" for node in model.graph.node[:3])
            raise ExportError.of(messages.PART_REFUSED, where=f"from {nodes}", found=_first_line(error)) from error


class Evaluation:
    """The values of one graph on some batches. A tensor is computed on demand, normally once.

    Args:
        tensors: every tensor whose value is used; nodes that none of them depends on are not computed.
    """

    def __init__(self, graph: Graph, tensors: Iterable[str], batches: Sequence[Arrays], *, store: Store, runner: Runner) -> None:
        self.graph, self._batches, self._store, self._runner = graph, batches, store, runner
        self._left = set(graph.ancestors(tensors, ()))

    def advance(self, names: Iterable[str]) -> None:
        """Compute and store tensors, and the tensors that remaining nodes need. Raises like `Runner.run`."""
        graph, kept = self.graph, self._store.names()
        missing = [name for name in names if name not in kept and name in graph.producer]
        if not missing:
            return
        nodes = graph.ancestors(missing, kept)
        self._left.difference_update(nodes)
        outputs_of_nodes = [name for index in nodes for name in graph.nodes[index].output if name]
        alive = [name for name in outputs_of_nodes if self._needed(name) and name not in graph.no_tensors and name not in kept]
        outputs = list(dict.fromkeys([*missing, *alive]))
        fed = dict.fromkeys(name for index in nodes for name in graph.needs[index] if name in kept or name in graph.inputs)
        feeds = [{name: self.value(number, name) for name in fed} for number in range(len(self._batches))]
        described = {name: (arrays.dtype_name(array), array.ndim) for name, array in feeds[0].items()}

        def keep(number: int, computed: Arrays) -> None:
            for name, array in computed.items():
                self._store.put(number, name, array)

        model = graph.model(nodes, described, outputs, renamed={})
        self._runner.run(model, feeds, keep, weights=graph.weight_bytes(nodes))

    def value(self, batch: int, name: str) -> Array:
        """A tensor that was computed, or an input of the model. Raises KeyError."""
        if name in self.graph.inputs:
            kind = onnx.helper.tensor_dtype_to_np_dtype(self.graph.inputs[name].type.tensor_type.elem_type)
            return cast(self._batches[batch][name], kind)
        return self._store.get(batch, name)

    def release(self, needed: set[str]) -> None:
        """Remove values that neither `needed` nor a remaining node refers to."""
        self._store.drop(name for name in self._store.names() if name not in needed and not self._needed(name))

    def _needed(self, name: str) -> bool:
        return any(index in self._left for index in self.graph.consumers.get(name, ()))


def cast(array: Array, kind: np.dtype[np.generic]) -> Array:
    """The array in another type; values that are too large become infinity, as in ONNX's Cast."""
    if array.dtype == kind:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(kind)


def _value(array: Array) -> onnxruntime.OrtValue:
    if array.dtype == arrays.BFLOAT16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.array(array.view(np.uint16)), 16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))


def _array(value: onnxruntime.OrtValue) -> Array:
    """The value's elements; bfloat16 is read from memory, because ONNX Runtime has no NumPy type for it."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()  # type: ignore[no-any-return]
    shape = tuple(value.shape())
    memory = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
    return np.frombuffer(memory, np.uint16).view(arrays.BFLOAT16).reshape(shape)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
