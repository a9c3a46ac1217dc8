"""Check the model before anything is compared with it: it must be batchable, and have the inputs and outputs of its spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # Any: JSON data of an inspection

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import UsageError
from tritonize.core.messages import export as export_wording
from tritonize.core.messages import quality as quality_wording
from tritonize.core.messages import reference as wording
from tritonize.core.reports import Check, TensorCheck
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import Batch
from tritonize.reference.runner import Computed
from tritonize.spec import schema, sequences

OVERRIDABLE_IR_VERSION = 4
"""First IR version in which a client may send a weight that is also an input (ONNX Runtime, `Graph::CanOverrideInitializer`)."""

_ROUNDINGS = 64
"""Units in the last place of the largest value by which outputs in another batch differ at most if the samples do not mix."""
_ROOM = 16
"""The same units that a tolerance needs at least: a runtime adds in another order than PyTorch."""


def first_batches(model: schema.Model, drawn: SampleSet) -> list[Batch]:
    """Return one batch of every size and shape; in a quick run, of the largest size alone.

    The size of a state that may grow is known at the start of a sequence alone, so that only first steps are put into one batch.
    """
    sizes = [size for size in arrays.batch_sizes(model.largest_request) if size > 1]
    sizes = sizes[-1:] if model.quality.quick else sizes
    contract = sequences.of(model)
    if contract and drawn.sequences and any(-1 in state.dims for state in contract.states):
        starts = [index for index in drawn.sequences.starts if index not in drawn.edges]
        return [tuple(group[place % len(group)] for place in range(size)) for size in sizes for group in _alike(drawn, starts)]
    return [batch for size in sizes for batch in arrays.first_batches(drawn, size)]


def _alike(drawn: SampleSet, indices: Sequence[int]) -> list[list[int]]:
    """Return those of the samples that have the same shapes, group by group."""
    groups = ([index for index in members if index in indices] for members in arrays.groups(drawn))
    return [members for members in groups if members]


def batch_check(
    model: schema.Model, computed: Computed, position: int, *, batch: Batch, stage: StageName = StageName.PYTORCH
) -> Check:
    """Compare the output for a batch with the outputs for its samples alone.

    Args:
        position: position of the batch in `computed.batched`.

    Raises:
        UsageError: the outputs differ, or have no batch axis.
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
        if all(tensor.passed or _rounds(expected, tensor) for tensor in tensors):
            raise _below_rounding(len(batch), expected[bad.name], bad)
        far = "" if bad.max_abs is None else f"; largest difference {bad.max_abs:.3g}"
        raise _not_batchable(len(batch), f"output {bad.name!r}: {bad.reason}{far}")
    return check


def require_one_shape(model: schema.Model, outputs: TensorFiles, drawn: SampleSet) -> None:
    """Check that samples of one shape, which a server may put into one batch, have outputs of one shape.

    Raises:
        UsageError: an output has several shapes; the error names two of them.
    """
    for members in arrays.groups(drawn) if model.largest_request > 1 else ():
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
    """Check that the model has every output for which the spec has rules.

    Raises:
        UsageError: it does not have one of them; the error lists the model's outputs.
    """
    names = [tensor.name for tensor in outputs.tensors]
    if unknown := [name for name in model.outputs if name not in names]:
        raise UsageError.of(
            wording.NO_SUCH_OUTPUT, where="outputs", found=", ".join(unknown), expected=f"one of {', '.join(names)}"
        )


def require_servable(model: schema.Model, details: Mapping[str, Any]) -> None:
    """Check that no weight of an ONNX file is declared as an input that a server does not accept.

    Args:
        details: `details` of the file's inspection.

    Raises:
        UsageError: Triton supports no optional input with batching; before IR version 4, ONNX Runtime treats a weight as a
            constant.
    """
    for name in (optional for optional in details["optional_inputs"] if optional in model.inputs):
        if details["ir_version"] < OVERRIDABLE_IR_VERSION:
            raise UsageError.of(export_wording.FIXED_WEIGHT, where="inputs", name=name, found=f"IR version {details['ir_version']}")
        if model.max_batch_size:
            raise UsageError.of(export_wording.OPTIONAL_BATCHED, where="inputs", name=name)


def _rounds(expected: arrays.Arrays, tensor: TensorCheck) -> bool:
    """Whether the difference of an output is no more than PyTorch's own rounding of sums in another order."""
    array = expected.get(tensor.name)
    if array is None or tensor.max_abs is None or array.dtype.kind != "f" or tensor.least_atol is None:
        return False
    return tensor.max_abs <= _ROUNDINGS * _rounding(array)


def _rounding(array: arrays.Array) -> float:
    """One unit in the last place of the largest finite value."""
    largest = np.max(np.abs(array), where=np.isfinite(array), initial=0.0)
    return float(np.spacing(array.dtype.type(largest)))


def _below_rounding(size: int, expected: arrays.Array, bad: TensorCheck) -> UsageError:
    """The error for a tolerance that PyTorch's own outputs exceed, with the smallest one that leaves room for another runtime."""
    return UsageError.of(
        wording.BELOW_ROUNDING,
        where=f"output {bad.name}",
        expected=f"rtol {bad.rtol:g}, atol {bad.atol:g}",
        found=f"largest difference {bad.max_abs:.3g}; one rounding of its largest value is {_rounding(expected):.1g}",
        output=bad.name,
        dtype=expected.dtype.name,
        size=size,
        rtol=f"{10 * float(np.finfo(expected.dtype).eps):.0e}",
        atol=f"{max(_ROOM * _rounding(expected), 2 * (bad.max_abs or 0.0)):.0e}",
    )


def _not_batchable(size: int, found: str) -> UsageError:
    return UsageError.of(wording.NOT_BATCHABLE, found=found, size=size)
