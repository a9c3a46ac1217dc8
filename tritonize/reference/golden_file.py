"""Write the golden set of a version as one portable file, and read it on any machine.

`golden.json` describes the set, `config.pbtxt` is the version's configuration, and the arrays are in packs: `inputs/0/1.npy`
contains input 1 of all samples of pack 0, concatenated along a new first axis. The samples of a pack have the same shapes. Samples
that tritonize generated may be stored as their spec and a SHA-256; reading the file generates them again.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from tritonize.core import arrays, bounded_files, npy
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import golden as wording
from tritonize.quality import golden_set
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import checksummed_archive, golden_seeds
from tritonize.spec import schema

SUFFIX = ".golden"
BUDGET = golden_set.BUDGET
"""Default size limit of the file in bytes; the file contains at least one sample regardless."""
FACTS = "golden.json"
CONFIG = "config.pbtxt"
_ALLOWED = re.compile(rf"{re.escape(FACTS)}|{re.escape(CONFIG)}|(inputs|expected|exact)/\d{{1,9}}/\d{{1,9}}\.npy")
_SCHEMA = 1
_MEMBER_BYTES = 512
"""Upper bound on the bytes of a member besides its content: the `.npy` header, and its entries in the ZIP and the index."""
_SEEDED_BYTES = 96
"""Bytes of a seeded sample in `golden.json`."""

_Kind = Literal["inputs", "expected", "exact"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The version that a golden set belongs to."""

    model: str
    version: int
    config: str
    """Text of config.pbtxt."""
    created: str
    """Time at which the version was proven."""
    verdict: str
    """Verdict of that proof."""
    versions: Mapping[str, str]
    """Versions of tritonize and NumPy that wrote the file, by name."""


@dataclass(frozen=True, kw_only=True)
class GoldenFile:
    """The contents of a golden file; the arrays are in the folder into which it was read."""

    origin: Origin
    golden: GoldenSet
    samples_in_version: int
    """Number of samples in the version's own golden set."""
    seeded: tuple[int, ...]
    """Numbers of the samples that were generated again."""
    bytes: int
    """Size of the file."""


def write(
    path: Path, origin: Origin, golden: GoldenSet, *, recipe: schema.Model | None, budget: int = BUDGET, seeds: bool = False
) -> int:
    """Write as many samples as fit into the budget, at least one.

    Args:
        path: the file; it must not exist.
        origin: the version of the golden set.
        golden: the version's golden set.
        recipe: the spec from which its samples were generated; `None` if they were not generated.
        budget: size limit of the file in bytes.
        seeds: store generated samples by their seed even if the arrays fit.

    Returns:
        The number of samples written.

    Raises:
        UsageError: the file exists, or `seeds` is set and no sample can be generated again.
    """
    seeded = _seeded(origin, golden, recipe, budget=budget, required=seeds)
    count = _fitting(golden, seeded, budget - _fixed_bytes(origin, golden))
    written = _first(golden, count)
    packs = _packs(written, seeded)
    digests = {index: sha256 for index, sha256 in seeded.items() if index < count}
    facts = {
        "schema": _SCHEMA,
        "model": origin.model,
        "version": origin.version,
        "created": origin.created,
        "verdict": origin.verdict,
        "versions": dict(origin.versions),
        "of": golden.samples.files.count,
        "set": golden_set.facts(written),
        "packs": packs,
        "seeds": golden_seeds.recipe_of(recipe, digests) if recipe and digests else None,
    }
    with checksummed_archive.writing(path) as file:
        file.add(FACTS, [json.dumps(facts, ensure_ascii=False).encode()])
        file.add(CONFIG, [origin.config.encode()])
        for number, members in enumerate(packs):
            _add(file, written, number, members=members, seeded=seeded)
    return count


