"""The golden set of a version as one portable file: written from a repository, read on any machine.

`golden_set.json` says what it is, `config.pbtxt` is the version's configuration, and the arrays lie in packs: `inputs/0/1.npy`
holds input number 1 of all samples of pack 0, one after the other along a new first axis. The samples of a pack have the same
shapes. Samples that tritonize generated may be kept as their spec and a SHA-256: then they are generated again when it is read.
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
from tritonize.core.messages import files as say
from tritonize.quality import golden_set
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import checksummed_archive, golden_seeds
from tritonize.spec import schema

SUFFIX = ".golden"
BUDGET = golden_set.BUDGET
"""Bytes of the file by default; at least one whole sample is always in it."""
FACTS = "golden.json"
CONFIG = "config.pbtxt"
_ALLOWED = re.compile(rf"{re.escape(FACTS)}|{re.escape(CONFIG)}|(inputs|expected|exact)/\d{{1,9}}/\d{{1,9}}\.npy")
_SCHEMA = 1
_HEAD = 512
"""Bytes that a member takes at most beside its content: a `.npy` head, and what ZIP and the index write about it."""
_SEEDED = 96
"""Bytes that a seeded sample takes in `golden_set.json`."""

_Kind = Literal["inputs", "expected", "exact"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which version a golden set is of."""

    model: str
    version: int
    config: str
    """Text of config.pbtxt."""
    created: str
    """When the version was proven."""
    verdict: str
    """Of that proof."""
    versions: Mapping[str, str]
    """Name to version of tritonize and NumPy when the file was written."""


@dataclass(frozen=True, kw_only=True)
class GoldenFile:
    """What a portable file holds; the arrays lie in the folder it was read into."""

    origin: Origin
    golden: GoldenSet
    of: int
    """How many samples the version itself carries."""
    seeded: tuple[int, ...]
    """Samples that were generated again."""
    bytes: int
    """Of the file."""


def write(
    path: Path, origin: Origin, known: GoldenSet, *, recipe: schema.Model | None, budget: int = BUDGET, seeds: bool = False
) -> int:
    """Write as many samples as fit, but at least one; the number of them.

    Args:
        path: the file; it must not exist.
        origin: which version it is of.
        known: the version's golden set.
        recipe: what its samples were generated from; `None` where they were not.
        budget: bytes of the file.
        seeds: keep generated samples by their seed even where the arrays would fit.

    Raises:
        UsageError: the file exists, or seeds were asked for and no sample can be generated again.
    """
    seeded = _chosen(origin, known, recipe, budget=budget, asked=seeds)
    count = _fitting(known, seeded, budget - _fixed(origin, known))
    kept = _first(known, count)
    packs = _packs(kept, seeded)
    sums = {index: each for index, each in seeded.items() if index < count}
    facts = {
        "schema": _SCHEMA,
        "model": origin.model,
        "version": origin.version,
        "created": origin.created,
        "verdict": origin.verdict,
        "versions": dict(origin.versions),
        "of": known.samples.files.count,
        "set": golden_set.facts(kept),
        "packs": packs,
        "seeds": golden_seeds.recipe_of(recipe, sums) if recipe and sums else None,
    }
    with checksummed_archive.writing(path) as file:
        file.add(FACTS, [json.dumps(facts, ensure_ascii=False).encode()])
        file.add(CONFIG, [origin.config.encode()])
        for number, members in enumerate(packs):
            _add(file, kept, number, members=members, seeded=seeded)
    return count


def _chosen(origin: Origin, known: GoldenSet, recipe: schema.Model | None, *, budget: int, asked: bool) -> dict[int, str]:
    """The samples that are kept by their seed: none where all arrays fit, unless it was asked for."""
    found: dict[int, str] = {}
    if recipe and (asked or _fitting(known, {}, budget - _fixed(origin, known)) < known.samples.files.count):
        found = golden_seeds.seeded(recipe, known.samples)
    if asked and not found:
        raise UsageError(
            "The samples cannot be kept by their seed.",
            where=f"{origin.model} version {origin.version}",
            found=known.samples.origin,
            cause="they come from files or a function, or this NumPy generates other bits",
            next_step="leave --seeds out: then the arrays are kept",
        )
    return found


def _add(
    file: checksummed_archive.Writer, kept: GoldenSet, number: int, *, members: Sequence[int], seeded: Mapping[int, str]
) -> None:
    """The arrays of one pack."""
    for kind, files in _kinds(kept).items():
        if kind == "inputs" and members[0] in seeded:
            continue
        for position in range(len(files.tensors)):
            # Edge cases are constants: only they get smaller.
            compress = kind == "inputs" and members[0] in kept.samples.edges
            file.add(f"{kind}/{number}/{position}.npy", _pieces(files, members, position), compress=compress)


def _kinds(known: GoldenSet) -> dict[_Kind, TensorFiles]:
    found: dict[_Kind, TensorFiles] = {"inputs": known.samples.files, "expected": known.expected}
    return found | {"exact": known.exact} if known.exact else found


def _fixed(origin: Origin, known: GoldenSet) -> int:
    """Bytes of everything but samples, at most."""
    return len(json.dumps(golden_set.facts(known), ensure_ascii=False).encode()) + len(origin.config.encode()) + 8 * _HEAD


