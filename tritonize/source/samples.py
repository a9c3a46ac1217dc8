"""Samples: the inputs a model is proven on, generated from the spec or read from the user's files.

All randomness comes from NumPy, so that samples can be generated again on a machine without torch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.source import file_items, mirrored_samples, sample_sizes, sequence_samples
from tritonize.spec import schema, sequences

EXAMPLE_STREAM = 1_000_000
"""Number of the first random stream for the exporter's example. Samples use the streams below it (`Samples.count` is lower)."""


def tensor_specs(model: schema.Model) -> tuple[TensorSpec, ...]:
    """The model's inputs as tensor specs; dynamic axes have their names."""
    return tuple(TensorSpec(name=name, dtype=tensor.dtype, shape=tuple(tensor.shape)) for name, tensor in model.inputs.items())


def write(model: schema.Model, directory: Path) -> SampleSet:
    """Write the samples of a model, generated or read from the spec's files. Each sample is one item (batch axis 1).

    Raises:
        UsageError: a file is missing or does not match the spec.
        RepositoryError: the disk has too little free space.
    """
    if not model.samples.patterns:
        sample_sizes.require_room(model, directory)
    starts: list[int] = []
    if contract := sequences.of(model):
        items = _steps(model, contract, starts)
    elif model.samples.patterns:
        items = itertools.chain.from_iterable(file_items.of(model))
    else:
        items = (generate(model, index) for index in range(sample_sizes.count(model)))
    # No file names: the evidence is copied to other machines, and they may be those of patients.
    origin = "from files" if model.samples.patterns else f"generated, seed {model.samples.seed}"
    if model.samples.function:
        origin = f"drawn by {model.samples.function}, seed {model.samples.seed}"
    tensors = tensor_specs(model)
    count = 0
    for count, item in enumerate(items, start=1):
        arrays.save(TensorFiles(directory=directory, tensors=tensors, count=count), count - 1, item)
    drawn = SampleSet(
        files=TensorFiles(directory=directory, tensors=tensors, count=count),
        batched=bool(model.max_batch_size),
        origin=origin,
        sequences=sequence_samples.described(contract, starts) if contract else None,
    )
    alike = [members for members in arrays.groups(drawn) if not _differ(drawn, members)] if model.largest_request > 1 else []
    return _with_mirrored(model, drawn, [members[0] for members in alike]) if alike else drawn


def _with_mirrored(model: schema.Model, drawn: SampleSet, originals: Sequence[int]) -> SampleSet:
    """Append a mirrored copy of these samples, which have no other sample of their shape to form a batch with.

    Raises:
        UsageError: a copy would not differ, or the samples are steps of sequences.
    """
    for index in originals:
        item = arrays.load(drawn.files, index)
        copy = None if drawn.sequences else mirrored_samples.of(model, item)
        if copy is None:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in item.items())
            raise UsageError.of(wording.SAMPLES_EQUAL, where=", ".join(model.samples.patterns), found=shapes)
        files = replace(drawn.files, count=drawn.files.count + 1)
        arrays.save(files, files.count - 1, copy)
        drawn = replace(drawn, files=files, mirrored=drawn.mirrored + 1)
    return replace(drawn, origin=f"{drawn.origin}, {drawn.mirrored} of them mirrored")


def _steps(model: schema.Model, contract: sequences.Contract, starts: list[int]) -> Iterator[Arrays]:
    """Yield the steps of all sequences, and add the number of the first step of each to `starts`."""
    if model.samples.patterns:
        each_sequence = file_items.of(model)
    else:
        sizes = sample_sizes.sequence_lengths(model)
        each_sequence = sequence_samples.chunks((generate(model, index) for index in range(sum(sizes))), sizes)
    count = 0
    for number, items in enumerate(each_sequence):
        starts.append(count)
        count += len(items)
        yield from sequence_samples.steps(model, contract, number, items=items)


