"""Branches on data, which an exporter that traces freezes: samples of one side answer alike, and say nothing of the other.

The real path is asked: what `workers.export` records while it traces, and what `decisions` makes of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.faults.judging import BOTH, OURS, Judged
from benchmarks.faults.rules import RULES
from tritonize.core import decisions
from tritonize.export.worker.decisions import Recorder, found
from tritonize.source.worker.torch_model import LoadedModel

SAMPLES = 4


class _Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


class Pixels(_Layers):
    """Whole pixels are brought to 0 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 100:
            x = x / 255
        answer: Tensor = self.layers(x)
        return answer


class Number(_Layers):
    """The same, by a number of Python's."""

    def forward(self, x: Tensor) -> Tensor:
        factor = 1 / 255 if float(x.abs().max()) > 100 else 1.0
        answer: Tensor = self.layers(x * factor)
        return answer


class Loop(_Layers):
    """Halved until it is small."""

    def forward(self, x: Tensor) -> Tensor:
        while x.abs().max() > 100:
            x = x / 2
        answer: Tensor = self.layers(x)
        return answer


class Guarded(_Layers):
    """A check that raises is no branch: there is no other answer."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x.abs() > 1e6).any()):
            raise ValueError("too large")
        answer: Tensor = self.layers(x)
        return answer


class BySize(_Layers):
    """A branch on a fixed size does not depend on data."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == 8:
            x = x * 2
        answer: Tensor = self.layers(x)
        return answer


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A model that looks at its data."""

    name: str
    make: Callable[[], nn.Module]
    frozen: bool
    """Whether the file that is traced of it answers one side for both."""


BRANCHES = (
    Branch(name="branch on pixels", make=Pixels, frozen=True),
    Branch(name="branch by a number", make=Number, frozen=True),
    Branch(name="loop until small", make=Loop, frozen=True),
    Branch(name="check that raises", make=Guarded, frozen=False),
    Branch(name="branch on a fixed size", make=BySize, frozen=False),
)


def judge(branch: Branch, seed: int) -> Judged:
    """Whether the export path refuses what is traced of a model whose samples are all on one side.

    The rules of other tools compare answers, and the answers to these samples are right.
    """
    torch.manual_seed(seed)
    module = branch.make().eval()
    model, example = LoadedModel(module, ["x"], []), (torch.rand(2, 8),)
    recorder = Recorder(1, module)
    with torch.no_grad(), recorder.watching():
        torch.jit._trace._get_trace_graph(model, example, strict=False)
    samples = [(torch.rand(1, 8),) for _ in range(SAMPLES)]
    refused = decisions.refusal(found(model, example, iter(samples), first=recorder.run), [])
    accepted = dict.fromkeys((*RULES, *OURS), True) | {BOTH: refused is None}
    return Judged(accepted=accepted, why=f"{refused.what} {refused.where}" if refused else "", k=0.0)


def largest_error(branch: Branch, seed: int) -> float:
    """How far the traced file is off on the side that no sample took: max |difference| by the largest answer."""
    torch.manual_seed(seed)
    module = branch.make().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the very branch
        traced = torch.jit.trace(module, (torch.rand(2, 8),), check_trace=False)
        far = 255 * torch.rand(1, 8)
        right, wrong = module(far), traced(far)
    return float((right - wrong).abs().max() / right.abs().max())


def measure(seeds: int) -> Iterator[tuple[Branch, int, Judged]]:
    """Every model and seed."""
    for branch in BRANCHES:
        for seed in range(seeds):
            yield branch, seed, judge(branch, seed)
