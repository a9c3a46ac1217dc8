"""Results of a benchmark as plain data: latency, throughput and what the server itself measured, for each load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tritonize.core.reports import Finding
from tritonize.core.results import Gate, Verdict

Kind = Literal["concurrency", "rate"]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds that requests took. Each percentile is a measured value: the smallest that so many of 100 requests did not exceed."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """One measured window."""

    seconds: float
    requests: int
    """Requests that ended in it."""
    mean: float | None
    """Their mean latency in seconds; `None` without any."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, kw_only=True)
class ServerTimes:
    """What the server's statistics say of the requests of a load; times in seconds per request."""

    requests: int
    queue: float
    input: float
    compute: float
    output: float
    inferences: int
    """Computed items: a batch of four counts as four."""
    executions: int
    hits: int
    """Responses from the response cache."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the embedded server used during a load."""

    cores: float
    """CPU time over elapsed time."""
    memory: int
    """Largest resident memory of its processes in bytes; a page that several share counts once."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load and what it measured: the last three windows, which are stable if `stable` says so."""

    kind: Kind
    level: float
    """Clients that send one request after the other, or requests per second."""
    batch_size: int
    """0 if the model is not batched."""
    latency: Latency | None
    """`None` if no request ended in the windows."""
    windows: tuple[Window, ...]
    stable: bool
    sent: int
    """All requests, those before the windows included."""
    wrong: int = 0
    """Responses outside their tolerance."""
    errors: int = 0
    """Requests that got an error instead of a response."""
    error: str = ""
    """The first one."""
    late: float = 0.0
    """With a rate: the share of requests that were sent more than 5 ms after their time."""
    during: int = 0
    """Responses that were compared while the load ran, since they differ too much from each other to be kept."""
    server: ServerTimes | None = None
    usage: Usage | None = None

    @property
    def label(self) -> str:
        """The load in few characters."""
        return f"{self.level:g}/s" if self.kind == "rate" else f"{self.level:g} client{'s' if self.level != 1 else ''}"

    @property
    def rate(self) -> float:
        """Requests per second, in the windows of `latency`."""
        return sum(each.requests for each in self.windows) / sum(each.seconds for each in self.windows)


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All loads of a benchmark, and whether the responses were those of the golden set."""

    model: str
    version: int
    verdict: Verdict
    transport: str
    arrivals: str
    """`poisson` or `constant`: the distances of requests that are sent at a rate."""
    loads: tuple[Load, ...]
    compared: int
    """Different responses that were compared; each stands for all that have its bits."""
    gates: tuple[Gate, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    proved_by: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
