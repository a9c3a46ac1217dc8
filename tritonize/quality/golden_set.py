"""The golden set of a version: samples with PyTorch's outputs, so that the version can be verified without torch and the source.

Longer than 300 lines: a set and the format that it is stored in are one thing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonize.core import arrays, bounded_files, dtypes, npy
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, Sequences, TensorFiles, TensorSpec, from_json, to_json
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import files as wording
from tritonize.core.results import Kind, NoiseFloor, Unmeasured
from tritonize.quality import sample_digests
from tritonize.spec.schema import MAX_BATCH_SIZE, Bound, Tolerance

BUDGET = 64 * 2**20
"""Bytes of arrays that a version keeps by default."""
MOST = 2_000_000
"""Largest number of samples in a set: a spec allows up to a million, with two batch sizes per shape."""
_FILE = "golden.json"
_SCHEMA = 2


Batch = tuple[int, ...]
"""Indices of the samples that are joined along the first axis."""
PYTORCH = "PyTorch in float32"
ONNX_SOURCE = "the source, an ONNX file, in ONNX Runtime"
STEP_SOURCE = "the function of the Python step itself, without a server"
"""Values of `GoldenSet.answered_by`: what computed the expected outputs."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules for one output: tolerance, noise-floor ratio and bounds on metrics."""

    kind: Kind = "values"
    tolerance: Tolerance = field(default_factory=Tolerance)
    noise_floor: float | None = None
    """Largest noise-floor ratio (k); `None` turns this gate off."""
    noise_floor_gpu: float | None = None
    metrics: Mapping[str, Bound] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GoldenSet:
    """Samples, expected outputs, and the rules for a comparison with them."""

    samples: SampleSet
    expected: TensorFiles
    """PyTorch in float32, one item per sample."""
    max_batch_size: int
    rules: Mapping[str, Rules] = field(default_factory=dict)
    """By output; an output that is not named gets the default rules."""
    exact: TensorFiles | None = None
    """PyTorch's float64 values, for the outputs that have them; `None` if no output has any."""
    rounded: bool = False
    """Whether the float64 values were rounded to float32, as they are in files."""
    why_not: str = ""
    """Why there are no float64 values."""
    answered_by: str = PYTORCH
    """What computed the expected outputs, as text."""
    unpadded: str = ""
    """Why samples are not sent in a batch padded with zeros: the model's own outputs change there. Empty if they are sent."""
    unmeasured: tuple[Unmeasured, ...] = ()
    """Outputs, and edge cases of outputs, that lack float64 values while others have them."""
    required: bool = False
    """If true, verification fails without a float64 reference."""
    floors: tuple[NoiseFloor, ...] = ()
    quick: bool = False
    """Whether a quick run compares with it, which takes fewer batches. It is not stored: a later verification takes all."""

    def batches(self) -> list[Batch]:
        """Return batches with every sample at every batch size up to `max_batch_size`; in a quick run at the largest size.

        One sample then comes alone too, and each sample that can only come alone.
        """
        every = arrays.all_batches(self.samples, self.max_batch_size)
        if not self.quick or self.samples.together or self.max_batch_size < 2:
            return every
        alone = {0, *self.samples.edges}
        return [batch for batch in every if len(batch) == self.max_batch_size or (len(batch) == 1 and batch[0] in alone)]

    def expected_outputs(self, batch: Batch) -> Arrays:
        """Return the expected outputs of a batch: the outputs of its single samples, joined."""
        return arrays.stack(self.expected, batch)

    def without(self, dropped: Collection[str]) -> GoldenSet:
        """Return the set without some edge cases, by name; the files of later samples are renumbered."""
        gone = [index for index, name in self.samples.edges.items() if name in dropped]
        return replace(
            self,
            samples=arrays.without_edges(self.samples, dropped),
            expected=arrays.drop(self.expected, gone),
            exact=arrays.drop(self.exact, gone) if self.exact else None,
            floors=tuple(floor for floor in self.floors if floor.group not in dropped),
            unmeasured=tuple(each for each in self.unmeasured if each.group not in dropped),
        )

    @property
    def tolerances(self) -> dict[str, Tolerance]:
        """Tolerance of every output that has rules."""
        return {name: rules.tolerance for name, rules in self.rules.items()}

    def is_exact(self, output: str) -> bool:
        """Whether an output has float64 values."""
        return self.exact is not None and any(tensor.name == output for tensor in self.exact.tensors)

    def rule(self, output: str) -> Rules:
        """Return the rules of an output."""
        return self.rules.get(output, Rules())


