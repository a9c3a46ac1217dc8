"""`tritonize bench`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.connection import with_connection
from tritonize.cli.display import display
from tritonize.cli.limits import VERIFY_S, Deadline, limited
from tritonize.cli.servers import Server, started
from tritonize.cli.terminal import say, say_lines
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import EXIT_DIFFERS, UnprovenError, UsageError
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.core.load_results import BenchReport


class Protocol(StrEnum):
    """How requests are sent."""

    HTTP = "http"
    GRPC = "grpc"


class Arriving(StrEnum):
    """The distances between requests that are sent at a rate."""

    POISSON = "poisson"
    CONSTANT = "constant"


Repository = Annotated[
    Path | None,
    typer.Argument(
        parser=local,
        metavar="REPOSITORY",
        help="The repository, with its evidence.  [default: model_repository]",
        show_default=False,
    ),
]
Concurrency = Annotated[
    str | None, typer.Option(metavar="N,N", help="Closed loop: clients that send one request after the other.  [default: 1,2,4]")
]
Export = Annotated[
    Path | None,
    typer.Option("--export-perf-analyzer", parser=local, metavar="DIR", help="Write the requests for NVIDIA's perf_analyzer."),
]


@with_connection
def bench(
    repository: Repository = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    *,
    urls: Annotated[
        list[str] | None, typer.Option("--url", metavar="URL", help="A running server, as for verify. Default: start one.")
    ] = None,
    server: Server = "auto",
    golden: Annotated[
        Path | None, typer.Option("--golden", parser=local, metavar="FILE", help="Requests and rules of this golden file.")
    ] = None,
    protocol: Annotated[Protocol | None, typer.Option(help="Default: grpc, if the server has an address for it.")] = None,
    concurrency: Concurrency = None,
    rate: Annotated[str | None, typer.Option(metavar="R,R", help="Open loop: requests per second, whatever is answered.")] = None,
    arrivals: Annotated[Arriving, typer.Option(help="Distances between requests of --rate.")] = Arriving.POISSON,
    batch: Annotated[str | None, typer.Option(metavar="N,N", help="Batch sizes.  [default: 1]")] = None,
    warm_up: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Time of each load that is not measured.")] = 1.0,
    window: Annotated[float, typer.Option(metavar="SECONDS", min=0.05, help="Length of a window; three have to agree.")] = 2.0,
    most_windows: Annotated[int, typer.Option(metavar="N", min=3, help="Windows after which a load is not stable.")] = 10,
    html: Annotated[Path | None, typer.Option(parser=local, metavar="FILE", help="Write the figures as one HTML page.")] = None,
    export: Export = None,
    perf_analyzer: Annotated[bool, typer.Option("--perf-analyzer", help="Measure with the installed perf_analyzer, too.")] = False,
    seconds: Deadline = VERIFY_S,
    connection: ConnectionOptions,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure latency and throughput of a version; every response is compared with its golden set."""
    from tritonize.bench.load import Durations
    from tritonize.core.messages import usage
    from tritonize.workflows import bench as bench_workflow

    way = started(server, urls or ()).way
    if golden is not None and repository is not None:
        raise UsageError.of(usage.GOLDEN_WITH_REPOSITORY, found=str(repository))
    request = bench_workflow.Request(
        repository=repository,
        golden=golden,
        model=model,
        version=version,
        urls=urls or (),
        way=way,
        connection=connection,
        protocol=protocol.value if protocol else None,
        concurrency=[int(each) for each in _numbers("--concurrency", concurrency, whole=True)],
        rates=_numbers("--rate", rate),
        arrivals=arrivals.value,
        batches=[int(each) for each in _numbers("--batch", batch, whole=True)],
        export=export,
        perf_analyzer=perf_analyzer,
        durations=Durations(warm_up_s=warm_up, window_s=window, most_windows=most_windows),
    )
    with limited(seconds), display() as terminal:
        from dataclasses import replace

        report = bench_workflow.bench(replace(request, on_stage=terminal.on_stage, on_progress=terminal.on_progress))
    if html is not None:
        _write_page(report, html)
    _print(report, page=html, as_json=json)


def _write_page(report: BenchReport, path: Path) -> None:
    from tritonize.core.errors import storage_errors
    from tritonize.report.html import bench_page

    with storage_errors(path):
        path.write_text(bench_page.render(report), encoding="utf-8")


def _print(report: BenchReport, *, page: Path | None, as_json: bool) -> None:
    from tritonize.cli import endings, step_summary, terminal
    from tritonize.report import bench_text, github_summary

    step_summary.append(lambda: github_summary.of_bench(report))
    if as_json:
        from json import dumps

        say(dumps(bench_text.as_json(report), indent=2, ensure_ascii=False))
    else:
        if (verbosity := terminal.verbosity()) != "quiet":
            say()
            say_lines([*bench_text.figures(report, whole=verbosity == "verbose"), ""])
        line = bench_text.verdict(report)
        endings.verdict(line.partition("  ")[0], line)
        if page is not None and verbosity != "quiet":
            say(f"Report: {page}")
    if report.verdict != "passed":
        raise typer.Exit(EXIT_DIFFERS if report.verdict == "failed" else UnprovenError.exit_code)


def _numbers(option: str, text: str | None, *, whole: bool = False) -> list[float]:
    """The numbers of an option, with commas between them.

    Raises:
        UsageError: one is not a positive number, or not a whole one.
    """
    from math import isfinite

    from tritonize.core.messages import bench as wording

    if text is None:
        return []
    try:
        found = [float(int(each) if whole else float(each)) for each in text.split(",")]
    except ValueError:
        found = [0.0]
    if not all(isfinite(each) and each > 0 for each in found):
        expected = "whole numbers from 1, such as 1,2,4" if whole else "numbers above 0, such as 50,100"
        raise UsageError.of(wording.NUMBERS, expected=expected, found=text, option=option)
    return found
