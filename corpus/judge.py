"""Whether an ONNX file answers like the model, decided without tritonize: fresh model, fresh inputs, other sizes.

Two measures per output. *Within*: |found - expected| <= 1e-3 + 1e-3 * |expected| for every element. *k*: the largest error
against the model run in float64, in units of what PyTorch's own float32 differs from it; at most 10 for a right file,
whatever the output's scale. Integers and booleans must be equal, infinities and NaN in the same places.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from corpus import draw, models
from corpus.catalogue import Entry

ABSOLUTE = RELATIVE = 1e-3
LARGEST_K = 10.0
SCALED = 1e-4
"""An error of this part of the output's largest magnitude is no wrong graph, whatever k says."""
DOUBLE_SECONDS = 20.0
"""Time for runs in float64; what comes after it is judged without k."""


@dataclass(frozen=True)
class Judgement:
    """What was found."""

    right: bool
    reason: str
    """Why it is wrong, or what is remarkable about a right one; empty otherwise."""
    max_abs: float
    """The largest error over everything that was run."""
    k: float | None
    """The largest k; `None` where the model does not run in float64."""


@dataclass(frozen=True)
class _Error:
    """One output's error."""

    problem: str
    within: bool
    max_abs: float
    scaled: float


def judge_trace(entry: Entry, path: Path) -> str:
    """How a traced file answers otherwise than the model it was traced from; empty where it does not.

    Tracing keeps what the example made of Python's conditions and sizes. Such a file is another function, and no export of
    it can be right.
    """
    model, traced = models.make(entry), torch.jit.load(str(path)).eval()
    for seed, sizes in draw.cases(entry):
        arrays = draw.batch(entry, seed, sizes)
        expected = [tensor.numpy() for tensor in models.call(model, entry, arrays)]
        try:
            found = [tensor.numpy() for tensor in models.call(traced, entry, arrays)]
        except RuntimeError as error:
            return f"at {_sizes(sizes)} the traced file raises: {str(error).strip().splitlines()[-1][:200]}"
        if len(found) != len(expected):
            return f"the traced file has {len(found)} outputs instead of {len(expected)}"
        for position, (want, got) in enumerate(zip(expected, found, strict=True)):
            off = _error(want, got)
            if off.problem or (not off.within and off.scaled > SCALED):
                return f"output {position} of the traced file at {_sizes(sizes)}: {off.problem or f'off by {off.max_abs:.3g}'}"
    return ""


def judge(entry: Entry, path: Path, traced: Path | None = None) -> Judgement:
    """Run the file in ONNX Runtime on every case of `draw.cases` and compare with a model of its own.

    Where `traced` is given, with that file instead, on the cases that it runs: for files that are not the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime has against the file is the finding
        return Judgement(False, f"ONNX Runtime does not load it: {_line(error)}", 0.0, None)
    names = {node.name for node in session.get_inputs()}
    if names != set(entry.inputs):
        return Judgement(False, f"its inputs are {sorted(names)} instead of {sorted(entry.inputs)}", 0.0, None)
    model = models.make(entry) if traced is None else torch.jit.load(str(traced)).eval()
    exact = _Double(entry, run=traced is None)
    largest, largest_k, remarks = 0.0, None, []
    for seed, sizes in draw.cases(entry):
        arrays = draw.batch(entry, seed, sizes)
        try:
            expected = [tensor.numpy() for tensor in models.call(model, entry, arrays)]
        except RuntimeError:
            if traced is None:
                raise
            continue
        try:
            found = session.run(None, arrays)
        except Exception as error:  # noqa: BLE001 - likewise
            return Judgement(False, f"at {_sizes(sizes)} ONNX Runtime raises: {_line(error)}", largest, largest_k)
        if len(found) != len(expected):
            return Judgement(False, f"{len(found)} outputs instead of {len(expected)}", largest, largest_k)
        ideal = exact.answer(arrays)
        for position, (want, got) in enumerate(zip(expected, found, strict=True)):
            error_ = _error(want, got)
            k = None if ideal is None else _k(want, got, ideal[position])
            largest = max(largest, error_.max_abs)
            largest_k = k if largest_k is None else max(largest_k, k or 0.0)
            wrong, remark = _verdict(error_, k)
            if wrong:
                return Judgement(False, f"output {position} at {_sizes(sizes)}: {wrong}", largest, largest_k)
            if remark and remark not in remarks:
                remarks.append(remark)
    return Judgement(True, "; ".join(remarks), largest, largest_k)


def _verdict(error: _Error, k: float | None) -> tuple[str, str]:
    """Why an output is wrong, else what is remarkable about it."""
    if error.problem:
        return error.problem, ""
    text = f"largest error {error.max_abs:.3g}, {error.scaled:.2g} of the largest magnitude, k {'?' if k is None else f'{k:.3g}'}"
    if k is not None and k <= LARGEST_K:
        return "", "" if error.within else f"ill-conditioned: {text}"
    if error.within and error.scaled <= (ABSOLUTE if k is None else SCALED):
        return "", "" if k is None else f"large k: {text}"
    return text, ""


def _error(want: NDArray, got: NDArray) -> _Error:
    if want.shape != got.shape:
        return _Error(f"shape {list(got.shape)} instead of {list(want.shape)}", False, 0.0, 0.0)
    if want.dtype != got.dtype:
        return _Error(f"type {got.dtype} instead of {want.dtype}", False, 0.0, 0.0)
    if want.dtype.kind not in "fc":
        differing = int((want != got).sum())
        return _Error(f"{differing} of {want.size} whole numbers differ" if differing else "", True, 0.0, 0.0)
    finite = np.isfinite(want)
    if not np.array_equal(want[~finite], got[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return _Error("infinities or NaN in other places", False, 0.0, 0.0)
    difference, size = np.abs(want[finite].astype("f8") - got[finite]), np.abs(want[finite].astype("f8"))
    largest, scale = difference.max(initial=0.0), size.max(initial=0.0)
    within = bool((difference <= ABSOLUTE + RELATIVE * size).all())
    return _Error("", within, float(largest), float(largest / scale) if scale else float(largest))


def _k(want: NDArray, got: NDArray, ideal: NDArray) -> float | None:
    """k of one output; `None` where it is not a floating one."""
    if want.dtype.kind != "f" or want.shape != ideal.shape or want.shape != got.shape:
        return None
    finite = np.isfinite(want) & np.isfinite(ideal) & np.isfinite(got)
    if not finite.any():
        return None
    own, theirs = np.abs(want[finite] - ideal[finite]).max(), np.abs(got[finite] - ideal[finite]).max()
    unit = max(own, 2.0**-23 * np.abs(ideal[finite]).max())
    return float(theirs / unit) if unit else 0.0


class _Double:
    """The model in float64, where it runs and for as long as that is cheap."""

    def __init__(self, entry: Entry, *, run: bool) -> None:
        self.entry, self.left = entry, DOUBLE_SECONDS if run else 0.0
        self.model: torch.nn.Module | None = None
        with contextlib.suppress(Exception):
            self.model = models.make(entry).double() if run else None

    def answer(self, arrays: Mapping[str, NDArray]) -> list[NDArray] | None:
        if self.model is None or self.left <= 0:
            return None
        began = time.monotonic()
        try:
            answer = [tensor.numpy() for tensor in models.call(self.model, self.entry, arrays, double=True)]
        except Exception:  # noqa: BLE001 - a model that names float32 in its code
            self.model = None
            return None
        self.left -= time.monotonic() - began
        return answer


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "fixed sizes"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
