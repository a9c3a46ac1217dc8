"""The noise floor: PyTorch's own error against its float64 outputs, the unit in which other errors are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonize.core import arrays, dtypes
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.results import ALL, DRAWN, Kind, NoiseFloor, Unmeasured
from tritonize.quality import float64_agreement
from tritonize.quality.differences import measure
from tritonize.quality.golden_set import GoldenSet

UNITS: Mapping[str, float] = {"fp32": 2.0**-23, "fp64": 2.0**-52, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
"""The smallest unit of an error by precision, relative to the largest output value. For float32 it is the distance between
neighbouring numbers, with which the limits were measured; for reduced precisions it is the unit roundoff."""
LUCK = 2.0
"""Bound on the allowance for PyTorch being exact by luck, as a factor of its own error. With the default limit of 10, an error of
30 times PyTorch's own error, the smallest one that counts as a fault, is then still found."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Float64 values and noise floors of all outputs."""

    exact: TensorFiles | None
    """PyTorch's float64 values, for the outputs that have them; `None` if no output has any."""
    floors: tuple[NoiseFloor, ...]
    unmeasured: tuple[Unmeasured, ...]


def measured(
    samples: SampleSet,
    own: TensorFiles,
    exact: TensorFiles,
    *,
    kinds: Mapping[str, Kind],
    moved: Sequence[Mapping[str, float]] = (),
    without: Mapping[str, str] | None = None,
) -> Measured:
    """Measure float32 noise floors, for the outputs whose float64 run computed the same function.

    Args:
        own: PyTorch in float32.
        exact: PyTorch in float64. Files of unusable outputs are removed; rows of detections are put into `own`'s order.
        kinds: kind of each output; `values` for an output that is not named.
        moved: see `noise_floors`.
        without: outputs that are not in `exact`, with the reason.
    """
    found = [Unmeasured(output=name, group=ALL, why=why) for name, why in (without or {}).items()]
    rows = float64_agreement.match_detections(
        own, exact, [name for name, kind in kinds.items() if kind == "detections"], samples=samples
    )
    found += [*rows, *float64_agreement.unlike(samples, own, exact, moved=moved)]
    lost = {each.output for each in found if each.group == ALL}
    exact = arrays.select(exact, [tensor.name for tensor in exact.tensors if tensor.name not in lost])
    found = [each for each in found if each.group == ALL or each.output not in lost]
    left_out = {(each.output, each.group) for each in found}
    floors = noise_floors(samples, own, exact, precision="fp32", moved=moved)
    return Measured(
        exact=exact if exact.tensors else None,
        floors=tuple(floor for floor in floors if (floor.output, floor.group) not in left_out),
        unmeasured=tuple(found),
    )


def noise_floors(
    samples: SampleSet,
    own: TensorFiles,
    exact: TensorFiles,
    *,
    precision: str,
    moved: Sequence[Mapping[str, float]] = (),
) -> tuple[NoiseFloor, ...]:
    """Measure PyTorch's error in a precision against its float64 outputs, per floating output and group of samples.

    A group gets no floor if the shapes differ or an output is missing in that precision.

    Args:
        own: PyTorch in the judged precision; in float32 for `tf32`, which no CPU computes.
        moved: by sample and output, the change of PyTorch's output when its weights are rounded differently; see `Observed.moved`.
    """
    found: dict[tuple[str, str], NoiseFloor] = {}
    misshaped: set[tuple[str, str]] = set()
    for index in range(own.count):
        one, other = arrays.load(own, index), arrays.load(exact, index)
        for name in floating(exact):
            key = name, samples.group(index)
            if name not in one or one[name].shape != other[name].shape:
                misshaped.add(key)
                continue
            sums = measure(other[name], one[name], 0.0, atol=0.0)
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
    scales = {name: floor.scale for (name, group), floor in found.items() if group == DRAWN}
    return tuple(
        replace(
            floor,
            sensitivity=min(floor.sensitivity, LUCK * floor.noise),
            least=0.0 if group == DRAWN else floor.unit * scales.get(name, 0.0),
        )
        for (name, group), floor in found.items()
        if (name, group) not in misshaped
    )


def floating(files: TensorFiles) -> list[str]:
    """Return the names of the floating-point tensors."""
    return [tensor.name for tensor in files.tensors if dtypes.by_name(tensor.dtype).floating]


def ratio(error: float, denominator: float) -> float | None:
    """Return the noise-floor ratio (k); 0 without an error, and `None` if the denominator is 0."""
    if error == 0:
        return 0.0
    return error / denominator if denominator else None


def ill_conditioned(golden: GoldenSet) -> tuple[NoiseFloor, ...]:
    """Return the floors of outputs where PyTorch's own float32 error exceeds the tolerance."""
    found = []
    for floor in golden.floors:
        tolerance = golden.rule(floor.output).tolerance
        kept = floor.sample < golden.samples.files.count  # a file may hold fewer samples than were drawn
        if golden.exact and kept and floor.unit == UNITS["fp32"] and floor.noise > tolerance.atol:
            exact = arrays.load(golden.exact, floor.sample)[floor.output]
            own = arrays.load(golden.expected, floor.sample)[floor.output]
            if measure(exact, own, tolerance.rtol, atol=tolerance.atol).mismatched:
                found.append(floor)
    return tuple(found)
