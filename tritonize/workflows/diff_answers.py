"""Compare outputs and latency of two versions on the same samples, side by side on one server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError
from tritonize.core.recorder import Listener, silent
from tritonize.core.reports import Finding, Stage
from tritonize.core.results import Metrics
from tritonize.core.stages import StageName
from tritonize.quality import comparison, metrics
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import golden_seeds
from tritonize.repository.manifest import Manifest
from tritonize.triton import client, inference
from tritonize.triton.protocol import ModelConfig

_WARMUP = 5


@dataclass(frozen=True, kw_only=True)
class Version:
    """A published version and its evidence."""

    number: int
    directory: Path
    manifest: Manifest
    golden: GoldenSet
    text: str
    """Text of the configuration that it is served with."""
    config: ModelConfig
    """The configuration, parsed."""
    proven: bool
    """Whether the version was proven with this configuration."""
    name: str
    """Model name on the server."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Latency of one version in milliseconds over gRPC, one request at a time."""

    version: int
    requests: int
    batch_size: int
    median_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One output of the later version compared with the earlier one's."""

    output: str
    metrics: Metrics
    """Expected values come from the earlier version, the tolerance from the later one."""
    samples: int
    mismatched_samples: int
    k: Mapping[int, float | None]
    """Largest noise-floor ratio (k) by version, each against its own float64 values; empty without float64 values."""


@dataclass(frozen=True, kw_only=True)
class ServedPair:
    """Sends requests to both versions and collects their outputs."""

    connection: client.Client
    versions: tuple[Version, Version]
    """The versions as (before, after)."""
    on_stage: Listener = silent
    refused: list[Finding] = field(default_factory=list)
    """Requests that one of the versions rejected."""

    def infer(self, version: Version, inputs: Arrays) -> Arrays:
        """Return the outputs of one version for one sample."""
        served = inference.as_served(inputs, version.config, "input")
        return self.connection.infer(version.name, served, version=str(version.number))

    def drift(self) -> tuple[Drift, ...]:
        """Compare the outputs for every sample of either version; each sample is sent once per version."""
        self.on_stage(StageName.NUMERICS, None)
        started = time.perf_counter()
        before, after = self.versions
        trackers = {each.number: ErrorTracker(each.golden) for each in self.versions}
        sums: dict[str, metrics.Accumulator] = {}
        bad: dict[str, int] = {}
        compared: set[str] = set()
        """Digests of the samples; one that both versions have counts once."""
        for owner in (after, before):
            for index in progress.counted(range(owner.golden.samples.files.count), "sample", text=f"version {owner.number}"):
                inputs = arrays.load(owner.golden.samples.files, index)
                found = {each.number: outputs for each in self.versions if (outputs := self._try(each, inputs, owner, index=index))}
                if len(found) < len(self.versions):
                    continue
                trackers[owner.number].add(StageName.SERVED, (index,), found[owner.number])
                digest = golden_seeds.digest(inputs)
                if digest not in compared:
                    compared.add(digest)
                    self._add(found[before.number], found[after.number], sums, bad=bad)
        self.on_stage(
            StageName.NUMERICS,
            Stage(
                name=StageName.NUMERICS,
                verdict="failed" if any(bad.values()) else "passed",
                seconds=time.perf_counter() - started,
                note=f"{len(compared)} samples, each sent to both versions",
            ),
        )
        ks = {number: largest_k(tracker) for number, tracker in trackers.items()}
        return tuple(
            Drift(
                output=name,
                metrics=each.result(),
                samples=len(compared),
                mismatched_samples=bad[name],
                k={number: values[name] for number, values in ks.items() if name in values},
            )
            for name, each in sums.items()
        )

    def _try(self, version: Version, inputs: Arrays, owner: Version, *, index: int) -> Arrays:
        """Return the outputs of one version; on a rejected request, record a finding and return nothing."""
        try:
            return self.infer(version, inputs)
        except InferenceError as error:
            what = f"version {version.number} refused it: {error.found or error.what}"
            self.refused.append(Finding(where=f"sample {index} of version {owner.number}", what=what))
            return {}

    def _add(self, one: Arrays, other: Arrays, sums: dict[str, metrics.Accumulator], *, bad: dict[str, int]) -> None:
        golden = self.versions[1].golden
        checks = {check.name: check for check in comparison.compare(one, other, golden.tolerances)}
        for name in one:
            if name not in other:
                continue  # already a finding
            rule = golden.rule(name)
            if name not in sums:
                sums[name] = metrics.Accumulator(
                    rule.kind, rtol=rule.tolerance.rtol, atol=rule.tolerance.atol, batched=golden.samples.batched
                )
                bad[name] = 0
            sums[name].add(one[name], other[name])
            bad[name] += not checks[name].passed

    def latency(self, requests: int) -> tuple[Latency, ...]:
        """Time requests with one sample, alternating between the versions; the order changes with each pair."""
        self.on_stage(StageName.LATENCY, None)
        started = time.perf_counter()
        inputs = arrays.load(self.versions[1].golden.samples.files, 0)
        times: dict[int, list[float]] = {each.number: [] for each in self.versions}
        for turn in progress.counted(range(_WARMUP + requests), "request"):
            for each in self.versions if turn % 2 else self.versions[::-1]:
                sent = time.perf_counter()
                self.infer(each, inputs)
                if turn >= _WARMUP:
                    times[each.number].append(1000 * (time.perf_counter() - sent))
        note = f"{requests} requests of each"
        self.on_stage(
            StageName.LATENCY, Stage(name=StageName.LATENCY, verdict="passed", seconds=time.perf_counter() - started, note=note)
        )
        return tuple(
            Latency(
                version=number,
                requests=len(durations),
                batch_size=1 if self.versions[1].golden.samples.batched else 0,
                median_ms=statistics.median(durations),
                p95_ms=sorted(durations)[max(0, -(-95 * len(durations) // 100) - 1)],
            )
            for number, durations in times.items()
        )


def largest_k(tracker: ErrorTracker) -> dict[str, float | None]:
    """Return the largest noise-floor ratio (k) of each output with a noise floor; `None` if the denominator is 0."""
    largest: dict[str, float | None] = {}
    for gate in tracker.gates():
        if gate.gate == "noise floor" and gate.verdict != "not run":
            so_far = largest.get(gate.output, 0.0)
            largest[gate.output] = None if gate.value is None or so_far is None else max(so_far, gate.value)
    return largest
