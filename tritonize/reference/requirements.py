"""What a model has to be before anything is compared with it: batchable, and with the inputs and outputs of its spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # Any: JSON data of an inspection

from tritonize.core import arrays
from tritonize.core.artifacts import Check, SampleSet, TensorFiles
from tritonize.core.errors import UsageError
from tritonize.core.messages import export as export_wording
from tritonize.core.messages import quality as quality_wording
from tritonize.core.messages import reference as wording
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import Batch
from tritonize.reference.runner import Computed
from tritonize.spec import schema

OVERRIDABLE = 4
"""The IR version from which on a client may send a weight that is an input too (ONNX Runtime, `Graph::CanOverrideInitializer`)."""


def first_batches(model: schema.Model, drawn: SampleSet) -> list[Batch]:
    """One batch of every size and shape."""
    sizes = [size for size in arrays.batch_sizes(model.max_batch_size) if size > 1]
    return [batch for size in sizes for batch in arrays.first_batches(drawn, size)]


def batch_check(
    model: schema.Model, computed: Computed, position: int, *, batch: Batch, stage: StageName = StageName.PYTORCH
) -> Check:
    """Compare the answer to a batch with the answers to its samples alone.

    Args:
        position: of the batch among `computed.batched`.

    Raises:
        UsageError: they differ, or the outputs have no batch axis.
    """
    found = arrays.load(computed.batched, position)
    singles = [arrays.load(computed.reference.outputs, index) for index in batch]
    for name, array in found.items():
        if not array.ndim or array.shape[0] != len(batch) or singles[0][name].shape[:1] != (1,):
            raise _not_batchable(len(batch), f"output {name!r} has shape {list(array.shape)} for {len(batch)} samples")
    expected = arrays.stack(computed.reference.outputs, batch)
    tensors = compare(expected, found, {name: model.tolerance_of(name) for name in expected})
    check = Check(stage=stage, batch_size=len(batch), samples=batch, tensors=tensors)
    if not check.passed:
        bad = next(tensor for tensor in tensors if not tensor.passed)
        far = "" if bad.max_abs is None else f"; largest difference {bad.max_abs:.3g}"
        raise _not_batchable(len(batch), f"output {bad.name!r}: {bad.reason}{far}")
    return check


def require_one_shape(model: schema.Model, outputs: TensorFiles, drawn: SampleSet) -> None:
    """Raise where answers to samples of one shape, which may lie in one batch, have several.

    Raises:
        UsageError: it names the output and two shapes.
    """
    for members in arrays.groups(drawn) if model.max_batch_size > 1 else ():
        first = arrays.load(outputs, members[0])
        for index in members[1:]:
            for name, array in arrays.load(outputs, index).items():
                if array.shape[1:] != first[name].shape[1:]:
                    raise UsageError.of(
                        quality_wording.SIZES_BY_DATA,
                        where=f"output {name}, samples {members[0]} and {index}",
                        found=f"shapes {list(first[name].shape)} and {list(array.shape)}",
                    )


def require_outputs(model: schema.Model, outputs: TensorFiles) -> None:
    """Raise where the spec has rules for an output that the model does not have, which would then hold for none.

    Raises:
        UsageError: it names the outputs that there are.
    """
    names = [tensor.name for tensor in outputs.tensors]
    if unknown := [name for name in model.outputs if name not in names]:
        raise UsageError(
            "The model has no such output.", where="outputs", found=", ".join(unknown), expected=f"one of {', '.join(names)}"
        )


def require_servable(model: schema.Model, details: Mapping[str, Any]) -> None:
    """Refuse a weight of an ONNX file as an input where no server takes it as one.

    Args:
        details: of the file's inspection.

    Raises:
        UsageError: with batching Triton takes no optional input; before IR version 4 a weight is a constant to ONNX Runtime.
    """
    for name in (each for each in details["optional_inputs"] if each in model.inputs):
        if details["ir_version"] < OVERRIDABLE:
            raise UsageError.of(export_wording.FIXED_WEIGHT, where="inputs", name=name, found=f"IR version {details['ir_version']}")
        if model.max_batch_size:
            raise UsageError.of(export_wording.OPTIONAL_BATCHED, where="inputs", name=name)


def _not_batchable(size: int, found: str) -> UsageError:
    return UsageError.of(wording.NOT_BATCHABLE, found=found, size=size)
