"""Check whether the float64 run computes the same function as the float32 run, so that their distance is a rounding error.

A model may depend on its own precision: decode bits, branch on a type, add the smallest number of its type. If more detections pass
a threshold in float64, or tied scores come in a different order, elements cannot be compared one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.messages import quality as wording
from tritonize.core.results import ALL, DRAWN, Unmeasured
from tritonize.quality.differences import floating, largest, measure, numeric
from tritonize.quality.metrics import detections

CLOSE = {"fp32": 2.0**-10, "fp64": 2.0**-10}
"""Largest distance of float64 from PyTorch's own output, relative to the output's size, by the output's type. The fault bench's
models differ by at most 2^-19 in float32; a different function differs by about the output's size."""
_CLOSE_IN_HALF = 0.25
EXPLAINED = 10.0
"""If rounding the weights differently moves the output by a distance d, a float64 distance up to this factor times d is accepted:
the model is ill-conditioned, and not a different function."""
_COORDINATES = 4


def unlike(
    samples: SampleSet, own: TensorFiles, exact: TensorFiles, *, moved: Sequence[Mapping[str, float]]
) -> Iterator[Unmeasured]:
    """Yield the outputs, and edge cases of outputs, whose float64 values cannot be used, with the reason.

    Args:
        moved: by sample and output, the change of PyTorch's output when its weights are rounded differently; may be empty.
    """
    for tensor in exact.tensors:
        bound, size = CLOSE.get(_dtype(own, tensor.name), _CLOSE_IN_HALF), 0.0
        reported: set[str] = set()
        pairs = [(samples.group(index), index) for index in range(own.count)]
        for index in range(samples.drawn):  # the output's size counts for edge cases too
            size = max(size, _largest(arrays.load(exact, index)[tensor.name]))
        for group, index in pairs:
            one, other = arrays.load(own, index)[tensor.name], arrays.load(exact, index)[tensor.name]
            explained = EXPLAINED * (moved[index].get(tensor.name, 0.0) if moved else 0.0)
            why = _why_unlike(one, other, index, size=max(size, _largest(other)), bound=bound, explained=explained)
            place = group if group != DRAWN and floating(other) else ALL
            if why and place not in reported:
                reported.add(place)
                yield Unmeasured(output=tensor.name, group=place, why=why)


def _dtype(files: TensorFiles, name: str) -> str:
    return next(tensor.dtype for tensor in files.tensors if tensor.name == name)


def _largest(array: Array) -> float:
    return largest(np.ascontiguousarray(array).reshape(-1)) if numeric(array) else 0.0


def _why_unlike(own: Array, exact: Array, sample: int, *, size: float, bound: float, explained: float) -> str:
    """Return why the two outputs are not of the same function; empty if they may be."""
    if own.shape != exact.shape:
        return wording.OTHER_SHAPE.text(dtype="fp64", sample=sample, found=list(exact.shape), expected=list(own.shape))
    if not floating(exact):
        return "" if np.array_equal(own, exact) else wording.OTHER_NUMBERS.text(dtype="fp64", sample=sample)
    sums = measure(exact, own, 0.0, atol=0.0, ulp=False)
    if sums.nan[0] != sums.nan[1] or sums.inf[0] != sums.inf[1]:
        return wording.NOT_FINITE.text(dtype="fp64", sample=sample)
    if sums.max_abs > max(bound * size, explained):
        share = sums.max_abs / size if size else float("inf")
        return wording.FAR.text(sample=sample, far=sums.max_abs, share=share)
    return ""


def match_detections(own: TensorFiles, exact: TensorFiles, names: Collection[str], *, samples: SampleSet) -> Iterator[Unmeasured]:
    """Reorder the rows of float64's detections like float32's, if all rows match; otherwise yield how many do not match."""
    for index in range(exact.count):
        one, other = arrays.load(own, index), arrays.load(exact, index)
        changed = {}
        for name in [name for name in names if name in other]:
            ordered = _in_order(one[name], other[name], batched=samples.batched)
            if isinstance(ordered, int):
                group = samples.group(index)
                why = wording.OTHER_ROWS.text(dtype="fp64", sample=index, alone=ordered)
                yield Unmeasured(output=name, group=ALL if group == DRAWN else group, why=why)
            elif ordered is not None:
                changed[name] = ordered
        if changed:
            arrays.save(exact, index, {name: np.array(changed.get(name, array)) for name, array in other.items()})


def _in_order(own: Array, exact: Array, *, batched: bool) -> Array | int | None:
    """Return the float64 rows in float32's order, or the number of unmatched rows; `None` if already in order or not detections."""
    if own.ndim != 2 + batched or own.shape[-1] < _COORDINATES or not detections.alike(own, exact):
        return None
    ordered, alone = [], 0
    for one, other in zip(own if batched else own[None], exact if batched else exact[None], strict=True):
        rows, partners = detections.match(one.astype(np.float64), other, _COORDINATES)
        alone += len(one) + len(other) - 2 * rows.size
        ordered.append(other[partners[np.argsort(rows)]])
    if alone:
        return alone
    found: Array = np.stack(ordered) if batched else ordered[0]
    return None if np.array_equal(found, exact) else found
