"""Send the same requests to a baseline and to a new server or version, in turns, and collect errors and latency."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritonize.bench import paired
from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import Finding
from tritonize.core.canary_results import OutputErrors
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import canary as wording
from tritonize.core.stages import StageName, Transport
from tritonize.quality import comparison
from tritonize.triton import client, inference
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
        turn = 0
        for owner in owners:
            for batch in self.new.profile.over_a_transport(owner.golden):
                inputs = arrays.stack(owner.golden.samples.files, batch)
                found = self._both(inputs, turn, where=f"samples {', '.join(map(str, batch[:4]))} of version {owner.version}")
                turn += 1
                if len(found) == 2:
                    self._add(owner, batch, found)
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
        """Seconds of at most as many requests to each side, in turns; the side that is first changes with each pair."""
        files = self.new.golden.samples.files
        count = min(_MOST_SAMPLES, max(1, self.new.golden.samples.drawn))
        samples = [arrays.load(files, index) for index in range(count)]
        times: dict[str, list[float]] = {"baseline": [], "new": []}
        until = time.perf_counter() + LONGEST_S
        for turn in range(_WARMUP + pairs):
            if turn >= _WARMUP + FEWEST_PAIRS and time.perf_counter() > until:
                break
            if len(self._both(samples[turn % count], turn, where="latency", times=times if turn >= _WARMUP else None)) < 2:
                break
        return times

    def _both(self, inputs: Arrays, turn: int, *, where: str, times: dict[str, list[float]] | None = None) -> dict[str, Arrays]:
        """The outputs of both sides; a side that rejects the request is missing, and gets a finding."""
        sides = {"baseline": self.baseline, "new": self.new}
        found: dict[str, Arrays] = {}
        for name in sides if turn % 2 else reversed(sides):
            side = sides[name]
            served = inference.as_served(inputs, side.config, "input")
            side.pace.wait()
            started = time.perf_counter()
            try:
                found[name] = self.connections[name].infer(side.model, served, version=str(side.version))
            except InferenceError as error:
                why = f"{error.what} {error.found or ''}".strip()
                self.refused.append(Finding(where=f"{name}, {where}", what=wording.REFUSED.text(), found=why))
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
