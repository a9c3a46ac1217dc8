"""Prometheus metrics of a repeated verification, on 127.0.0.1.

Labels stay bounded: the series of a model or replica that is gone are removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client as prometheus

from tritonize.core.errors import MissingError
from tritonize.core.messages import watch as wording
from tritonize.core.results import PASSED
from tritonize.core.stages import TRANSPORTS
from tritonize.core.watch_rounds import VERDICTS, Round, Row

ADDRESS = "127.0.0.1"
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_Metric = prometheus.Gauge | prometheus.Histogram


class Metrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = prometheus.CollectorRegistry()

        def gauge(name: str, text: str, labels: tuple[str, ...]) -> prometheus.Gauge:
            return prometheus.Gauge(f"tritonize_verify_{name}", text, labels, registry=own)

        def counter(name: str, text: str) -> prometheus.Counter:
            return prometheus.Counter(f"tritonize_verify_{name}", text, registry=own)

        where = ("model", "replica")
        self._verdict = gauge("verdict", "1 for the verdict of the last round, 0 for the others", (*where, "verdict"))
        self._ratio = gauge("noise_floor_ratio", "Noise-floor ratio (k) of an output in the last round", (*where, "output"))
        self._error = gauge("max_error", "Largest |found - expected| of an output in the last round", (*where, "output"))
        self._latency = prometheus.Histogram(
            "tritonize_verify_latency_seconds",
            "Time from request to response, of every sample",
            (*where, "transport"),
            buckets=_BUCKETS_S,
            registry=own,
        )
        self._success = gauge("last_success_timestamp_seconds", "Start of the last round that passed, Unix time", where)
        self._round = gauge("last_round_timestamp_seconds", "Start of the last round, Unix time", ())
        self._seconds = gauge("last_round_duration_seconds", "Duration of the last round", ())
        self._requests = counter("requests", "Inference requests, also those that failed")
        self._rounds = counter("rounds", "Rounds")
        self._undelivered = counter("undelivered_changes", "Changes of verdict that could not be delivered")
        self._known: dict[tuple[str, str], Row] = {}

    def add(self, done: Round) -> None:
        """Set the metrics to those of a round."""
        rows = {(row.model, row.replica): row for row in done.rows}
        for gone in self._known.keys() - rows.keys():
            self._forget(self._known[gone])
        for where, row in rows.items():
            self._set(row, before=self._known.get(where), began=done.began.timestamp())
        self._known = rows
        self._round.set(done.began.timestamp())
        self._seconds.set(done.seconds)
        self._requests.inc(done.requests)
        self._rounds.inc()

    def undelivered(self) -> None:
        """Count a change of verdict that nobody heard of."""
        self._undelivered.inc()

    def _set(self, row: Row, *, before: Row | None, began: float) -> None:
        where = (row.model, row.replica)
        for verdict in VERDICTS:
            self._verdict.labels(*where, verdict).set(verdict == row.verdict)
        for metric, values, old in (
            (self._ratio, row.ratios, before.ratios if before else {}),
            (self._error, row.errors, before.errors if before else {}),
        ):
            for output in old.keys() - values.keys():  # a figure of an earlier round is not one of this round
                metric.remove(*where, output)
            for output, value in values.items():
                metric.labels(*where, output).set(value)
        for transport, seconds in row.latencies_s.items():
            for each in seconds:
                self._latency.labels(*where, transport).observe(each)
        if row.verdict in PASSED:
            self._success.labels(*where).set(began)

    def _forget(self, row: Row) -> None:
        where = (row.model, row.replica)
        for verdict in VERDICTS:
            self._verdict.remove(*where, verdict)
        for metric, outputs in ((self._ratio, row.ratios), (self._error, row.errors)):
            for output in outputs:
                metric.remove(*where, output)
        for transport in TRANSPORTS:
            self._latency.remove(*where, transport)
        self._success.remove(*where)


@contextmanager
def served(metrics: Metrics, port: int) -> Iterator[str]:
    """Serve the metrics on 127.0.0.1; yields their address. Port 0 stands for any free one.

    Raises:
        MissingError: the port is in use or not allowed.
    """
    try:
        server, thread = prometheus.start_http_server(port, addr=ADDRESS, registry=metrics.registry)
    except OSError as error:
        raise MissingError.of(wording.METRICS_PORT, where=f"{ADDRESS}:{port}", found=error.strerror) from error
    try:
        yield f"http://{ADDRESS}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
