"""The values of a graph's tensors, computed part by part in ONNX Runtime and kept in files as long as they are needed."""

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
from tritonize.locate.worker.subgraphs import Graph
from tritonize.process.stopwatch import Stopwatch

_WEIGHTS_LIMIT = 1 << 30
"""Bytes of weights above which a part is written to a file with its data beside it; protobuf holds less than 2 GiB."""


class Store:
    """Arrays in files, by batch and tensor."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._kept: dict[tuple[int, str], tuple[Path, bool]] = {}
        self._written = 0

    def put(self, batch: int, name: str, array: Array) -> None:
        """Keep an array. Raises OSError."""
        path = self._directory / f"{self._written}.npy"
        self._written += 1
        narrow = array.dtype == arrays.BFLOAT16  # NumPy does not read it back
        np.save(path, array.view(np.uint16) if narrow else array, allow_pickle=False)
        self._kept[batch, name] = (path, narrow)

    def get(self, batch: int, name: str) -> Array:
        """An array, memory-mapped. Raises KeyError."""
        path, narrow = self._kept[batch, name]
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.view(arrays.BFLOAT16) if narrow else array

    def names(self) -> set[str]:
        """The tensors that are kept, for the first batch and so for all."""
        return {name for _, name in self._kept}

    def drop(self, names: Iterable[str]) -> None:
        """Remove tensors, of all batches."""
        gone = set(names)
        for key in [key for key in self._kept if key[1] in gone]:
            self._kept.pop(key)[0].unlink()


class Runner:
    """Runs parts of graphs with ONNX Runtime's own changes of a graph switched off, and remembers how large they were."""

    def __init__(self, directory: Path, libraries: Sequence[str]) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._libraries = tuple(libraries)
        self.watch = Stopwatch()
        """The seconds that ONNX Runtime took."""
        self.parts = 0
        self.largest = 0
        """Bytes that one part answered at once."""

    def run(
        self,
        model: onnx.ModelProto,
        feeds: Sequence[Mapping[str, Array]],
        take: Callable[[int, Arrays], None],
        *,
        weights: int = 0,
    ) -> None:
        """Run a part on every batch and hand over its answers, one batch at a time.

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
                    found = session.run_with_ort_values(names, {name: _value(array) for name, array in fed.items()})
            except Exception as error:
                raise ExportError(
                    "ONNX Runtime fails on a part of the graph.",
                    found=_first_line(error),
                    where=f"between {model.graph.node[0].name} and {model.graph.node[-1].name}",
                ) from error
            answer = {name: _array(value) for name, value in zip(names, found, strict=True)}
            self.largest = max(self.largest, sum(array.nbytes for array in answer.values()))
            take(number, answer)

    def _session(self, model: onnx.ModelProto, weights: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        for library in self._libraries:
            try:
                options.register_custom_ops_library(library)
            except Exception as error:
                raise UsageError(
                    "ONNX Runtime does not load the library of custom operators.", where=library, found=_first_line(error)
                ) from error
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
            raise ExportError(
                "ONNX Runtime does not load a part of the graph.", where=f"from {nodes}", found=_first_line(error)
            ) from error


class Evaluation:
    """The values of one graph on some batches. A tensor is computed when it is asked for, and once as a rule.

    Args:
        wanted: every tensor that will ever be asked for; what nothing of it needs is not computed.
    """

    def __init__(self, graph: Graph, wanted: Iterable[str], batches: Sequence[Arrays], *, store: Store, runner: Runner) -> None:
        self.graph, self._batches, self._store, self._runner = graph, batches, store, runner
        self._left = set(graph.ancestors(wanted, ()))

    def advance(self, wanted: Iterable[str]) -> None:
        """Compute tensors and keep them, and with them what nodes still to come take. Raises like `Runner.run`."""
        graph, kept = self.graph, self._store.names()
        missing = [name for name in wanted if name not in kept and name in graph.producer]
        if not missing:
            return
        nodes = graph.ancestors(missing, kept)
        self._left.difference_update(nodes)
        made = [name for index in nodes for name in graph.nodes[index].output if name]
        alive = [name for name in made if self._needed(name) and name not in graph.no_tensors and name not in kept]
        outputs = list(dict.fromkeys([*missing, *alive]))
        fed = dict.fromkeys(name for index in nodes for name in graph.needs[index] if name in kept or name in graph.inputs)
        feeds = [{name: self.value(number, name) for name in fed} for number in range(len(self._batches))]
        described = {name: (arrays.dtype_name(array), array.ndim) for name, array in feeds[0].items()}

        def keep(number: int, answer: Arrays) -> None:
            for name, array in answer.items():
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
        """Remove what neither nodes still to come nor anyone else needs."""
        self._store.drop(name for name in self._store.names() if name not in needed and not self._needed(name))

    def _needed(self, name: str) -> bool:
        return any(index in self._left for index in self.graph.consumers.get(name, ()))


def cast(array: Array, kind: np.dtype[np.generic]) -> Array:
    """The array in another type; too large a value becomes an infinity, as it does in a cast of ONNX."""
    if array.dtype == kind:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(kind)


def _value(array: Array) -> onnxruntime.OrtValue:
    if array.dtype == arrays.BFLOAT16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.array(array.view(np.uint16)), 16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))


def _array(value: onnxruntime.OrtValue) -> Array:
    """The value's elements; for bfloat16 from its memory, since ONNX Runtime has no NumPy type to give them in."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()  # type: ignore[no-any-return]
    shape = tuple(value.shape())
    memory = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
    return np.frombuffer(memory, np.uint16).view(arrays.BFLOAT16).reshape(shape)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