def _seeded(origin: Origin, golden: GoldenSet, recipe: schema.Model | None, *, budget: int, required: bool) -> dict[int, str]:
    """Return the samples that are stored by their seed, with their SHA-256; unless required, none if all arrays fit."""
    digests: dict[int, str] = {}
    if recipe and (required or _fitting(golden, {}, budget - _fixed_bytes(origin, golden)) < golden.samples.files.count):
        digests = golden_seeds.reproducible(recipe, golden.samples)
    if required and not digests:
        where = f"{origin.model} version {origin.version}"
        raise UsageError.of(wording.NO_SEEDS, where=where, found=golden.samples.origin)
    return digests


def _add(
    file: checksummed_archive.Writer, golden: GoldenSet, number: int, *, members: Sequence[int], seeded: Mapping[int, str]
) -> None:
    """Write the arrays of one pack."""
    for kind, files in _kinds(golden).items():
        if kind == "inputs" and members[0] in seeded:
            continue
        for position, _ in arrays.present(files, members[0]):
            # Only edge cases, which are constant, get smaller by compression.
            compress = kind == "inputs" and members[0] in golden.samples.edges
            file.add(f"{kind}/{number}/{position}.npy", _chunks(files, members, position), compress=compress)


def _kinds(golden: GoldenSet) -> dict[_Kind, TensorFiles]:
    kinds: dict[_Kind, TensorFiles] = {"inputs": golden.samples.files, "expected": golden.expected}
    return kinds | {"exact": golden.exact} if golden.exact else kinds


def _fixed_bytes(origin: Origin, golden: GoldenSet) -> int:
    """Return an upper bound on the bytes of everything but samples."""
    return len(json.dumps(golden_set.facts(golden), ensure_ascii=False).encode()) + len(origin.config.encode()) + 8 * _MEMBER_BYTES


def _fitting(golden: GoldenSet, seeded: Mapping[int, str], budget: int) -> int:
    """Return how many of the first samples fit into the budget; at least one."""
    used = 0
    shapes: set[tuple[object, ...]] = set()
    for index in range(golden.samples.files.count):
        loaded = {kind: arrays.load(files, index) for kind, files in _kinds(golden).items()}
        items = {kind: item for kind, item in loaded.items() if kind != "inputs" or index not in seeded}
        used += sum(array.nbytes for item in items.values() for array in item.values()) + (_SEEDED_BYTES if index in seeded else 8)
        form = _form(golden, seeded, index)
        if form not in shapes:
            shapes.add(form)
            used += _MEMBER_BYTES * sum(len(item) for item in items.values())
        if index and used > budget:
            return _whole(golden, index)
    return golden.samples.files.count


def _whole(golden: GoldenSet, count: int) -> int:
    """Return how many of the first samples make up whole sequences or requests; those of the first one in any case."""
    ends = [members[-1] + 1 for members in golden.samples.together]
    return max([ends[0], *(end for end in ends if end <= count)]) if ends else count


def _first(golden: GoldenSet, count: int) -> GoldenSet:
    """Return the golden set with its first samples only."""
    exact = replace(golden.exact, count=count) if golden.exact else None
    absent = {index: names for index, names in golden.samples.files.absent.items() if index < count}
    inputs = golden.samples.only(range(count), replace(golden.samples.files, count=count, absent=absent))
    return replace(golden, samples=inputs, expected=replace(golden.expected, count=count), exact=exact)


def _form(golden: GoldenSet, seeded: Mapping[int, str], index: int) -> tuple[object, ...]:
    """Return what all samples of a pack have in common: tensors with shapes, and whether they are edge cases or seeded."""
    loaded = (arrays.load(files, index) for files in _kinds(golden).values())
    shapes = [tuple((name, array.shape) for name, array in item.items()) for item in loaded]
    return index in golden.samples.edges, index in seeded, *shapes


def _packs(golden: GoldenSet, seeded: Mapping[int, str]) -> list[list[int]]:
    """Return the sample numbers of each pack."""
    packs: dict[tuple[object, ...], list[int]] = {}
    for index in range(golden.samples.files.count):
        packs.setdefault(_form(golden, seeded, index), []).append(index)
    return list(packs.values())


