"""Samples: the inputs a model is proven on, generated from the spec or read from the user's files.

Only NumPy generators are used, so that a sample can be made again where there is no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.source import sample_files, sample_sizes
from tritonize.spec import schema

EXAMPLE_STREAM = 1_000_000
"""Numbers the streams of the example inputs that an exporter traces; never those of a sample (`Samples.count` is below it)."""


def tensor_specs(model: schema.Model) -> tuple[TensorSpec, ...]:
    """The model's inputs as tensor specs, dynamic axes by name."""
    return tuple(TensorSpec(name=name, dtype=tensor.dtype, shape=tuple(tensor.shape)) for name, tensor in model.inputs.items())


def write(model: schema.Model, directory: Path) -> SampleSet:
    """Write the samples of a model: generated, or taken from its files. One sample is one item (batch axis 1).

    Raises:
        UsageError: a file is missing or does not hold what the spec describes.
        RepositoryError: the disk has no room for them.
    """
    if not model.samples.patterns:
        sample_sizes.require_room(model, directory)
    items = _from_files(model) if model.samples.patterns else (generate(model, index) for index in range(sample_sizes.count(model)))
    names = ", ".join(Path(pattern).name for pattern in model.samples.patterns)  # the evidence goes to other machines
    origin = names or f"generated, seed {model.samples.seed}"
    if model.samples.function:
        origin = f"drawn by {model.samples.function}, seed {model.samples.seed}"
    tensors = tensor_specs(model)
    count = 0
    for count, item in enumerate(items, start=1):
        arrays.save(TensorFiles(directory=directory, tensors=tensors, count=count), count - 1, item)
    drawn = SampleSet(
        files=TensorFiles(directory=directory, tensors=tensors, count=count), batched=bool(model.max_batch_size), origin=origin
    )
    if model.max_batch_size > 1 and not all(_differ(drawn, members) for members in arrays.groups(drawn)):
        raise UsageError(
            "A shape has only one sample, or the same over and over: copies in a batch prove nothing about batching.",
            where=", ".join(model.samples.patterns),
            next_step="give at least two different samples of every shape, or set max_batch_size to 1",
        )
    return drawn


