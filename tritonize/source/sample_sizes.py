"""How many samples a spec needs, their sizes, and whether they fit onto the disk and into memory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import files as wording
from tritonize.process import processes
from tritonize.source import sequence_samples
from tritonize.spec import schema, sequences


def count(model: schema.Model) -> int:
    """The number of samples to generate: `samples.count`, or more if necessary.

    A batched model needs two samples of every shape. A text input needs enough samples to include every text. For a stateful model,
    each step of a sequence is a sample, and `samples.count` is the number of sequences.
    """
    if sequences.of(model):
        return sum(sequence_lengths(model))
    return max(model.samples.count, _least(model))


def sequence_lengths(model: schema.Model) -> list[int]:
    """The number of steps of each sequence to generate."""
    return sequence_samples.lengths(model, _least(model))


def _least(model: schema.Model) -> int:
    return max((2 if model.largest_request > 1 else 1) * shapes(model), _samples_for_texts(model))


def _samples_for_texts(model: schema.Model) -> int:
    """The number of samples that include every text, if all dynamic axes have size 1."""
    samples = 0
    for name, texts in model.samples.texts.items():
        sizes = [size for size in model.inputs[name].shape if isinstance(size, int)] if name in model.inputs else []
        samples = max(samples, -(-len(texts) // math.prod(sizes)))
    return samples


def require_room(model: schema.Model, directory: Path) -> None:
    """Require that the generated samples fit onto the disk, and the largest batch into memory.

    The sizes repeat, so the total follows from one cycle of combinations.

    Raises:
        UsageError: the batch exceeds the machine's memory.
        RepositoryError: the disk has too little free space.
    """
    combinations = _combinations(model)
    batch_axis = {model.batch_axis: 1} if model.batch_axis else {}
    sizes = [nbytes(model, {**combination, **batch_axis}) for combination in combinations]
    batch, memory = max(sizes) * max(1, model.max_batch_size), processes.machine_memory()
    if batch > memory:
        raise UsageError.of(
            wording.BATCH_TOO_LARGE,
            expected=f"less than this machine's memory of {_gib(memory)}",
            found=f"{_gib(batch)} with max_batch_size {model.max_batch_size}",
        )
    number = count(model)
    total = sum(sizes) * (number // len(combinations)) + sum(sizes[: number % len(combinations)])
    free = shutil.disk_usage(next(each for each in (directory, *directory.absolute().parents) if each.exists())).free
    if total > free:
        raise RepositoryError.of(
            wording.NO_ROOM_FOR_SAMPLES,
            where=str(directory),
            expected=f"{_gib(total)} for {number:,} samples",
            found=f"{_gib(free)} free",
        )


def _gib(nbytes: int) -> str:
    return f"{nbytes // 2**20 / 2**10:,.1f} GiB" if nbytes < 2**60 else f"more than {2**30:,} GiB"


def nbytes(model: schema.Model, sizes: Mapping[str, int]) -> int:
    """Bytes of one sample whose dynamic axes have these sizes."""
    return sum(
        math.prod(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
        * arrays.numpy_dtype(tensor.dtype).itemsize
        for tensor in model.inputs.values()
    )


def shapes(model: schema.Model) -> int:
    """The number of combinations of sizes that the samples have, without the batch axis."""
    return len(_combinations(model))


def _dynamic(model: schema.Model) -> set[str]:
    """The names of all dynamic axes, including the batch axis."""
    return {size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)}


def axis_sizes(model: schema.Model, index: int) -> dict[str, int]:
    """The size of every dynamic axis in sample `index`; the batch axis is 1.

    The samples go through these combinations in turn:

    - all axes at their usual, smallest and largest size, and one size in between, which reveals a network that rounds or pads;
    - with several axes, every second axis at its smallest size and the others at their largest, and the reverse: only these
      samples reveal two axes that were swapped;
    - the smallest, usual and largest sizes of every optimization profile, since TensorRT chooses kernels for each.
    """
    combinations = _combinations(model)
    sizes = combinations[index % len(combinations)]
    return {**sizes, model.batch_axis: 1} if model.batch_axis else sizes


def _combinations(model: schema.Model) -> list[dict[str, int]]:
    """The combinations of sizes that samples go through, without the batch axis; see `axis_sizes`."""
    names = sorted(_dynamic(model) - {model.batch_axis or ""})
    if not names:
        return [{}]
    columns = []
    for position, name in enumerate(names):
        axis = model.axis(name)
        ends = (axis.min, axis.max)
        between = axis.between((0.6, 0.3)[position % 2])
        columns.append(((axis.opt or axis.max), axis.min, axis.max, between, ends[position % 2], ends[1 - position % 2]))
    rows = [dict(zip(names, sizes, strict=True)) for sizes in zip(*columns, strict=True)]
    combinations = rows[: 4 if len(names) == 1 else 6]
    for profile in model.profiles:
        spans = {name: model.span(profile, name) for name in names}
        for end in range(3):
            sizes = {name: span[end] for name, span in spans.items()}
            if sizes not in combinations:
                combinations.append(sizes)
    return combinations
