"""What Triton makes of one request with ragged inputs before the model gets it, and of the model's outputs.

A ragged input has the elements of all requests of a batch in one axis. Batch inputs have what Triton computes of the requests, such
as where each one ends. Here a batch is one request, whose outputs do not depend on other requests. Source: model_config.proto
(`BatchInput`, `BatchOutput`), and `docs/user_guide/ragged_batching.md` in triton-inference-server/server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any  # Any: values of a spec, which protobuf checks

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec

if TYPE_CHECKING:  # both processes import the tasks, which name `Ragged`, and few of them need NumPy or the spec
    from tritonize.core.arrays import Array, Arrays
    from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class BatchInput:
    """An input of the model that Triton computes."""

    name: str
    kind: str
    dtype: str
    source: str
    """The input of the request that it is computed of."""


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """How the requests of a model with ragged inputs become the inputs of its file."""

    inputs: tuple[str, ...]
    made: tuple[BatchInput, ...] = ()
    scattered: Mapping[str, str] = field(default_factory=dict)
    """Output to the input whose shape it has."""

    def model_inputs(self, request: Arrays) -> Arrays:
        """The inputs of the file for one request."""
        own = {name: array.reshape(-1) if name in self.inputs else array for name, array in request.items()}
        return {**own, **{each.name: _computed(each, request[each.source]) for each in self.made}}

    def client_outputs(self, found: Arrays, request: Arrays) -> Arrays:
        """The outputs that the request gets. Raises ValueError if a scattered output does not have the size of its input."""
        return {
            name: array.reshape(request[self.scattered[name]].shape) if name in self.scattered else array
            for name, array in found.items()
        }


def of(model: schema.Model) -> Ragged | None:
    """How a model's requests become inputs; `None` for a model without ragged inputs."""
    from tritonize.spec import input_rules

    inputs = tuple(name for name, tensor in model.inputs.items() if tensor.ragged)
    if not inputs:
        return None
    made = tuple(
        BatchInput(
            name=input_rules.named(entry, "target_name")[0],
            kind=entry.get("kind", input_rules.BATCH_INPUTS[0]),
            dtype=dtypes.by_triton(entry.get("data_type", "TYPE_INT32")).name,
            source=input_rules.named(entry, "source_input")[0],
        )
        for entry in _entries(model, "batch_input")
    )
    scattered = {
        input_rules.named(entry, "target_name")[0]: input_rules.named(entry, "source_input")[0]
        for entry in _entries(model, "batch_output")
    }
    return Ragged(inputs=inputs, made=made, scattered=scattered)


def _entries(model: schema.Model, key: str) -> list[dict[str, Any]]:
    found = model.triton.get(key, [])
    return found if isinstance(found, list) else [found]


def client_inputs(model: schema.Model, inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Inputs of a file as a client sends them: ragged ones in the shape of a request, without those that Triton computes."""
    ragged = of(model)
    if ragged is None:
        return tuple(inputs)
    made = {each.name for each in ragged.made}
    sent = (each for each in inputs if each.name not in made)
    return tuple(replace(each, shape=_shape(model, each.name)) if each.name in ragged.inputs else each for each in sent)


def client_outputs(model: schema.Model, outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Outputs of a file as a client receives them: scattered ones in the shape of their input."""
    ragged = of(model)
    scattered = ragged.scattered if ragged else {}
    return tuple(replace(each, shape=_shape(model, scattered[each.name])) if each.name in scattered else each for each in outputs)


def _shape(model: schema.Model, name: str) -> tuple[int | str, ...]:
    return tuple(model.inputs[name].shape)


def _computed(made: BatchInput, source: Array) -> Array:
    """A batch input of one request. Triton leaves the elements of BATCH_MAX_ELEMENT_COUNT_AS_SHAPE undefined; here they are 0."""
    import numpy as np

    from tritonize.core import arrays

    count, dims = source.size, list(source.shape[1:])
    numbers: dict[str, object] = {
        "BATCH_ELEMENT_COUNT": [count],
        "BATCH_ACCUMULATED_ELEMENT_COUNT": [count],
        "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": [0, count],
        "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": np.zeros(count),
        "BATCH_ITEM_SHAPE": [dims],
        "BATCH_ITEM_SHAPE_FLATTEN": dims,
    }
    return np.asarray(numbers[made.kind], arrays.numpy_dtype(made.dtype))
