"""The page and the text of a benchmark."""

from __future__ import annotations

import re
from dataclasses import replace

from tritonize.core.load_results import BenchReport, Latency, Load, ServerTimes, Usage, Window
from tritonize.core.reports import Finding
from tritonize.report import bench_text
from tritonize.report.html import bench_page

LATENCY = Latency(mean=0.002, p50=0.00175, p90=0.003, p95=0.004, p99=0.0095, largest=0.05)
WINDOWS = (Window(seconds=2.0, requests=1000, mean=0.002),) * 3
SERVER = ServerTimes(requests=3000, queue=1e-4, input=2e-5, compute=8e-4, output=3e-5, inferences=6000, executions=2000, hits=0)
CLOSED = Load(
    kind="concurrency",
    level=2,
    batch_size=2,
    latency=LATENCY,
    windows=WINDOWS,
    stable=True,
    sent=3300,
    server=SERVER,
    usage=Usage(cores=1.25, memory=2**26),
)
OPEN = Load(kind="rate", level=50, batch_size=2, latency=LATENCY, windows=WINDOWS, stable=False, sent=900)
REPORT = BenchReport(
    model="small",
    version=3,
    verdict="passed",
    transport="grpc",
    arrivals="poisson",
    loads=(CLOSED, OPEN),
    compared=17,
    notes=("A <note> & more.",),
    proved_by={"tritonserver": "2.51.0"},
)


def test_the_page_is_one_file_with_charts_and_their_numbers() -> None:
    page = bench_page.render(REPORT)
    assert page == bench_page.render(REPORT)
    assert page.count("<svg") == 3
    assert "Benchmark of small version 3" in page
    assert "1.75 ms, p99 9.50" in page
    assert "500.0/s" in page
    assert "0.950 ms, computing 0.800" in page
    assert "~ 50/s, batch 2" in page
    assert "A &lt;note&gt; &amp; more." in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_a_failed_benchmark_says_so_on_the_page_and_in_the_text() -> None:
    bad = replace(CLOSED, wrong=33, errors=1, error="refused")
    finding = Finding(where="2 clients of batch size 2", what="33 of 3,300 responses are outside their tolerance")
    report = replace(REPORT, verdict="failed", loads=(bad,), findings=(finding,))
    page = bench_page.render(report)
    assert "33 of 3,300 responses were outside their tolerance, 1 requests got an error." in page
    assert '<rect class="bar wrong"' in page
    text = "\n".join(bench_text.lines(report))
    assert text.startswith("FAILED  small version 3: 3,300 requests, 33 outside their tolerance")
    assert "✗ 2 clients " in text


def test_the_text_has_80_columns_and_both_tables() -> None:
    analyzed = [{"load": "2 clients of batch size 2", "results": {"Inferences/Second": 995.5, "p50 latency": 1800.0}}]
    lines = list(bench_text.lines(replace(REPORT, details={"perf_analyzer": analyzed})))
    assert max(map(len, lines)) <= 80
    assert "✓ 2 clients        2       500.0      2.00    1.75    3.00    4.00    9.50" in lines
    assert "~ 50/s             2       500.0      2.00    1.75    3.00    4.00    9.50" in lines
    assert "  2 clients        2    0.10    0.02     0.80    0.03       3.0    1.25      64" in lines
    assert "  50/s             2       –       –        –       –         –" in lines
    assert "perf_analyzer, 2 clients of batch size 2: 995.5 samples/s, p50 1.80 ms" in lines


def test_the_json_has_requests_per_second() -> None:
    found = bench_text.as_json(REPORT)["bench"]
    assert [each["requests_per_second"] for each in found["loads"]] == [500.0, 500.0]  # type: ignore[index]
    assert found["loads"][0]["latency"]["p99"] == 0.0095  # type: ignore[index]