def fitting(
    golden: GoldenSet, *, budget: int = BUDGET, first: Sequence[int] = (), allowed: Collection[int] | None = None
) -> list[int]:
    """Return which samples fit into `budget` bytes with their expected and float64 outputs; empty if not one does.

    Args:
        first: samples to take before the others, such as the one with the largest error.
        allowed: the samples that may be kept (all).
    """
    chosen: list[int] = []
    left = budget
    others = [index for index in range(golden.samples.files.count) if index not in first]
    whole = {index: members for members in golden.samples.together for index in members}
    for index in (each for each in (*first, *others) if allowed is None or each in allowed):
        members = whole.get(index, (index,))  # a step without those before it is of no use
        if index in chosen:
            continue
        left -= sum(_bytes(golden, member) for member in members)
        if left < 0:
            break
        chosen += members
    return sorted(chosen)


def _bytes(golden: GoldenSet, index: int) -> int:
    """Return the bytes of a sample and its outputs in files; float64 values are stored as float32."""
    stored = [*arrays.load(golden.samples.files, index).values(), *arrays.load(golden.expected, index).values()]
    if golden.exact:
        stored += _rounded(_exact_files(golden, Path()), arrays.load(golden.exact, index)).values()
    return sum(arrays.bits(array).nbytes + npy.HEAD_BYTES for array in stored)


def _exact_files(golden: GoldenSet, directory: Path) -> TensorFiles:
    tensors = _rounded_specs(golden.exact.tensors) if golden.exact else ()
    return TensorFiles(directory=directory / "exact", tensors=tensors, count=0)


def write(golden: GoldenSet, directory: Path, *, keep: Sequence[int] | None = None) -> GoldenSet:
    """Write samples with their outputs; return the set that was written.

    Args:
        keep: the samples to write, in ascending order (all).
    """
    kept = range(golden.samples.files.count) if keep is None else keep
    absent = {place: golden.samples.files.absent[index] for place, index in enumerate(kept) if index in golden.samples.files.absent}
    inputs = TensorFiles(directory=directory / "inputs", tensors=golden.samples.files.tensors, count=0, absent=absent)
    outputs = TensorFiles(directory=directory / "expected", tensors=golden.expected.tensors, count=0)
    exact = _exact_files(golden, directory)
    for place, index in enumerate(kept):
        arrays.save(inputs, place, arrays.load(golden.samples.files, index))
        arrays.save(outputs, place, arrays.load(golden.expected, index))
        if golden.exact:
            arrays.save(exact, place, _rounded(exact, arrays.load(golden.exact, index)))
    written = replace(
        golden,
        samples=golden.samples.only(kept, replace(inputs, count=len(kept))),
        expected=replace(outputs, count=len(kept)),
        exact=replace(exact, count=len(kept)) if golden.exact else None,
    )
    (directory / _FILE).write_text(json.dumps(facts(written), indent=2) + "\n", encoding="utf-8")
    return read(directory)


def facts(golden: GoldenSet) -> dict[str, object]:
    """Return everything in a set except its arrays, as plain data for JSON."""
    return {
        "schema": _SCHEMA,
        "count": golden.samples.files.count,
        "drawn": golden.samples.drawn,
        "origin": golden.samples.origin,
        "edges": {str(index): name for index, name in golden.samples.edges.items()},
        **({"sequences": to_json(golden.samples.sequences)} if golden.samples.sequences else {}),
        **({"requests": list(golden.samples.requests)} if golden.samples.requests else {}),
        "absent": {str(index): list(names) for index, names in golden.samples.files.absent.items()},
        "max_batch_size": golden.max_batch_size,
        "inputs": [to_json(tensor) for tensor in golden.samples.files.tensors],
        "expected": [to_json(tensor) for tensor in golden.expected.tensors],
        "exact": [to_json(tensor) for tensor in golden.exact.tensors] if golden.exact else None,
        "why_not": golden.why_not,
        "answered_by": golden.answered_by,
        "unpadded": golden.unpadded,
        "unmeasured": [to_json(each) for each in golden.unmeasured],
        "required": golden.required,
        "floors": [to_json(floor) for floor in golden.floors],
        "rules": {name: to_json(rules) for name, rules in golden.rules.items()},
    }


