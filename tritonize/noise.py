"""What an error is measured in: how far PyTorch's own answers are from its float64 ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritonize import arrays, dtypes
from tritonize.artifacts import SampleSet, TensorFiles
from tritonize.differences import measure
from tritonize.golden import GoldenSet
from tritonize.measures import NoiseFloor

UNITS: Mapping[str, float] = {"fp32": 2.0**-23, "fp64": 2.0**-52, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
"""Of each precision: what an error is at least measured in, as a part of the largest answer. For float32 the distance between
neighbours, as the limits were measured with; for reduced ones the unit roundoff."""
LUCK = 2.0
"""How many times its own error PyTorch may be thought to be exact by luck: with the default limit of 10 an error of 30 times that
own error, from which on a fault counts, is found then too."""


def noise_floors(
    samples: SampleSet,
    own: TensorFiles,
    exact: TensorFiles,
    precision: str,
    moved: Sequence[Mapping[str, float]] = (),
) -> tuple[NoiseFloor, ...]:
    """How far PyTorch's answers in a precision are from its float64 ones, per floating output and group of samples.

    Args:
        own: PyTorch in the precision that is judged; in float32 for `tf32`, which runs on no CPU.
        moved: by sample and output, how far PyTorch's answer moves where its weights are rounded otherwise; see `Computed.moved`.
    """
    found: dict[tuple[str, str], NoiseFloor] = {}
    for index in range(own.count):
        one, other = arrays.load(own, index), arrays.load(exact, index)
        for name in floating(exact):
            sums = measure(other[name], one[name], 0.0, 0.0)
            key = name, samples.group(index)
            known = found.get(key)
            larger = known is None or sums.max_abs > known.noise
            found[key] = NoiseFloor(
                output=name,
                group=key[1],
                noise=max(sums.max_abs, known.noise if known else 0.0),
                scale=max(sums.largest, known.scale if known else 0.0),
                unit=UNITS[precision],
                sample=index if larger or known is None else known.sample,
                sensitivity=max(moved[index].get(name, 0.0) if moved else 0.0, known.sensitivity if known else 0.0),
            )
    return tuple(replace(floor, sensitivity=min(floor.sensitivity, LUCK * floor.noise)) for floor in found.values())


def floating(files: TensorFiles) -> list[str]:
    """The names of the floating tensors."""
    return [tensor.name for tensor in files.tensors if dtypes.by_name(tensor.dtype).floating]


def ratio(error: float, denominator: float) -> float | None:
    """k; 0 for no error, and `None` where an error has nothing to be measured in."""
    if error == 0:
        return 0.0
    return error / denominator if denominator else None


def ill_conditioned(golden: GoldenSet) -> tuple[NoiseFloor, ...]:
    """Outputs of which PyTorch's own float32 answer is further from the exact one than the tolerance allows an answer to be."""
    found = []
    for floor in golden.floors:
        tolerance = golden.rule(floor.output).tolerance
        kept = floor.sample < golden.samples.files.count  # a file may hold fewer samples than were drawn
        if golden.exact and kept and floor.unit == UNITS["fp32"] and floor.noise > tolerance.atol:
            exact = arrays.load(golden.exact, floor.sample)[floor.output]
            own = arrays.load(golden.expected, floor.sample)[floor.output]
            if measure(exact, own, tolerance.rtol, tolerance.atol).mismatched:
                found.append(floor)
    return tuple(found)
