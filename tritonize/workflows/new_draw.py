"""Draw samples for one verification, with the outputs of the published ONNX file: no server can have seen them before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import TritonizeError
from tritonize.core.messages import server as wording
from tritonize.onnx_model import ragged as ragged_batches
from tritonize.onnx_model import runtime
from tritonize.quality.golden_set import GoldenSet
from tritonize.repository.manifest import Manifest
from tritonize.source import samples
from tritonize.spec import schema
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import NewSamples

_FILE = "model.onnx"
_DEADLINE_S = 600.0
_SHARE = 0.01
"""Largest relative change of a number in a sample that no spec can draw again."""


def recipe(manifest: Manifest) -> schema.Model | None:
    """Return the samples' generator from the manifest; `None` if they came from files or a function."""
    model = _spec(manifest)
    return None if model is None or model.samples.patterns or model.samples.function or not model.inputs else model


def _spec(manifest: Manifest) -> schema.Model | None:
    try:
        return schema.Model.model_validate(manifest["spec"])
    except (KeyError, ValidationError):  # written by a version of tritonize with a different spec format
        return None


def without_reference(why: str) -> NewSamples:
    """New samples that are the version's own with small changes.

    Args:
        why: why there is no reference.
    """
    return NewSamples(seed=secrets.randbelow(2**31), origin=wording.NEW_SAMPLES_CHANGED.text(why=why))


def draw(directory: Path, manifest: Manifest, golden: GoldenSet, *, config: ModelConfig, count: int, folder: Path) -> NewSamples:
    """Draw samples and run the version's ONNX file on them. They have no reference if there is no such file or it does not run.

    Args:
        directory: the version's checked files.
        count: number of samples.
        folder: an empty folder for samples and outputs.
    """
    if golden.samples.together:
        return without_reference("the model is stateful or decoupled")
    path = directory / (config.get("default_model_filename") or _FILE)
    if config.get("backend") not in ("onnxruntime", "", None) or config.get("platform") == "ensemble" or not path.is_file():
        return without_reference("the version has no ONNX file")
    seed = secrets.randbelow(2**31)
    try:
        drawn = _written(_items(manifest, golden, seed, count=count), golden, folder / "inputs")
        if drawn.files.count < count:
            return without_reference("its samples can neither be drawn again nor be changed")
        batches = [(index,) for index in range(count)]
        ragged = ragged_batches.of(spec) if (spec := _spec(manifest)) else None
        ran = runtime.run(path, drawn, batches, directory=folder / "onnxruntime", deadline_s=_DEADLINE_S, ragged=ragged)
    except TritonizeError as error:
        return without_reference(f"ONNX Runtime did not run the published file: {error.what}")
    own = replace(
        golden, samples=drawn, expected=ran.gather(range(count), folder / "outputs"), exact=None, floors=(), unmeasured=()
    )
    return NewSamples(seed=seed, golden=own, origin=wording.NEW_SAMPLES_DRAWN.text())


def _items(manifest: Manifest, golden: GoldenSet, seed: int, *, count: int) -> Iterator[Arrays]:
    """New samples: from the spec with another seed or, if they came from files, those of the golden set with changed numbers."""
    model = recipe(manifest)
    if model is not None and not model.samples.texts:
        own = model.model_copy(update={"samples": model.samples.model_copy(update={"seed": seed})})
        yield from (samples.generate(own, index) for index in range(count))
        return
    generator = np.random.default_rng(seed)
    kept = golden.samples.drawn or golden.samples.files.count
    for place in range(count):
        item = arrays.load(golden.samples.files, place % kept)
        moved = {name: _moved(array, generator) for name, array in item.items()}
        if any(moved[name] is not item[name] for name in item):
            yield moved


def _moved(array: Array, generator: np.random.Generator) -> Array:
    """An array whose numbers are changed a little, within their range; whole numbers stay, since they can be masks or classes."""
    if array.dtype == object or not dtypes.by_numpy(str(array.dtype)).floating:
        return array
    wide = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        free = np.isfinite(wide) & (wide != np.floor(wide))
    if not free.any():
        return array
    low, high = wide[free].min(), wide[free].max()
    other = np.clip(wide * generator.uniform(1 - _SHARE, 1 + _SHARE, wide.shape), low, high)
    result: Array = np.where(free, other, wide).astype(array.dtype)
    return result


def _written(items: Iterator[Arrays], golden: GoldenSet, directory: Path) -> SampleSet:
    files = TensorFiles(directory=directory, tensors=golden.samples.files.tensors, count=0)
    count = 0
    for count, item in enumerate(items, start=1):
        arrays.save(replace(files, count=count), count - 1, item)
    return SampleSet(files=replace(files, count=count), batched=golden.samples.batched, origin="drawn for this verification")
