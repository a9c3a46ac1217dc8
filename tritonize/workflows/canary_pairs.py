"""Send the same requests to a baseline and to a new server or version, in turns, and collect errors and latency."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritonize.bench import paired
from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.canary_results import OutputErrors
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import canary as wording
from tritonize.core.reports import Finding
from tritonize.core.stages import StageName, Transport
from tritonize.quality import comparison
from tritonize.triton import client, inference, sequence_requests
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.target import Target
from tritonize.workflows.diff_answers import largest_k

PAIRS = {"quick": 100, "standard": 400, "thorough": 2000}
"""Profile to the most pairs of requests whose latency is measured."""
FEWEST_PAIRS = 4 * paired.BLOCK
LONGEST_S = 120.0
"""Seconds after which the measurement ends, if it has the fewest pairs."""
_WARMUP = 5
_MOST_SAMPLES = 8
"""Samples that the requests for latency rotate through."""


class BaselineAwayError(Exception):
    """The baseline does not respond; the cause is the server's error."""


@dataclass(kw_only=True)
class _Errors:
    baseline: float = 0.0
    new: float = 0.0
    tolerance: float = 0.0
    difference: float = 0.0
    beyond: int = 0


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One request to both sides."""

    samples: tuple[int, ...]
    steps: Mapping[str, SequenceStep] = field(default_factory=dict)
    """Of a stateful model: side to the place of the request in its sequence."""
    last: bool = True
    """Whether no sequence is under way after it."""


@dataclass(kw_only=True)
class Pairs:
    """Both sides, and what their responses add up to."""

    baseline: Target
    new: Target
    transport: Transport
    connections: Mapping[str, client.Client]
    """By the name of the side: `baseline`, `new`."""
    refused: list[Finding] = field(default_factory=list)
    """Requests that a side rejected."""
    compared: int = 0
    baseline_wrong: int = 0
    """Responses of the baseline outside its own tolerance."""
    _errors: dict[str, _Errors] = field(default_factory=dict)

    def compare(self) -> tuple[OutputErrors, ...]:
        """Send the batches of the profile to both sides. Each side is compared with the reference of its own version."""
        owners = [self.new] if self.new.golden is self.baseline.golden else [self.new, self.baseline]
        requests = ((owner, request) for owner in owners for request in self._requests(owner))
        for turn, (owner, request) in enumerate(requests):
            progress.report(done=turn, unit="request", text="outputs")
            found = self._both(owner, request, turn)
            if len(found) < 2:
                break
            self._add(owner, request.samples, found)
        ks = {name: largest_k(side.tracker) for name, side in (("baseline", self.baseline), ("new", self.new))}
        return tuple(
            OutputErrors(
                name=name,
                baseline=each.baseline,
                new=each.new,
                tolerance=each.tolerance,
                baseline_k=ks["baseline"].get(name),
                new_k=ks["new"].get(name),
                difference=each.difference,
                beyond=each.beyond,
            )
            for name, each in self._errors.items()
        )

    def seconds(self, pairs: int) -> dict[str, list[float]]:
        """Seconds of at least as many requests to each side, in turns; the side that is first changes with each pair.

        They end early after `LONGEST_S`, and never inside a sequence.
        """
        times: dict[str, list[float]] = {"baseline": [], "new": []}
        until = time.perf_counter() + LONGEST_S
        for turn, request in enumerate(self._again_and_again()):
            progress.report(done=turn, unit="request", text="latency")
            if len(self._both(self.new, request, turn, times=times if turn >= _WARMUP else None)) < 2:
                break
            done = len(times["new"])
            if request.last and (done >= pairs or (done >= FEWEST_PAIRS and time.perf_counter() > until)):
                break
        return times

    def most(self, pairs: int) -> int:
        """The largest number of requests to each side, with as many pairs for the latency."""
        owners = {id(each.golden): each for each in (self.baseline, self.new)}
        longest = max(map(len, self.new.golden.samples.together), default=1)
        return sum(1 for each in owners.values() for _ in self._requests(each)) + _WARMUP + pairs + longest - 1

    def _requests(self, owner: Target) -> Iterator[_Request]:
        """The batches of the profile, or the steps of its sequences."""
        if not owner.golden.samples.sequences:
            yield from (_Request(samples=batch) for batch in self.new.profile.over_a_transport(owner.golden))
            return
        for members in self.new.profile.together(owner.golden):
            yield from self._sequence(owner, members)

    def _again_and_again(self) -> Iterator[_Request]:
        """Single samples, or sequences, without end."""
        golden = self.new.golden
        if golden.samples.sequences:
            for members in itertools.cycle(self.new.profile.together(golden)):
                yield from self._sequence(self.new, members)
        count = min(_MOST_SAMPLES, max(1, golden.samples.drawn))
        yield from (_Request(samples=(index,)) for index in itertools.cycle(range(count)))

    def _sequence(self, owner: Target, members: tuple[int, ...]) -> Iterator[_Request]:
        """The steps of one sequence, which has an id of its own on each side."""
        each = [sequence_requests.steps_of(replace(side, golden=owner.golden), members) for side in (self.baseline, self.new)]
        for (index, old), (_, new) in zip(*each, strict=True):
            yield _Request(samples=(index,), steps={"baseline": old, "new": new}, last=new.end)

    def _both(
        self, owner: Target, request: _Request, turn: int, *, times: dict[str, list[float]] | None = None
    ) -> dict[str, Arrays]:
        """The outputs of both sides; a side that rejects the request is missing, and gets a finding."""
        sides = {"baseline": self.baseline, "new": self.new}
        inputs = arrays.stack(owner.golden.samples.files, request.samples)
        found: dict[str, Arrays] = {}
        for name in sides if turn % 2 else reversed(sides):
            side = sides[name]
            served = inference.as_served(inputs, side.config, "input")
            side.pace.wait()
            started = time.perf_counter()
            try:
                found[name] = self.connections[name].infer(
                    side.model, served, version=str(side.version), step=request.steps.get(name)
                )
            except InferenceError as error:
                where = f"{name}, samples {', '.join(map(str, request.samples[:4]))} of version {owner.version}"
                why = f"{error.what} {error.found or ''}".strip()
                self.refused.append(Finding(where=where, what=wording.REFUSED.text(), found=why))
                continue
            except ServerError as error:
                if name == "baseline":
                    raise BaselineAwayError from error
                raise
            if times is not None:
                times[name].append(time.perf_counter() - started)
        return found

    def _add(self, owner: Target, batch: Sequence[int], found: Mapping[str, Arrays]) -> None:
        self.compared += 1
        tolerances = owner.golden.tolerances
        for name, side in (("baseline", self.baseline), ("new", self.new)):
            if side.golden is not owner.golden:
                continue
            expected = inference.as_served(owner.golden.expected_outputs(tuple(batch)), side.config, "output")
            checks = comparison.compare(expected, found[name], tolerances)
            side.tracker.add(StageName.SERVED, batch, found[name])
            self.baseline_wrong += name == "baseline" and not all(check.passed for check in checks)
            for check in checks:
                sums = self._errors.setdefault(check.name, _Errors())
                setattr(sums, name, max(getattr(sums, name), check.max_abs or 0.0))
                if name == "new":
                    sums.tolerance = max(sums.tolerance, check.atol + check.rtol * (check.largest or 0.0))
        for check in comparison.compare(found["baseline"], found["new"], tolerances):
            sums = self._errors.setdefault(check.name, _Errors())
            sums.difference = max(sums.difference, check.max_abs or 0.0)
            sums.beyond += not check.passed