def _chunks(files: TensorFiles, members: Sequence[int], position: int) -> Iterator[bytes | memoryview]:
    """Yield the contents of a `.npy` file with one tensor of several samples."""
    name = files.tensors[position].name
    first = arrays.bits(arrays.load(files, members[0])[name])
    dtype = first.dtype
    if dtype.kind == "U":  # as wide as the longest text
        dtype = max((arrays.bits(arrays.load(files, index)[name]).dtype for index in members), key=lambda other: other.itemsize)
    header = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (len(members), *first.shape)}
    np.lib.format.write_array_header_1_0(header, facts)
    yield header.getvalue()
    for index in members:
        array = arrays.bits(arrays.load(files, index)[name]).astype(dtype, copy=False)
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def read(path: Path, directory: Path) -> GoldenFile:
    """Read and check a file, unpack its arrays into a folder, and generate the seeded samples there.

    Raises:
        UsageError: the file does not exist.
        RepositoryError: the file is truncated, changed or damaged (the error names the member), or the installed NumPy generates
            other samples.
    """
    directory = directory.absolute()
    arrays.release()  # a pack of the same path may be cached
    checksummed_archive.unpack(path, directory, allowed=_ALLOWED)
    try:
        facts = bounded_files.json_of(directory / FACTS)
        if facts["schema"] != _SCHEMA:
            raise ValueError(f"schema {facts['schema']} instead of {_SCHEMA}")
        origin = Origin(
            model=str(facts["model"]),
            version=int(facts["version"]),
            config=bounded_files.text(directory / CONFIG),
            created=str(facts["created"]),
            verdict=str(facts["verdict"]),
            versions={str(name): str(version) for name, version in facts["versions"].items()},
        )
        golden = _packed(golden_set.from_facts(directory, facts["set"]), facts["packs"])
        seeded = tuple(sorted(int(index) for index in facts["seeds"]["sha256"])) if facts["seeds"] else ()
        if seeded:
            numpy = origin.versions.get("numpy", "?")
            golden_seeds.generate(golden.samples.files, facts["packs"], facts["seeds"], numpy=numpy, path=path)
        samples_in_version = int(facts["of"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, ValidationError) as error:
        raise RepositoryError.of(wording.GOLDEN_FILE_UNREADABLE, where=f"{path}: {FACTS}", found=repr(error)[:1000]) from error
    for files in _kinds(golden).values():
        _require_sound(path, files, facts["packs"])
    return GoldenFile(origin=origin, golden=golden, samples_in_version=samples_in_version, seeded=seeded, bytes=path.stat().st_size)


def _packed(golden: GoldenSet, packs: list[list[int]]) -> GoldenSet:
    """Return the golden set with every sample's place in the packs. Raises ValueError unless the packs list each sample once."""
    count = golden.samples.files.count
    if sum(map(len, packs)) != count or not all(packs):  # first, since a list of all numbers may not fit into memory
        raise ValueError(f"the packs do not list each of {count} samples once")
    places = {index: (number, row) for number, members in enumerate(packs) for row, index in enumerate(members)}
    if sorted(index for members in packs for index in members) != list(range(count)):
        raise ValueError(f"the packs do not list each of {count} samples once")
    rows = tuple(places[index] for index in range(count))
    exact = replace(golden.exact, packed=rows) if golden.exact else None
    inputs = replace(golden.samples, files=replace(golden.samples.files, packed=rows))
    return replace(golden, samples=inputs, expected=replace(golden.expected, packed=rows), exact=exact)


def _require_sound(path: Path, files: TensorFiles, packs: Sequence[Sequence[int]]) -> None:
    """Check that every pack exists, has its element type and length, and is not a pickle."""
    for members in packs:
        for position, tensor in arrays.present(files, members[0]):
            place = files.path(members[0], position)
            member = f"{place.parent.parent.name}/{place.parent.name}/{place.name}"
            try:
                npy.require_sound(place, tensor, items=len(members))
            except (OSError, ValueError) as error:
                raise RepositoryError.of(wording.GOLDEN_FILE_DAMAGED, where=f"{path}: {member}", found=str(error)) from error
