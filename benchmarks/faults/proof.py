"""A model of the bench as a proof has it: samples, PyTorch's answers in float32 and float64, and the golden set of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.faults.models import Healthy
from tritonize import arrays, noise, quality, samples
from tritonize.arrays import Arrays
from tritonize.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.golden import GoldenSet, write
from tritonize.workers import conditioning

EVIDENT = 30.0
"""A numerical fault counts from so many times the healthy model's own float32 error on."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One healthy model with the weights and samples of one seed."""

    healthy: Healthy
    seed: int
    golden: GoldenSet
    judged_by: GoldenSet
    """The same, or what a version carries of it: float64 rounded to float32, read back from files."""

    def scales(self) -> dict[str, float]:
        """The largest exact magnitude of every output, over the drawn samples."""
        return {floor.output: floor.scale for floor in self.golden.floors if floor.group == "drawn"}

    def edges(self) -> dict[str, Arrays]:
        """Edge case to its inputs."""
        drawn = self.golden.samples
        return {name: dict(arrays.load(drawn.files, index)) for index, name in drawn.edges.items()}


def prepare(healthy: Healthy, seed: int, directory: Path) -> Proof:
    """Draw samples and edge cases, ask PyTorch about each alone in float32 and float64, and write all of it.

    Odd seeds are judged by the golden set that a version would carry, as a later `tritonize verify` does.
    """
    model = healthy.spec(seed)
    drawn = samples.add_edges(model, samples.write(model, directory / "samples"))
    expected, exact, moved = _answers(healthy, seed, drawn, directory)
    rules = quality.rules(model, drawn, expected)
    kinds = {name: rule.kind for name, rule in rules.items()}
    found = noise.measured(drawn, expected, exact, kinds=kinds, moved=moved)
    golden = GoldenSet(
        samples=drawn,
        expected=expected,
        exact=found.exact,
        max_batch_size=healthy.max_batch_size,
        rules=rules,
        floors=found.floors,
        unmeasured=found.unmeasured,
    )
    carried = directory / "golden"
    carried.mkdir()
    return Proof(healthy=healthy, seed=seed, golden=golden, judged_by=write(golden, carried) if seed % 2 else golden)


def _answers(
    healthy: Healthy, seed: int, drawn: SampleSet, directory: Path
) -> tuple[TensorFiles, TensorFiles, tuple[dict[str, float], ...]]:
    module = healthy.module(seed)
    own, exact = (
        TensorFiles(
            directory=directory / dtype,
            tensors=tuple(TensorSpec(name=name, dtype=dtype, shape=()) for name in healthy.outputs),
            count=drawn.files.count,
        )
        for dtype in ("fp32", "fp64")
    )
    for index in range(drawn.files.count):
        arrays.save(own, index, ask(healthy, module, arrays.load(drawn.files, index)))
    moved = conditioning.moved(module, lambda index: ask(healthy, module, arrays.load(drawn.files, index)), own)
    module.double()
    for index in range(drawn.files.count):
        arrays.save(exact, index, ask(healthy, module, arrays.load(drawn.files, index)))
    return own, exact, moved


def ask(healthy: Healthy, module: nn.Module, inputs: Arrays) -> Arrays:
    """What PyTorch answers; floating inputs are given in the type of the module's weights."""
    dtype = next(module.parameters()).dtype
    tensors = [torch.from_numpy(np.array(inputs[name])) for name in healthy.inputs]
    with torch.no_grad():
        found = module(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
    found = found if isinstance(found, tuple) else (found,)
    return {name: tensor.numpy() for name, tensor in zip(healthy.outputs, found, strict=True)}


def strength(proof: Proof, module: nn.Module) -> float:
    """How large a numerical fault is: max|faulted - healthy| in float64 by the healthy model's own float32 error.

    Taken per output and group of samples, of which the largest counts; infinite where the healthy model has no error at all, or
    where the faulted one answers with a number that is none.

    Args:
        module: the faulted model; it is float64 afterwards.
    """
    module.double()
    golden = proof.golden
    assert golden.exact
    far: dict[tuple[str, str], float] = {}
    for index in range(golden.samples.files.count):
        right = arrays.load(golden.exact, index)
        wrong = ask(proof.healthy, module, arrays.load(golden.samples.files, index))
        for name, array in right.items():
            key = name, golden.samples.group(index)
            distance = np.abs(wrong[name] - array).max(initial=0.0)
            far[key] = max(far.get(key, 0.0), float(distance) if np.isfinite(distance) else np.inf)
    noise: Mapping[tuple[str, str], float] = {(floor.output, floor.group): floor.noise for floor in golden.floors}
    return max((far[key] / noise[key] if noise[key] else np.inf) if far[key] else 0.0 for key in far)
