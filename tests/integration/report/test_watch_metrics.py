"""The metrics of a watch, as Prometheus reads them: over HTTP on loopback, and bounded in number."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tritonize.core.errors import MissingError
from tritonize.core.watch_rounds import Round, Row
from tritonize.report import watch_metrics
from tritonize.report.watch_metrics import Metrics


def row(replica: str, verdict: str = "passed", **values: Any) -> Row:
    return Row(model="m", version=1, replica=replica, verdict=verdict, exit_code=0, **values)  # type: ignore[arg-type]


def done(*rows: Row, at: int = 100) -> Round:
    return Round(number=1, began=datetime.fromtimestamp(at, UTC), seconds=0.5, requests=14, rows=rows)


def samples(address: str) -> dict[tuple[str, str], float]:
    """Name and label values to value."""
    with urllib.request.urlopen(address, timeout=10) as response:
        text = response.read().decode()
    return {
        (sample.name.removeprefix("tritonize_verify_"), " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_those_of_the_last_round() -> None:
    metrics = Metrics()
    metrics.add(done(row("a", ratios={"y": 0.5}, errors={"y": 0.25}, latencies_s={"http": (0.5, 1.5)})))
    metrics.add(done(row("a", "failed", errors={"y": 8.0}, latencies_s={"http": (1.0,)}), at=160))
    metrics.undelivered()
    with watch_metrics.served(metrics, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        found = samples(address)
    assert found["verdict", "m a failed"] == 1
    assert found["verdict", "m a passed"] == 0
    assert ("noise_floor_ratio", "m y a") not in found  # it was not computed in the last round
    assert found["max_error", "m y a"] == 8
    assert (found["latency_seconds_count", "m a http"], found["latency_seconds_sum", "m a http"]) == (3, 3)
    assert found["last_success_timestamp_seconds", "m a"] == 100
    assert found["last_round_timestamp_seconds", ""] == 160
    assert (found["requests_total", ""], found["rounds_total", ""], found["undelivered_changes_total", ""]) == (28, 2, 1)


def test_the_number_of_series_stays_the_same_while_replicas_come_and_go() -> None:
    metrics, counts = Metrics(), []
    for number in range(60):
        values = {"ratios": {"y": 1.0}, "errors": {"y": 1.0}, "latencies_s": {"http": (0.1,)}}
        metrics.add(done(*(row(f"10.0.0.{number + each}", **values) for each in range(2))))
        counts.append(sum(len(family.samples) for family in metrics.registry.collect()))
    assert len(set(counts)) == 1


def test_a_port_in_use_is_an_error_with_its_number() -> None:
    with watch_metrics.served(Metrics(), 0) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with pytest.raises(MissingError) as caught, watch_metrics.served(Metrics(), port):
            pass
    assert (caught.value.code, caught.value.where) == ("metrics-port", f"127.0.0.1:{port}")