def _rounded_specs(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(replace(each, dtype="fp32") if dtypes.by_name(each.dtype).floating else each for each in tensors)


def _rounded(files: TensorFiles, exact: Arrays) -> Arrays:
    return {tensor.name: exact[tensor.name].astype(arrays.numpy_dtype(tensor.dtype)) for tensor in files.tensors}


def read(directory: Path) -> GoldenSet:
    """Read the golden set in a folder.

    Raises:
        RepositoryError: it is missing or damaged.
    """
    if why := sample_digests.why_alone(directory):
        raise RepositoryError.of(wording.GOLDEN_NOT_KEPT, where=str(directory), found=why)
    path = directory / _FILE
    try:
        facts = bounded_files.json_of(path)
        golden = from_facts(directory, facts if facts["schema"] == _SCHEMA else _from_schema_1(facts))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise RepositoryError.of(wording.GOLDEN_UNREADABLE, where=str(path), found=repr(error)[:1000]) from error
    for files in (golden.samples.files, golden.expected, golden.exact):
        for item, tensor in _paths(files) if files else ():
            try:
                npy.require_sound(item, tensor)
            except (OSError, ValueError) as error:
                raise RepositoryError.of(wording.GOLDEN_DAMAGED, where=str(item), found=str(error)) from error
    return golden


def from_facts(directory: Path, facts: dict[str, Any]) -> GoldenSet:
    """Build a set from the data of `facts` and the arrays in a folder. `Any` is the JSON of a file that may come from elsewhere.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the data does not have the form of `facts`.
    """
    count, size = int(facts["count"]), int(facts["max_batch_size"])
    if not 0 < count <= MOST or not 0 <= size <= MAX_BATCH_SIZE:
        raise ValueError(f"{count} samples and max_batch_size {size}; 1 to {MOST:,} and 0 to {MAX_BATCH_SIZE:,} are possible")
    edges = {int(index): str(name) for index, name in facts["edges"].items()}
    if sorted(edges) != list(range(count - len(edges), count)):
        raise ValueError("the edge cases are not the last samples")
    absent = {int(index): tuple(map(str, names)) for index, names in facts.get("absent", {}).items()}  # not in older versions
    if not set(absent) <= set(edges):
        raise ValueError("a sample that is no edge case lacks an input")
    exact = facts["exact"] and TensorFiles(directory=directory / "exact", tensors=_tensors(facts["exact"]), count=count)
    return GoldenSet(
        samples=SampleSet(
            files=TensorFiles(directory=directory / "inputs", tensors=_tensors(facts["inputs"]), count=count, absent=absent),
            batched=size > 0,
            origin=str(facts["origin"]),
            edges=edges,
            sequences=_sequences(facts, count),
            requests=_starts(facts.get("requests", ()), count),
        ),
        expected=TensorFiles(directory=directory / "expected", tensors=_tensors(facts["expected"]), count=count),
        max_batch_size=size,
        rules={name: from_json(Rules, rules) for name, rules in facts["rules"].items()},
        exact=exact or None,
        rounded=bool(exact),
        why_not=str(facts["why_not"]),
        answered_by=str(facts.get("answered_by", PYTORCH)),
        unpadded=str(facts.get("unpadded", "")),  # absent in older versions
        unmeasured=tuple(from_json(Unmeasured, each) for each in facts.get("unmeasured", ())),
        required=bool(facts["required"]),
        floors=tuple(from_json(NoiseFloor, floor) for floor in facts["floors"]),
    )


def _sequences(facts: dict[str, Any], count: int) -> Sequences | None:
    """Read which samples are the steps of one sequence; `None` for a model without state, and in versions before there were any."""
    if "sequences" not in facts:
        return None
    found = from_json(Sequences, facts["sequences"])
    if not _starts(found.starts, count):
        raise ValueError("the sequences have no samples")
    return found


def _starts(starts: Sequence[int], count: int) -> tuple[int, ...]:
    """Check which samples are the first ones of those that belong together, of `count` in all; none if none do."""
    found = tuple(map(int, starts))
    if found and (found[0] != 0 or sorted(set(found)) != [*found] or found[-1] >= count):
        raise ValueError(f"what belongs together starts at the samples {str(found)[:200]} of {count}")
    return found


def _from_schema_1(facts: dict[str, Any]) -> dict[str, Any]:
    """Convert schema 1, which had tolerances only."""
    rules = {name: {"tolerance": tolerance} for name, tolerance in facts["tolerances"].items()}
    why = "the version was published before float64 was part of the proof"
    return {**facts, "edges": {}, "exact": None, "why_not": why, "required": False, "floors": [], "rules": rules}


def _paths(files: TensorFiles) -> Iterator[tuple[Path, TensorSpec]]:
    for index in range(files.count):
        yield from ((files.path(index, position), tensor) for position, tensor in arrays.present(files, index))


def _tensors(plain: list[dict[str, object]]) -> tuple[TensorSpec, ...]:
    tensors = tuple(from_json(TensorSpec, each) for each in plain)
    for each in tensors:
        arrays.numpy_dtype(each.dtype)  # raises KeyError for an unknown type
    return tensors
