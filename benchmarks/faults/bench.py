"""Every healthy model and every fault, judged."""

from __future__ import annotations

import copy
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.faults import deploy
from benchmarks.faults import frozen as branches
from benchmarks.faults.behavioural import BEHAVIOURAL, Behavioural
from benchmarks.faults.hard import HARD
from benchmarks.faults.judging import Judged, judge
from benchmarks.faults.models import MODELS, Healthy
from benchmarks.faults.numerical import NUMERICAL, Numerical
from benchmarks.faults.proof import EVIDENT, Proof, prepare, strength
from benchmarks.faults.situation import Answering, Situation
from benchmarks.faults.sources import SOURCES
from benchmarks.faults.volumes import VOLUMES
from tritonize.core import arrays

STALE = 1_000
"""Added to a seed: the weights of the version before."""
CONCURRENT_SECONDS = 0.5
HEALTHY = "healthy"
COUNTED = (*MODELS, *SOURCES, *VOLUMES)
"""Models whose faults and false alarms count."""
ALL = (*COUNTED, *HARD)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model of one seed, healthy or with one fault, and what the rules said."""

    model: str
    seed: int
    fault: str
    """`healthy` where there is none."""
    counts: bool
    """Whether it has to be found."""
    strength: float | None
    """Of a numerical fault: in the healthy model's own float32 errors."""
    judged: Judged


def measure(healthy: Healthy, seed: int, directory: Path, *, faulted: bool, only: Sequence[str] = ()) -> Iterator[Case]:
    """The healthy model of a seed, then every fault that it can have.

    Args:
        faulted: whether faults are wanted at all.
        only: names of faults; all where it is empty.
    """
    torch.set_num_threads(1)
    proof = prepare(healthy, seed, directory)
    right, file = _served(healthy, seed)
    judged = judge(proof, right, file)
    yield Case(model=healthy.name, seed=seed, fault=HEALTHY, counts=False, strength=None, judged=judged)
    chosen = healthy.faults if healthy.faults is not None else only or None
    if not faulted or chosen == ():
        return
    for fault in NUMERICAL:
        if chosen is None or fault.name in chosen:
            yield from _numerical(proof, fault, judged.left_out)
    stale, _ = _served(healthy, seed + STALE)
    for each in BEHAVIOURAL:
        if chosen is None or each.name in chosen:
            yield from _behavioural(proof, each, right, stale, file)


def run(place: int, seed: int, faulted: bool) -> list[Case]:
    """The same in a folder of its own: what one process of the bench does at a time.

    Args:
        place: of the model in `ALL`.
    """
    warnings.simplefilter("ignore")  # tracers warn, of right models too
    with tempfile.TemporaryDirectory() as folder:
        return list(measure(ALL[place], seed, Path(folder), faulted=faulted))


def frozen(seeds: int) -> Iterator[Case]:
    """Branches on data, which a tracing exporter freezes: all that do have to be refused, and no other."""
    for branch, seed, judged in branches.measure(seeds):
        fault = branch.name if branch.frozen else HEALTHY
        name = "branches" if branch.frozen else branch.name
        yield Case(model=name, seed=seed, fault=fault, counts=branch.frozen, strength=None, judged=judged)


def generator(healthy: Healthy, seed: int, fault: str) -> np.random.Generator:
    """The random numbers of one fault in one model."""
    return np.random.default_rng([seed, zlib.crc32(healthy.name.encode()), zlib.crc32(fault.encode())])


def _served(healthy: Healthy, seed: int) -> tuple[Answering, bytes]:
    file = deploy.export(healthy, healthy.module(seed))
    answer = deploy.serve(file)
    return lambda asked: answer(asked.inputs), file


def _numerical(proof: Proof, fault: Numerical, left_out: Sequence[str]) -> Iterator[Case]:
    module = proof.healthy.module(proof.seed)
    with torch.no_grad():
        if not fault.put(module, generator(proof.healthy, proof.seed, fault.name)):
            return
    file = deploy.export(proof.healthy, module)
    answer = deploy.serve(file)
    judged = judge(proof, lambda asked: answer(asked.inputs), file)
    size = strength(proof, module, left_out)
    yield Case(model=proof.healthy.name, seed=proof.seed, fault=fault.name, counts=size >= EVIDENT, strength=size, judged=judged)


def _behavioural(proof: Proof, fault: Behavioural, right: Answering, stale: Answering, file: bytes) -> Iterator[Case]:
    golden = proof.golden
    answer = fault.put(
        Situation(
            answer=right,
            stale=stale,
            generator=generator(proof.healthy, proof.seed, fault.name),
            sample=copy.deepcopy(arrays.load(golden.samples.files, 0)),
            expected=arrays.load(golden.expected, 0),
            scales=proof.scales(),
            edges=proof.edges(),
        )
    )
    if answer is not None:
        judged = judge(proof, answer, file, concurrent_seconds=CONCURRENT_SECONDS if fault.concurrent else 0.0)
        yield Case(model=proof.healthy.name, seed=proof.seed, fault=fault.name, counts=True, strength=None, judged=judged)