def add_edges(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """Append the edge cases: all zeros, all ones, and all inputs at the lower or the upper end of their range.

    All dynamic axes have their usual size. Padding masks are all ones and one-hot inputs select the first or the last class: a
    network without any valid position returns NaN. Without a range in the spec, an integer input takes the smallest and the
    largest value of the samples.
    """
    first = arrays.load(drawn.files, 0)
    limits = {name: _limits(model, drawn, name) for name in model.inputs}
    cases = {"zeros": (0, 0), "ones": (1, 0), "smallest": (None, 0), "largest": (None, 1)}
    edges: dict[int, str] = {}
    written: list[Arrays] = []
    contract, starts = sequences.of(model), list(drawn.sequences.starts) if drawn.sequences else []
    for case, (value, end) in cases.items():
        item = {name: _edge(model.inputs[name], first[name], limits[name], value=value, end=end) for name in model.inputs}
        if contract:
            item |= sequence_samples.alone(model, contract, len(starts))
        if any(all(np.array_equal(item[name], other[name]) for name in item) for other in written):
            continue
        written.append(item)
        index = drawn.files.count + len(edges)
        files = replace(drawn.files, count=index + 1)
        arrays.save(files, index, item)
        edges[index] = case
        starts.append(index)
    sequenced = sequence_samples.described(contract, starts) if contract else None
    return replace(drawn, files=replace(drawn.files, count=drawn.files.count + len(edges)), edges=edges, sequences=sequenced)


def add_omissions(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """Append the first two samples again without each optional input, and without all of them if there are several.

    They are edge cases, which are sent alone; their files do not have the input.
    """
    optional = [name for name, tensor in model.inputs.items() if tensor.optional]
    for names in [*((name,) for name in optional), *([tuple(optional)] if len(optional) > 1 else [])]:
        for index in range(min(2, drawn.drawn)):
            place = drawn.files.count
            files = replace(drawn.files, count=place + 1, absent={**drawn.files.absent, place: names})
            arrays.save(files, place, arrays.load(drawn.files, index))
            edge = f"without {', '.join(names)}{f' ({index + 1})' if index else ''}"
            followed = drawn.sequences and replace(drawn.sequences, starts=(*drawn.sequences.starts, place))
            drawn = replace(drawn, files=files, edges={**drawn.edges, place: edge}, sequences=followed)
    return drawn


def _limits(model: schema.Model, drawn: SampleSet, name: str) -> tuple[float, float] | None:
    """The smallest and the largest value of an input; `None` for text and for floating-point inputs without a range."""
    tensor = model.inputs[name]
    if tensor.dtype == "string":
        return None
    if tensor.dtype == "bool":
        return 0, 1
    if tensor.range:
        return tensor.range
    if dtypes.by_name(tensor.dtype).floating:
        return None
    values = [arrays.load(drawn.files, index)[name] for index in range(drawn.files.count)]
    return min(float(array.min(initial=0)) for array in values), max(float(array.max(initial=0)) for array in values)


def _edge(tensor: schema.Input, like: Array, limits: tuple[float, float] | None, *, value: int | None, end: int) -> Array:
    """One input of an edge case, with the shape and type of `like`.

    Args:
        value: the value of all elements, moved into `limits`; `None` for one of the limits.
        end: which limit, 0 for the lower and 1 for the upper. Text is empty for `value` 0, else the first text of the sample.
    """
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
        return np.full_like(like, limits[end] if limits else 0)
    return np.full_like(like, min(max(value, limits[0]), limits[1]) if limits else value)


def _bytes(array: Array) -> bytes:
    """The values of an array as bytes. An array of text holds pointers, so its texts are taken."""
    return arrays.bits(array).tobytes()


def _differ(drawn: SampleSet, members: Sequence[int]) -> bool:
    """Whether at least two of the samples differ. It reads samples until one differs from the first."""
    first = arrays.load(drawn.files, members[0])
    return any(
        any(_bytes(first[name]) != _bytes(array) for name, array in arrays.load(drawn.files, index).items())
        for index in members[1:]
    )


def write_example(model: schema.Model, samples: SampleSet, directory: Path) -> TensorFiles:
    """Write the one example that an exporter runs the model on. A batched model gets batch 2, since exporters freeze batch 1.

    The example is generated from random streams of its own, so that the comparison runs on inputs that the exporter has not seen.
    With sample files it repeats the first sample.
    """
    size = min(2, model.max_batch_size) or 1
    if model.samples.patterns:
        item = arrays.stack(samples.files, [0] * size)
    else:
        items = [generate(model, EXAMPLE_STREAM + offset, sample_sizes.axis_sizes(model, 0)) for offset in range(size)]
        items = [sequence_samples.as_example(model, each, offset) for offset, each in enumerate(items)]
        item = {name: np.concatenate([each[name] for each in items]) if size > 1 else items[0][name] for name in model.inputs}
    files = TensorFiles(directory=directory, tensors=samples.files.tensors, count=1)
    arrays.save(files, 0, item)
    return files


def with_integer_range(model: schema.Model, low: int) -> schema.Model:
    """The model, with a range from `low` to 9 for every signed integer input that has neither range nor distribution."""
    changed = {
        name: tensor.model_copy(update={"range": (low, 9)})
        for name, tensor in model.inputs.items()
        if tensor.range is None and tensor.distribution is None and tensor.dtype in ("int8", "int16", "int32", "int64")
    }
    return model.model_copy(update={"inputs": {**model.inputs, **changed}}) if changed else model


def generate(model: schema.Model, index: int, sizes: Mapping[str, int] | None = None) -> Arrays:
    """Generate sample number `index`: the same bits for the same spec and the same version of NumPy.

    Args:
        model: the model, with its inputs.
        index: the number of the sample, which selects its random streams.
        sizes: the size of every dynamic axis; by default those of `sample_sizes.axis_sizes`.
    """
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
        # In every second sample all such integers are negative or zero: with few elements, chance may draw no negative one.
        item[name] = -np.abs(drawn) if both_signs and index % 2 else drawn
    return item


def _texts(given: Sequence[str], shape: tuple[int, ...], index: int) -> Array:
    """Sample `index` of a text input. The texts take turns across the samples.

    If the number of elements is a multiple of the number of texts, every sample starts one text later, so that samples differ.
    """
    elements = np.empty(math.prod(shape), object)
    start = index * (elements.size + (elements.size % len(given) == 0))
    elements[:] = [given[(start + place) % len(given)] for place in range(elements.size)]
    return elements.reshape(shape)


def _length_share(model: schema.Model, index: int) -> float:
    """The share of the last axis that a padded sample fills; 1 for the first sample."""
    return float(np.random.default_rng([model.samples.seed, index, 1 << 20]).uniform(0.2, 1.0)) if index else 1.0


def _draw(generator: np.random.Generator, tensor: schema.Input, shape: tuple[int, ...], *, share: float) -> Array:
    """Draw one input: by its distribution if it has one, else uniform in its range (integers 0 to 9; floats standard normal).

    Args:
        share: the share of the last axis that tokens and padding masks fill.
    """
    dtype = arrays.numpy_dtype(tensor.dtype)
    if tensor.distribution in ("token_ids", "padding_mask"):
        inside = np.arange(shape[-1]) < max(1, round(share * shape[-1]))
        low, high = tensor.range or (0, 9)
        drawn = generator.integers(int(low), int(high), shape, endpoint=True) if tensor.distribution == "token_ids" else 1
        return np.broadcast_to(drawn * inside, shape).astype(dtype)
    if tensor.distribution == "one_hot":
        classes = np.asarray(generator.integers(0, shape[-1], shape[:-1]))
        hot: Array = np.arange(shape[-1]) == classes[..., None]
        return hot.astype(dtype)
    if tensor.dtype == "bool":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtypes.by_name(tensor.dtype).floating:
        if tensor.range is None:
            return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
        return generator.uniform(*tensor.range, shape).astype(dtype)
    low, high = tensor.range or (0, 9)
    return generator.integers(int(low), int(high), shape, endpoint=True, dtype=np.int64).astype(dtype)
