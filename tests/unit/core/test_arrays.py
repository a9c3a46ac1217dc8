"""Sets of arrays in files: how samples are grouped by shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec


def test_packed_samples_are_grouped_as_single_files_are(tmp_path: Path) -> None:
    tensors = (TensorSpec(name="x", dtype="fp32", shape=("batch", "n")),)
    single = TensorFiles(directory=tmp_path / "single", tensors=tensors, count=7)
    sizes = (2, 3, 2, 2, 3, 4, 2)
    for index, size in enumerate(sizes):
        arrays.save(single, index, {"x": np.full((1, size), index, np.float32)})
    packed = replace(single, directory=tmp_path / "packed", packed=((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (3, 0), (2, 1)))
    for pack in range(4):  # packs 0 and 2 have items of one shape
        rows = [arrays.load(single, index)["x"] for index, place in enumerate(packed.packed) if place[0] == pack]
        (packed.directory / str(pack)).mkdir(parents=True)
        np.save(packed.directory / str(pack) / "0.npy", np.stack(rows))
    found = [arrays.groups(SampleSet(files=files, origin="drawn", batched=True)) for files in (single, packed)]
    assert found == [[[0, 2, 3, 6], [1, 4], [5]]] * 2
    assert all(np.array_equal(arrays.load(single, index)["x"], arrays.load(packed, index)["x"]) for index in range(7))
