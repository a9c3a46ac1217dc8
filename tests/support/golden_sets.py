"""Golden sets of random numbers, with float64 outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.quality import noise_floor
from tritonize.quality.golden_set import GoldenSet, Rules

SHAPE = (1, 64)


def files(folder: str, items: list[np.ndarray], dtype: str) -> TensorFiles:
    made = TensorFiles(directory=Path(folder), tensors=(TensorSpec(name="y", dtype=dtype, shape=SHAPE),), count=len(items))
    for index, item in enumerate(items):
        arrays.save(made, index, {"y": item})
    return made


def question(count: int = 4, *, edges: dict[int, str] | None = None, own_error: float = 1e-7, **rules) -> GoldenSet:
    """Float64 outputs of magnitude 1, and float32 outputs that differ from them by up to `own_error`."""
    generator = np.random.default_rng(0)
    exact = [generator.uniform(-1, 1, SHAPE) for _ in range(count)]
    own = [(each + generator.uniform(-own_error, own_error, SHAPE)).astype(np.float32) for each in exact]
    drawn = SampleSet(files=files("in", own, "fp32"), batched=True, origin="drawn", edges=edges or {})
    made = GoldenSet(
        samples=drawn,
        expected=files("own", own, "fp32"),
        exact=files("exact", exact, "fp64"),
        max_batch_size=4,
        rules={"y": Rules(**{"noise_floor": 10.0, **rules})},
    )
    return replace(made, floors=noise_floor.noise_floors(drawn, made.expected, made.exact, precision="fp32"))
