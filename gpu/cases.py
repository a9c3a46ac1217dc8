"""What is tested: the models, their profiles and how close answers have to be. Without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODELS = Path(__file__).parent / "models"
ROUNDS, WARMUP = 50, 10
"""Runs that are timed, and those before them."""
BATCHES = (1, 2, 4)
"""Smallest, usual and largest of the first profile."""


@dataclass(frozen=True)
class Case:
    """One model. Its input is `x` and its output `y`."""

    name: str
    shapes: Sequence[tuple[int, ...]]
    """Of one item each, the batch left out: min, opt, max. PyTorch's answers are kept for all of them, for 4 items."""
    profiles: Sequence[tuple[int, int, int]] = (BATCHES,)
    """Batch sizes min, opt, max of every profile."""
    rtol: float = 1e-4
    atol: float = 1e-4
    precision: str = "fp32"
    """`fp16` and `bf16` are in the file; `tf32` is a setting of the build."""
    of: str = ""
    """The case whose model and answers these are, where it has none of its own."""

    @property
    def half(self) -> bool:
        """Whether layers have to compute in half precision."""
        return self.precision in ("fp16", "bf16")

    @property
    def network(self) -> str:
        """The model's name."""
        return self.of or self.name

    @property
    def onnx(self) -> Path:
        """The model."""
        return MODELS / f"{self.network}.onnx"

    @property
    def answers(self) -> Path:
        """Items and PyTorch's answers in float32 on a CPU: `x0`, `y0` for the first shape, and so on."""
        return MODELS / f"{self.network}.npz"

    def shape(self, end: int) -> tuple[int, ...]:
        """The shape of an item at min (0), opt (1) or max (2)."""
        return self.shapes[min(end, len(self.shapes) - 1)]


CASES = (
    Case("cnn", [(3, 32, 32)], profiles=((1, 1, 2), (2, 4, 4))),
    Case("residual", [(3, 32, 32)]),
    Case("encoder", [(4, 64), (16, 64), (32, 64)]),
    Case("unet3d", [(1, 16, 16, 16)]),
    Case("lstm", [(12, 16)]),
    Case("cnn_fp16", [(3, 32, 32)], rtol=1e-2, atol=5e-3, precision="fp16"),
    Case("cnn_bf16", [(3, 32, 32)], rtol=5e-2, atol=1e-2, precision="bf16"),
    Case("cnn_tf32", [(3, 32, 32)], rtol=1e-2, atol=5e-3, precision="tf32", of="cnn"),
)


def items(case: Case, end: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All four items in batches of a size, with what is expected; the last batch ends with the last item."""
    known = np.load(case.answers)
    number = min(end, len(case.shapes) - 1)
    for start in sorted({min(start, 4 - batch) for start in range(0, 4, batch)}):
        yield known[f"x{number}"][start : start + batch], known[f"y{number}"][start : start + batch]
