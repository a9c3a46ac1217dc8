"""The golden set of a version: samples and what PyTorch answered, so that it can be verified without torch and source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonize import arrays
from tritonize.artifacts import SampleSet, TensorFiles, TensorSpec, to_json
from tritonize.errors import RepositoryError
from tritonize.spec import Tolerance

BUDGET = 64 * 2**20
"""Bytes of arrays that a version carries by default; at least one whole sample is always kept."""
_FILE = "golden.json"


@dataclass(frozen=True, kw_only=True)
class GoldenSet:
    """Samples, their expected outputs and the tolerances that were asked for."""

    samples: SampleSet
    expected: TensorFiles
    tolerances: Mapping[str, Tolerance]
    max_batch_size: int


def write(
    golden: GoldenSet,
    directory: Path,
    *,
    budget: int = BUDGET,
) -> GoldenSet:
    """Write as many samples as fit into `budget` bytes, but at least one; return the set that was written."""
    inputs = TensorFiles(directory=directory / "inputs", tensors=golden.samples.files.tensors, count=0)
    outputs = TensorFiles(directory=directory / "expected", tensors=golden.expected.tensors, count=0)
    kept = used = 0
    for index in range(golden.samples.files.count):
        sample, answer = arrays.load(golden.samples.files, index), arrays.load(golden.expected, index)
        used += sum(array.nbytes for array in (*sample.values(), *answer.values()))
        if kept and used > budget:
            break
        arrays.save(inputs, index, sample)
        arrays.save(outputs, index, answer)
        kept += 1
    facts = {
        "schema": 1,
        "count": kept,
        "drawn": golden.samples.files.count,
        "origin": golden.samples.origin,
        "max_batch_size": golden.max_batch_size,
        "inputs": [to_json(tensor) for tensor in inputs.tensors],
        "expected": [to_json(tensor) for tensor in outputs.tensors],
        "tolerances": {name: tolerance.model_dump() for name, tolerance in golden.tolerances.items()},
    }
    (directory / _FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return read(directory)


def read(directory: Path) -> GoldenSet:
    """The golden set in a folder.

    Raises:
        RepositoryError: there is none, or it is damaged.
    """
    path = directory / _FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        inputs, expected = _tensors(facts["inputs"]), _tensors(facts["expected"])
        tolerances = {name: Tolerance(**values) for name, values in facts["tolerances"].items()}
        count, size = int(facts["count"]), int(facts["max_batch_size"])
        origin = str(facts["origin"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RepositoryError("The version's golden set cannot be read.", where=str(path), found=repr(error)) from error
    files = TensorFiles(directory=directory / "inputs", tensors=inputs, count=count)
    answers = TensorFiles(directory=directory / "expected", tensors=expected, count=count)
    for item in (*_paths(files), *_paths(answers)):
        try:
            np.load(item, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RepositoryError("The version's golden set is damaged.", where=str(item), found=str(error)) from error
    return GoldenSet(
        samples=SampleSet(files=files, batched=size > 0, origin=origin),
        expected=answers,
        tolerances=tolerances,
        max_batch_size=size,
    )


def _paths(files: TensorFiles) -> list[Path]:
    return [files.path(index, position) for index in range(files.count) for position in range(len(files.tensors))]


def _tensors(plain: list[dict[str, object]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=str(each["name"]), dtype=str(each["dtype"]), shape=tuple(each["shape"]))  # type: ignore[arg-type]
        for each in plain
    )
