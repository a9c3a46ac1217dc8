"""A model of the bench as a proof has it: samples, PyTorch's answers in float32 and float64, and the golden set of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.faults.models import Healthy
from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.quality import gates, noise_floor
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference.worker import recompute, weight_perturbation
from tritonize.source import samples
from tritonize.source.worker import widening

EVIDENT = 30.0
"""A numerical fault counts from so many times the healthy model's own float32 error on."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One healthy model with the weights and samples of one seed."""

    healthy: Healthy
    seed: int
    golden: GoldenSet

    @property
    def carried(self) -> bool:
        """Whether a server is judged by what a version carries: float64 rounded to float32, read back from files."""
        return self.seed % 2 == 1

    def scales(self) -> dict[str, float]:
        """The largest magnitude of every output, over the drawn samples."""
        expected, count = self.golden.expected, self.golden.samples.drawn
        items = [arrays.load(expected, index) for index in range(count)]
        return {name: max(float(np.abs(item[name]).max()) for item in items) for name in items[0]}

    def edges(self) -> dict[str, Arrays]:
        """Edge case to its inputs."""
        drawn = self.golden.samples
        return {name: dict(arrays.load(drawn.files, index)) for index, name in drawn.edges.items()}


def prepare(healthy: Healthy, seed: int, directory: Path) -> Proof:
    """Draw samples and edge cases, ask PyTorch about each alone in float32 and float64, and write all of it.

    Of odd seeds a server is judged by the golden set that a version would carry, as a later `tritonize verify` does.
    """
    model = healthy.spec(seed)
    drawn = samples.add_edges(model, samples.write(model, directory / "samples"))
    expected, exact, without, moved = _answers(healthy, seed, drawn, directory)
    rules = gates.rules(model, drawn, expected)
    kinds = {name: rule.kind for name, rule in rules.items()}
    found = noise_floor.measured(drawn, expected, exact, kinds=kinds, moved=moved, without=without)
    golden = GoldenSet(
        samples=drawn,
        expected=expected,
        exact=found.exact,
        max_batch_size=healthy.max_batch_size,
        rules=rules,
        floors=found.floors,
        unmeasured=found.unmeasured,
    )
    return Proof(healthy=healthy, seed=seed, golden=golden)


def _answers(
    healthy: Healthy, seed: int, drawn: SampleSet, directory: Path
) -> tuple[TensorFiles, TensorFiles, dict[str, str], tuple[dict[str, float], ...]]:
    module = healthy.module(seed)
    first = ask(healthy, module, arrays.load(drawn.files, 0))
    own, exact = (
        TensorFiles(
            directory=directory / dtype,
            tensors=tuple(TensorSpec(name=name, dtype=dtype, shape=array.shape) for name, array in first.items()),
            count=drawn.files.count,
        )
        for dtype in ("fp32", "fp64")
    )
    for index in range(drawn.files.count):
        arrays.save(own, index, ask(healthy, module, arrays.load(drawn.files, index)))
    moved = weight_perturbation.measure(module, lambda index: ask(healthy, module, arrays.load(drawn.files, index)), own)
    widening.to_precision(module, torch.float64)
    exact, without = replace(exact, count=0), {}
    with recompute.convolution_in_slabs():
        for index in range(drawn.files.count):
            found = ask(healthy, module, arrays.load(drawn.files, index))
            without |= recompute.missing_outputs(exact, found, "fp64")
            exact = arrays.select(exact, [tensor.name for tensor in exact.tensors if tensor.name not in without])
            arrays.save(exact, index, found)
            exact = replace(exact, count=index + 1)
    return own, exact, without, moved


def ask(healthy: Healthy, module: nn.Module, inputs: Arrays) -> Arrays:
    """What PyTorch answers; floating inputs are given in the type of the module's weights."""
    dtype = next(each.dtype for each in module.parameters() if each.is_floating_point())
    tensors = [torch.from_numpy(np.array(inputs[name])) for name in healthy.inputs]
    with torch.no_grad():
        found = module(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
    found = found if isinstance(found, tuple) else (found,)
    return {name: tensor.numpy() for name, tensor in zip(healthy.outputs, found, strict=True)}


def strength(proof: Proof, module: nn.Module, left_out: Collection[str] = ()) -> float:
    """How large a numerical fault is: max|faulted - healthy| in float64 by the healthy model's own float32 error.

    Taken per output and group of samples, of which the largest counts; infinite where the healthy model has no error at all, or
    where the faulted one answers with NaN or an infinity. Of an edge case no less counts than its output's drawn answers can
    feel, since that is no error there (`NoiseFloor.least`): few elements are at times exact by luck.

    Args:
        module: the faulted model; it is float64 afterwards.
        left_out: edge cases that a proof of the healthy model leaves out by name.
    """
    widening.to_precision(module, torch.float64)
    golden = proof.golden
    assert golden.exact
    far: dict[tuple[str, str], float] = {}
    for index in range(golden.samples.files.count):
        right = arrays.load(golden.exact, index)
        if golden.samples.group(index) in left_out:
            continue
        with recompute.convolution_in_slabs():
            wrong = ask(proof.healthy, module, arrays.load(golden.samples.files, index))
        for name, array in right.items():
            key = name, golden.samples.group(index)
            distance = np.abs(wrong[name] - array).max(initial=0.0)
            far[key] = max(far.get(key, 0.0), float(distance) if np.isfinite(distance) else np.inf)
    noise: Mapping[tuple[str, str], float] = {(floor.output, floor.group): max(floor.noise, floor.least) for floor in golden.floors}
    judged = [key for key in far if key in noise]
    return max((far[key] / noise[key] if noise[key] else np.inf) if far[key] else 0.0 for key in judged)