def _fitting(known: GoldenSet, seeded: Mapping[int, str], budget: int) -> int:
    """How many samples fit, the first ones; at least one."""
    used = 0
    shapes: set[tuple[object, ...]] = set()
    for index in range(known.samples.files.count):
        loaded = {kind: arrays.load(files, index) for kind, files in _kinds(known).items()}
        items = {kind: item for kind, item in loaded.items() if kind != "inputs" or index not in seeded}
        used += sum(array.nbytes for item in items.values() for array in item.values()) + (_SEEDED if index in seeded else 8)
        form = _form(known, seeded, index)
        if form not in shapes:
            shapes.add(form)
            used += _HEAD * sum(len(item) for item in items.values())
        if index and used > budget:
            return index
    return known.samples.files.count


def _first(known: GoldenSet, count: int) -> GoldenSet:
    """The set with its first samples alone."""
    edges = {index: name for index, name in known.samples.edges.items() if index < count}
    exact = replace(known.exact, count=count) if known.exact else None
    inputs = replace(known.samples, files=replace(known.samples.files, count=count), edges=edges)
    return replace(known, samples=inputs, expected=replace(known.expected, count=count), exact=exact)


def _form(known: GoldenSet, seeded: Mapping[int, str], index: int) -> tuple[object, ...]:
    """What samples of one pack have in common."""
    shapes = [tuple(array.shape for array in arrays.load(files, index).values()) for files in _kinds(known).values()]
    return index in known.samples.edges, index in seeded, *shapes


def _packs(known: GoldenSet, seeded: Mapping[int, str]) -> list[list[int]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for index in range(known.samples.files.count):
        found.setdefault(_form(known, seeded, index), []).append(index)
    return list(found.values())


def _pieces(files: TensorFiles, members: Sequence[int], position: int) -> Iterator[bytes | memoryview]:
    """A `.npy` file of one tensor of several items."""
    name = files.tensors[position].name
    first = arrays.bits(arrays.load(files, members[0])[name])
    kind = first.dtype
    if kind.kind == "U":  # as wide as the longest text of all of them
        kind = max((arrays.bits(arrays.load(files, index)[name]).dtype for index in members), key=lambda each: each.itemsize)
    head = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (len(members), *first.shape)}
    np.lib.format.write_array_header_1_0(head, facts)
    yield head.getvalue()
    for index in members:
        found = arrays.bits(arrays.load(files, index)[name]).astype(kind, copy=False)
        yield np.ascontiguousarray(found).reshape(-1).view(np.uint8).data


def read(path: Path, directory: Path) -> GoldenFile:
    """Read and check a file; its arrays go into a folder, and samples kept by their seed are generated there.

    Raises:
        UsageError: there is no such file.
        RepositoryError: it is truncated, changed or damaged (the member is named), or NumPy generates other samples here.
    """
    directory = directory.absolute()
    arrays.release()  # a pack of that name may have been read before
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
        known = _packed(golden_set.from_facts(directory, facts["set"]), facts["packs"])
        seeded = tuple(sorted(int(index) for index in facts["seeds"]["sha256"])) if facts["seeds"] else ()
        if seeded:
            numpy = origin.versions.get("numpy", "?")
            golden_seeds.generate(known.samples.files, facts["packs"], facts["seeds"], numpy=numpy, path=path)
        of = int(facts["of"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, ValidationError) as error:
        raise RepositoryError.of(say.GOLDEN_FILE_UNREADABLE, where=f"{path}: {FACTS}", found=repr(error)[:1000]) from error
    for files in _kinds(known).values():
        _require_sound(path, files, facts["packs"])
    return GoldenFile(origin=origin, golden=known, of=of, seeded=seeded, bytes=path.stat().st_size)


def _packed(known: GoldenSet, packs: list[list[int]]) -> GoldenSet:
    """The set with every sample's place in the packs. Raises ValueError where they are not all the samples, each once."""
    count = known.samples.files.count
    if sum(map(len, packs)) != count or not all(packs):  # counted first: a list of all numbers may not fit into memory
        raise ValueError(f"the packs are not {count} samples, each once")
    places = {index: (number, row) for number, members in enumerate(packs) for row, index in enumerate(members)}
    if sorted(index for members in packs for index in members) != list(range(count)):
        raise ValueError(f"the packs are not {count} samples, each once")
    rows = tuple(places[index] for index in range(count))
    exact = replace(known.exact, packed=rows) if known.exact else None
    inputs = replace(known.samples, files=replace(known.samples.files, packed=rows))
    return replace(known, samples=inputs, expected=replace(known.expected, packed=rows), exact=exact)


def _require_sound(path: Path, files: TensorFiles, packs: Sequence[Sequence[int]]) -> None:
    """Every pack is there, of its type, as long as it says, and no pickle."""
    for members in packs:
        for position, tensor in enumerate(files.tensors):
            place = files.path(members[0], position)
            member = f"{place.parent.parent.name}/{place.parent.name}/{place.name}"
            try:
                npy.require_sound(place, tensor, items=len(members))
            except (OSError, ValueError) as error:
                raise RepositoryError.of(say.GOLDEN_FILE_DAMAGED, where=f"{path}: {member}", found=str(error)) from error