def add_edges(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """The same set with edge cases behind it: zeros, ones, and the smallest and largest values of the ranges, all axes usual.

    Masks are full and one-hot inputs name the first or the last class, since a network asked about nothing answers NaN. Where
    samples come from the user, whole numbers keep to what occurs in them.
    """
    first = arrays.load(drawn.files, 0)
    ends = {name: _ends(model, drawn, name) for name in model.inputs}
    cases = {"zeros": (0, 0), "ones": (1, 0), "smallest": (None, 0), "largest": (None, 1)}
    edges: dict[int, str] = {}
    seen: list[Arrays] = []
    for case, (value, end) in cases.items():
        item = {name: _edge(model.inputs[name], first[name], ends[name], value=value, end=end) for name in model.inputs}
        if any(all(np.array_equal(item[name], other[name]) for name in item) for other in seen):
            continue
        seen.append(item)
        index = drawn.files.count + len(edges)
        files = replace(drawn.files, count=index + 1)
        arrays.save(files, index, item)
        edges[index] = case
    return replace(drawn, files=replace(drawn.files, count=drawn.files.count + len(edges)), edges=edges)


def _ends(model: schema.Model, drawn: SampleSet, name: str) -> tuple[float, float] | None:
    """Smallest and largest value of an input; `None` where nothing bounds it."""
    tensor = model.inputs[name]
    if tensor.dtype == "string":
        return None
    if tensor.dtype == "bool":
        return 0, 1
    if tensor.range:
        return tensor.range
    if dtypes.by_name(tensor.dtype).floating:
        return None
    found = [arrays.load(drawn.files, index)[name] for index in range(drawn.files.count)]
    return min(float(each.min(initial=0)) for each in found), max(float(each.max(initial=0)) for each in found)


def _edge(tensor: schema.Input, like: Array, ends: tuple[float, float] | None, *, value: int | None, end: int) -> Array:
    """An input full of one value, or of its range's end; of text an empty one, or a text of the sample."""
    if tensor.dtype == "string":
        return np.full_like(like, "" if value == 0 or not like.size else like.reshape(-1)[0])
    if tensor.distribution == "padding_mask":
        return np.ones_like(like)
    if tensor.distribution == "one_hot":
        classes = like.shape[-1] if like.ndim else 1
        hot: Array = np.zeros_like(like)
        hot[..., classes - 1 if value == 1 or (value is None and end) else 0] = 1
        return hot
    if value is None:
        return np.full_like(like, ends[end] if ends else 0)
    return np.full_like(like, min(max(value, ends[0]), ends[1]) if ends else value)


def _bytes(array: Array) -> bytes:
    """What tells one array from another: of text the text, not where it lies."""
    return arrays.bits(array).tobytes()


def _differ(drawn: SampleSet, members: Sequence[int]) -> bool:
    """Whether at least two of the samples are not the same. Only as many are read as it takes."""
    first = arrays.load(drawn.files, members[0])
    return any(
        any(_bytes(first[name]) != _bytes(array) for name, array in arrays.load(drawn.files, index).items())
        for index in members[1:]
    )


def write_example(model: schema.Model, samples: SampleSet, directory: Path) -> TensorFiles:
    """Write the one example an exporter runs the model on: batch 2 where the model may be batched, since 1 is baked in.

    Generated samples get an example of their own, so that the samples stay fresh; samples from files lend theirs.
    """
    size = min(2, model.max_batch_size) or 1
    if model.samples.patterns:
        item = arrays.stack(samples.files, [0] * size)
    else:
        items = [generate(model, EXAMPLE_STREAM + offset, sample_sizes.axis_sizes(model, 0)) for offset in range(size)]
        item = {name: np.concatenate([each[name] for each in items]) if size > 1 else items[0][name] for name in model.inputs}
    files = TensorFiles(directory=directory, tensors=samples.files.tensors, count=1)
    arrays.save(files, 0, item)
    return files


def signed(model: schema.Model, low: int) -> schema.Model:
    """The model with a range from `low` to 9 for every signed integer input that is left undescribed."""
    undescribed = {
        name: tensor.model_copy(update={"range": (low, 9)})
        for name, tensor in model.inputs.items()
        if tensor.range is None and tensor.distribution is None and tensor.dtype in ("int8", "int16", "int32", "int64")
    }
    return model.model_copy(update={"inputs": {**model.inputs, **undescribed}}) if undescribed else model


def generate(model: schema.Model, index: int, sizes: Mapping[str, int] | None = None) -> Arrays:
    """Sample number `index`: the same bits for the same spec and NumPy."""
    sizes = sample_sizes.axis_sizes(model, index) if sizes is None else sizes
    item: Arrays = {}
    for position, (name, tensor) in enumerate(model.inputs.items()):
        shape = tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
        if tensor.dtype == "string":
            item[name] = _texts(model.samples.texts[name], shape, index)
            continue
        generator = np.random.default_rng([model.samples.seed, index, position])
        drawn = _draw(generator, tensor, shape, share=_length_share(model, index))
        both_signs = drawn.dtype.kind == "i" and tensor.range is not None and tensor.range[0] == -tensor.range[1]
        # Every other sample of such integers is negative throughout: with few elements chance might give none.
        item[name] = -np.abs(drawn) if both_signs and index % 2 else drawn
    return item


def _texts(texts: Sequence[str], shape: tuple[int, ...], index: int) -> Array:
    """The texts in turn, from sample to sample; where one sample takes all of them, the next one begins with another."""
    found = np.empty(math.prod(shape), object)
    start = index * (found.size + (found.size % len(texts) == 0))
    found[:] = [texts[(start + place) % len(texts)] for place in range(found.size)]
    return found.reshape(shape)


def _length_share(model: schema.Model, index: int) -> float:
    """Which part of its last axis a sample fills; the first sample fills it whole."""
    return float(np.random.default_rng([model.samples.seed, index, 1 << 20]).uniform(0.2, 1.0)) if index else 1.0


def _draw(generator: np.random.Generator, tensor: schema.Input, shape: tuple[int, ...], *, share: float) -> Array:
    dtype = arrays.numpy_dtype(tensor.dtype)
    if tensor.distribution in ("token_ids", "padding_mask"):
        inside = np.arange(shape[-1]) < max(1, round(share * shape[-1]))
        low, high = tensor.range or (0, 9)
        drawn = generator.integers(int(low), int(high), shape, endpoint=True) if tensor.distribution == "token_ids" else 1
        return np.broadcast_to(drawn * inside, shape).astype(dtype)
    if tensor.distribution == "one_hot":
        places = np.asarray(generator.integers(0, shape[-1], shape[:-1]))
        hot: Array = np.arange(shape[-1]) == places[..., None]
        return hot.astype(dtype)
    if tensor.dtype == "bool":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtypes.by_name(tensor.dtype).floating:
        if tensor.range is None:
            return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
        return generator.uniform(*tensor.range, shape).astype(dtype)
    low, high = tensor.range or (0, 9)
    return generator.integers(int(low), int(high), shape, endpoint=True, dtype=np.int64).astype(dtype)


def _from_files(model: schema.Model) -> Iterator[Arrays]:
    paths = [path for pattern in model.samples.patterns for path in sample_files.matches(pattern)]
    for path in paths:
        stored = sample_files.read(path)
        if set(stored) != set(model.inputs):
            raise UsageError(
                "A sample file does not hold the model's inputs.",
                where=str(path),
                expected=", ".join(model.inputs),
                found=", ".join(stored) or "nothing",
            )
        yield from _items(
            model, path, {name: _fitting(path, name, tensor, array=stored[name]) for name, tensor in model.inputs.items()}
        )


def _fitting(path: str, name: str, tensor: schema.Input, *, array: Array) -> Array:
    """The array, where it is what the spec describes."""
    fits = len(array.shape) == len(tensor.shape) and all(
        isinstance(want, str) or want == size for want, size in zip(tensor.shape, array.shape, strict=True)
    )
    dtype = arrays.numpy_dtype(tensor.dtype)
    if tensor.dtype == "bf16" and array.dtype == np.float32:
        array = array.astype(dtype)  # .npz cannot hold bfloat16
    if tensor.dtype == "string" and array.dtype.kind in "UST":
        array = arrays.text(array)
    if not fits or array.dtype != dtype:
        raise UsageError(
            f"The sample of input {name!r} is not what the spec describes.",
            where=path,
            expected=f"{tensor.dtype} {list(tensor.shape)}",
            found=f"{array.dtype} {list(array.shape)}",
        )
    return array


def _items(model: schema.Model, path: str, stored: Arrays) -> Iterator[Arrays]:
    """One item per element of the batch axis."""
    if not model.max_batch_size:
        yield stored
        return
    sizes = {name: array.shape[0] for name, array in stored.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise UsageError("The inputs of a sample file differ in batch size.", where=path, found=str(sizes))
    for index in range(next(iter(sizes.values()))):
        yield {name: array[index : index + 1] for name, array in stored.items()}
