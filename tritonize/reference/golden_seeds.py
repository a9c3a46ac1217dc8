"""Samples of a golden set that are kept as what they were generated from, with a SHA-256 of what must come out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # Any: JSON data, checked where it is read

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import RepositoryError
from tritonize.reference import checksummed_archive
from tritonize.source import sample_sizes, samples
from tritonize.spec import schema


def digest(item: Arrays) -> str:
    """SHA-256 over names, types, shapes and bits of a sample."""
    found = hashlib.sha256()
    for name, array in item.items():
        found.update(f"{name} {arrays.dtype_name(array)} {array.shape} ".encode())
        found.update(np.ascontiguousarray(arrays.bits(array)).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def seeded(recipe: schema.Model, known: SampleSet) -> dict[int, str]:
    """Samples that the recipe generates with the same bits, with their SHA-256."""
    found: dict[int, str] = {}
    if any(tensor.dtype == "string" for tensor in known.files.tensors):
        return found  # the spec has the texts themselves
    for index in range(known.drawn):
        sum_ = digest(arrays.load(known.files, index))
        if digest(samples.generate(recipe, index)) == sum_:
            found[index] = sum_
    return found


def recipe_of(model: schema.Model, sums: Mapping[int, str]) -> dict[str, object]:
    """What `generate` needs, as plain data: the part of a spec that samples are drawn from, and the sums."""
    plain = model.model_dump(mode="json", exclude_defaults=True, include={"inputs", "axes", "max_batch_size", "samples"})
    return {"spec": {"source": "-", **plain}, "sha256": {str(index): each for index, each in sums.items()}}


def generate(files: TensorFiles, packs: Sequence[Sequence[int]], seeds: Mapping[str, Any], *, numpy: str, path: Path) -> None:
    """Draw the samples that are kept by their seed, and check that they are the ones the answers belong to."""
    recipe = schema.Model.model_validate(seeds["spec"])
    _require_bounded(recipe, [int(index) for index in seeds["sha256"]], path)
    for members in packs:
        if str(members[0]) not in seeds["sha256"]:
            continue
        written: list[Array] = []
        for row, index in enumerate(members):
            item = samples.generate(recipe, index)
            if list(item) != [tensor.name for tensor in files.tensors] or digest(item) != seeds["sha256"][str(index)]:
                raise RepositoryError(
                    "The samples that are generated here are not those of the golden file.",
                    where=f"{path}: sample {index}",
                    expected=f"SHA-256 {seeds['sha256'][str(index)]}, as NumPy {numpy} generated it",
                    found=f"SHA-256 {digest(item)}, by NumPy {np.__version__}",
                    cause="the random generator of this NumPy gives other bits",
                    next_step="install that NumPy, or export the golden set again without --seeds and with a larger --max-mib",
                )
            for position, array in enumerate(item.values()):
                if row == 0:
                    place = files.path(index, position)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shape = (len(members), *array.shape)
                    written.append(np.lib.format.open_memmap(place, "w+", arrays.bits(array).dtype, shape))
                written[position][row] = arrays.bits(array)


def _require_bounded(recipe: schema.Model, indices: Sequence[int], path: Path) -> None:
    """Refuse sizes that no golden set has, before anything of that size is made."""
    total = sum(sample_sizes.nbytes(recipe, sample_sizes.axis_sizes(recipe, index)) for index in indices)
    if total > checksummed_archive.LIMIT:
        raise RepositoryError(
            "The golden file's samples are larger than is read.",
            where=f"{path}",
            expected=f"at most {checksummed_archive.LIMIT >> 20} MiB",
            found=f"{total >> 20} MiB",
        )
