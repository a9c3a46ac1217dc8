"""How many samples a spec asks for, of which sizes, and whether there is room for them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import files as say
from tritonize.process import processes
from tritonize.spec import schema


def count(model: schema.Model) -> int:
    """As many samples as asked for, but two of every shape where they are batched, and so many that every text is in one."""
    return max(model.samples.count, (2 if model.max_batch_size > 1 else 1) * shapes(model), _texts(model))


def _texts(model: schema.Model) -> int:
    """Samples until every text was in one, where all dynamic axes have size 1."""
    found = 0
    for name, texts in model.samples.texts.items():
        sizes = [size for size in model.inputs[name].shape if isinstance(size, int)] if name in model.inputs else []
        found = max(found, -(-len(texts) // math.prod(sizes)))
    return found


def require_room(model: schema.Model, directory: Path) -> None:
    """Samples of these sizes fit onto the disk, and the largest batch into memory. The sizes repeat, so one turn of them tells.

    Raises:
        RepositoryError, UsageError: they do not.
    """
    turns = _turns(model)
    fixed = {model.batch_axis: 1} if model.batch_axis else {}
    sizes = [nbytes(model, {**turn, **fixed}) for turn in turns]
    batch, memory = max(sizes) * max(1, model.max_batch_size), processes.machine_memory()
    if batch > memory:
        raise UsageError.of(
            say.BATCH_TOO_LARGE,
            expected=f"less than this machine's memory of {_gib(memory)}",
            found=f"{_gib(batch)} with max_batch_size {model.max_batch_size}",
        )
    number = count(model)
    total = sum(sizes) * (number // len(turns)) + sum(sizes[: number % len(turns)])
    free = shutil.disk_usage(next(each for each in (directory, *directory.absolute().parents) if each.exists())).free
    if total > free:
        raise RepositoryError.of(
            say.NO_ROOM_FOR_SAMPLES,
            where=str(directory),
            expected=f"{_gib(total)} for {number:,} samples",
            found=f"{_gib(free)} free",
        )


def _gib(nbytes: int) -> str:
    return f"{nbytes // 2**20 / 2**10:,.1f} GiB" if nbytes < 2**60 else f"more than {2**30:,} GiB"


def nbytes(model: schema.Model, sizes: Mapping[str, int]) -> int:
    """Bytes of one sample with axes of these sizes."""
    return sum(
        math.prod(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
        * arrays.numpy_dtype(tensor.dtype).itemsize
        for tensor in model.inputs.values()
    )


def shapes(model: schema.Model) -> int:
    """How many combinations of sizes the dynamic axes other than the batch take."""
    return len(_turns(model))


def _dynamic(model: schema.Model) -> set[str]:
    """The names of the dynamic axes, the batch among them."""
    return {size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)}


def axis_sizes(model: schema.Model, index: int) -> dict[str, int]:
    """The size of every dynamic axis in sample `index`; the batch axis is 1.

    In turn all axes have their usual, their smallest, their largest size and one in between, where a network that rounds or
    pads shows itself; and of several axes every second one its smallest where the others have their largest, and the other
    way round: whoever mixes up two axes is seen only there. Last come the smallest, usual and largest sizes of every optimization
    profile, since kernels are chosen for each.
    """
    turns = _turns(model)
    sizes = turns[index % len(turns)]
    return {**sizes, model.batch_axis: 1} if model.batch_axis else sizes


def _turns(model: schema.Model) -> list[dict[str, int]]:
    """The sizes of the axes other than the batch, one combination after the other."""
    names = sorted(_dynamic(model) - {model.batch_axis or ""})
    if not names:
        return [{}]
    columns = []
    for position, name in enumerate(names):
        axis = model.axis(name)
        ends = (axis.min, axis.max)
        between = axis.between((0.6, 0.3)[position % 2])
        columns.append(((axis.opt or axis.max), axis.min, axis.max, between, ends[position % 2], ends[1 - position % 2]))
    turns = [dict(zip(names, sizes, strict=True)) for sizes in zip(*columns, strict=True)][: 4 if len(names) == 1 else 6]
    for profile in model.profiles:
        spans = {name: model.span(profile, name) for name in names}
        for end in range(3):
            sizes = {name: span[end] for name, span in spans.items()}
            if sizes not in turns:
                turns.append(sizes)
    return turns
