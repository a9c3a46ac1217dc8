"""An ONNX graph that can be split into parts: dependencies of nodes, and models of subsets of nodes; inside a worker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx
import onnx.external_data_helper
import onnx.helper
import onnx.inliner
import onnx.shape_inference
from onnx import AttributeProto, NodeProto, TensorProto, ValueInfoProto

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.errors import ExportError
from tritonize.core.messages import files as files_wording
from tritonize.onnx_model.worker import finishing, writer


class Graph:
    """The nodes of an ONNX file in topological order. A node with subgraphs (If, Loop, Scan) is one node."""

    def __init__(self, path: Path) -> None:
        """Read a file; external data is read only when a part needs it.

        Raises:
            UsageError: its external data is missing or lies outside its folder.
            ExportError: its nodes form a cycle.
        """
        model = onnx.load(path, load_external_data=False)
        finishing.require_safe_external_data(model, path)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        self._folder = path.parent
        self._shell = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
        self.weights: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in model.graph.sparse_initializer}
        self.inputs = {value.name: value for value in model.graph.input if value.name not in self.weights}
        self.outputs = tuple(value.name for value in model.graph.output)
        self.nodes: list[NodeProto] = _sorted(model.graph.node, path)
        self.needs = [tuple(name for name in _consumed(node) if not self._constant(name)) for node in self.nodes]
        """The tensors that each node, including its subgraphs, takes from other nodes or from the model's inputs."""
        self.producer = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self._named: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            self._named.setdefault(node.name, []).append(index)
        self.consumers: dict[str, list[int]] = {}
        for index, needed in enumerate(self.needs):
            for name in needed:
                self.consumers.setdefault(name, []).append(index)
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Shapes of the tensors whose shape is known for the batch given to `infer`, and of the weights."""
        self.types: dict[str, int] = {}
        """TensorProto.DataType of tensors, as far as it is known."""
        self.no_tensors: set[str] = set()
        """Sequences, optional values and strings, which cannot be compared or stored in a file."""

    def _constant(self, name: str) -> bool:
        return name in self.weights or name in self._sparse

    def by_name(self, name: str) -> int | None:
        """The only node with a name; `None` without one or with several."""
        found = self._named.get(name, []) if name else []
        return found[0] if len(found) == 1 else None

    def infer(self, batch: Arrays) -> None:
        """Infer shapes and types for a batch of inputs; what cannot be inferred stays unknown."""
        light = self._part(range(len(self.nodes)), self.outputs)
        for tensor in self.weights.values():
            if writer.is_external(tensor) or tensor.ByteSize() > writer.SMALL:  # shapes do not depend on weights
                light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
            else:
                light.graph.initializer.append(tensor)
        for name, value in self.inputs.items():
            sized = onnx.helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, list(batch[name].shape))
            light.graph.input.append(sized)
        try:
            inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
        except (onnx.shape_inference.InferenceError, ValueError):
            inferred = light.graph
        for value in (*inferred.value_info, *inferred.output, *inferred.input):
            self._learn(value)
        for node in self.nodes:
            if node.op_type.startswith(("Sequence", "SplitToSequence", "Optional")) and not node.op_type.endswith(("At", "Length")):
                self.no_tensors.update(name for name in node.output if name not in self.types)

    def _learn(self, value: ValueInfoProto) -> None:
        kind = value.type.WhichOneof("value")
        if kind is None:
            return
        tensor = value.type.tensor_type
        if kind != "tensor_type" or tensor.elem_type == TensorProto.STRING:
            self.no_tensors.add(value.name)
            return
        if tensor.elem_type:
            self.types[value.name] = tensor.elem_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            self.shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)

    def size(self, name: str) -> int | None:
        """The size of a tensor in bytes; `None` if its shape or type is unknown."""
        if name not in self.shapes or name not in self.types:
            return None
        return math.prod(self.shapes[name]) * int(onnx.helper.tensor_dtype_to_np_dtype(self.types[name]).itemsize)

    def weight_bytes(self, nodes: Iterable[int]) -> int:
        """The size of the weights of some nodes, in bytes."""
        names = {name for index in nodes for name in _consumed(self.nodes[index]) if name in self.weights}
        return sum(writer.size(self.weights[name], self._folder) for name in names)

    def ancestors(self, tensors: Iterable[str], known: Iterable[str]) -> list[int]:
        """The nodes that compute tensors from known tensors and the model's inputs, in topological order."""
        have, found = set(known), set[int]()
        pending = [name for name in tensors if name in self.producer]
        while pending:
            index = self.producer[pending.pop()]
            if index not in found:
                found.add(index)
                pending += [name for name in self.needs[index] if name not in have and name in self.producer]
        return sorted(found)

    def model(
        self, nodes: Sequence[int], feeds: Mapping[str, tuple[str, int]], outputs: Sequence[str], *, renamed: Mapping[str, str]
    ) -> onnx.ModelProto:
        """Build a model from some nodes.

        Args:
            feeds: name of each input to its element type (a name of `dtypes.TABLE`) and number of axes.
            outputs: the model's outputs, by their new names.
            renamed: outputs of nodes to rename, so that their consumers read the fed values instead.

        Raises:
            OSError: the external data cannot be read.
        """
        model = self._part(nodes, outputs, renamed)
        for name in dict.fromkeys(name for index in nodes for name in _consumed(self.nodes[index])):
            if name in self.weights:
                model.graph.initializer.add().CopyFrom(self.weights[name])
            elif name in self._sparse:
                model.graph.sparse_initializer.append(self._sparse[name])
        for name, (kind, rank) in feeds.items():
            number = onnx.helper.np_dtype_to_tensor_dtype(arrays.numpy_dtype(kind))
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, number, [None] * rank))
        for tensor in filter(writer.is_external, writer.external_or_large(model)):
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(self._folder))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
        return model

    def _part(self, nodes: Sequence[int], outputs: Sequence[str], renamed: Mapping[str, str] | None = None) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self._shell)
        model.graph.name = "part"
        for index in nodes:
            node = model.graph.node.add()
            node.CopyFrom(self.nodes[index])
            if renamed:
                node.output[:] = [renamed.get(name, name) for name in node.output]
        model.graph.output.extend(ValueInfoProto(name=name) for name in outputs)
        return model


def subgraphs(node: NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node."""
    single = [each.g for each in node.attribute if each.type == AttributeProto.GRAPH]
    return [*single, *(graph for each in node.attribute if each.type == AttributeProto.GRAPHS for graph in each.graphs)]


def _consumed(node: NodeProto) -> Iterator[str]:
    """The tensors that a node consumes: its inputs, and the outer tensors that its subgraphs use."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        yield from _free(graph)


def _free(graph: onnx.GraphProto) -> Iterator[str]:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in _consumed(node) if name not in own)
        own.update(node.output)
    yield from (value.name for value in graph.output if value.name not in own)


def _sorted(nodes: Iterable[NodeProto], path: Path) -> list[NodeProto]:
    """Sort nodes topologically and stably; tools that insert casts leave some files unsorted."""
    waiting = list(nodes)
    made_here = {name for node in waiting for name in node.output if name}
    done: set[str] = set()
    ordered: list[NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if all(name in done or name not in made_here for name in _consumed(node)):
                ordered.append(node)
                done.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ExportError.of(files_wording.ONNX_NOT_WELL_FORMED, where=path.name, found=f"{later[0].op_type} {later[0].name}")
        waiting = later
    return ordered
