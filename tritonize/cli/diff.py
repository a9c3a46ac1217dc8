"""`tritonize diff`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.servers import Server, started
from tritonize.cli.terminal import say, say_lines
from tritonize.core.errors import EXIT_DIFFERS, UnprovenError
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.onnx_model.tasks import GraphDiff
    from tritonize.workflows.diff import VersionDiff

MAX_LISTED = 8
"""Most operators, weights and findings in the text; the JSON has all."""


def diff(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL BEFORE AFTER", help="The model and two of its versions, such as 7 8.")
    ],
    requests: Annotated[int, typer.Option(metavar="N", min=1, help="Timed requests to each version.")] = 100,
    seconds: Deadline = RUN_S,
    *,
    server: Server = "auto",
    serve_anyway: Annotated[
        bool, typer.Option("--serve-anyway", help="Serve the versions even if their files changed after publication.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare two versions: outputs, configuration, graph, files, latency."""
    from tritonize.cli.flags import repository_and
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage
    from tritonize.workflows import diff as diff_workflow

    way = started(server).way
    root, (model, *numbers) = repository_and(names, 3, "MODEL BEFORE AFTER")
    if not all(number.isdecimal() for number in numbers):
        raise UsageError.of(usage.VERSION_NUMBERS, found=" ".join(numbers), expected="two numbers, such as 7 8")
    with limited(seconds), display() as terminal:
        difference = diff_workflow.diff(
            diff_workflow.Request(
                repository=root,
                model=model,
                before=int(numbers[0]),
                after=int(numbers[1]),
                requests=requests,
                way=way,
                serve_anyway=serve_anyway,
                on_stage=terminal.on_stage,
                on_progress=terminal.on_progress,
            )
        )
    if json:
        from json import dumps

        from tritonize.core.artifacts import to_json

        say(dumps(to_json(difference), indent=2, ensure_ascii=False))
    else:
        _print(difference)
    if difference.verdict != "passed":
        raise typer.Exit(EXIT_DIFFERS if difference.verdict == "failed" else UnprovenError.exit_code)


def _print(found: VersionDiff) -> None:
    """Print the comparison, and the verdict at the end."""
    from tritonize.cli import endings, terminal

    if (verbosity := terminal.verbosity()) != "quiet":
        say_lines([*lines(found, whole=verbosity == "verbose"), ""])
    word = {"failed": "DIFFER", "passed": "AGREE", "not run": "NOT RUN"}[found.verdict]
    endings.verdict(word, f"{word}  {found.model} version {found.versions[1]} against version {found.versions[0]}")


def lines(found: VersionDiff, *, whole: bool = True) -> Iterator[str]:
    """Yield the comparison as text.

    Args:
        whole: also what it was compared on, and the notes.
    """
    yield from _drift(found)
    yield from _findings(found)
    if found.graph:
        yield from _graph(found.graph)
    yield from _files(found.files)
    if found.latency:
        yield ""
        yield "Latency over gRPC, one request at a time, versions in turn:"
        for each in found.latency:
            yield (
                f"  version {each.version:<6} median {each.median_ms:>8.2f} ms   p95 {each.p95_ms:>8.2f} ms   "
                f"{each.requests} requests"
            )
    if not whole and found.verdict == "passed":
        return
    yield ""
    if found.proved_by:
        yield from _wrapped(f"Compared on {', '.join(f'{name} {version}' for name, version in found.proved_by.items())}.")
    for note in found.notes:
        yield from _wrapped(note)


def _drift(found: VersionDiff) -> Iterator[str]:
    if not found.drift:
        return
    before, after = found.versions
    yield ""
    yield f"  {'output':<16}{'samples':>8}{'max abs':>11}{'mean abs':>11}{'outside':>10}{f'k of {before}':>10}{f'k of {after}':>10}"
    for each in found.drift:
        marks = each.metrics
        mark = "✗" if marks.mismatched or marks.misshaped or each.mismatched_samples else "✓"
        ks = [f"{each.k[number]:.3g}" if each.k.get(number) is not None else "–" for number in found.versions]
        yield (
            f"{mark} {_short(each.output, 15):<16}{each.samples:>8}{_number(marks.max_abs):>11}{_number(marks.mean_abs):>11}"
            f"{marks.mismatched:>10}{ks[0]:>10}{ks[1]:>10}"
        )
    yield from _wrapped(
        f"  outside: elements of {sum(each.metrics.elements for each in found.drift):,} that differ by more than the tolerance of "
        f"version {after}; k: noise-floor ratio of each version, against its own float64 outputs."
    )


def _findings(found: VersionDiff) -> Iterator[str]:
    yield ""
    yield "Configuration, inputs and outputs: " + ("no difference" if not found.findings else f"{len(found.findings)} differences")
    for finding in found.findings[:MAX_LISTED]:
        yield from _wrapped(f"  ✗ {finding.where}: {finding.what}")
        for number, text in zip(found.versions, (finding.expected, finding.found), strict=True):
            if text is not None:
                yield from wrapped(f"      version {number}: {text}", rest="        ")
    yield from _more(len(found.findings))


def _graph(graph: GraphDiff) -> Iterator[str]:
    yield ""
    opset = f"opset {graph.opset[0]}" if graph.opset[0] == graph.opset[1] else f"opset {graph.opset[0]} → {graph.opset[1]}"
    yield f"Graph: {graph.nodes[0]} → {graph.nodes[1]} nodes, {opset}"
    for kind, (before, after) in list(graph.operators.items())[:MAX_LISTED]:
        yield f"  {_short(kind, 40):<42}{before:>6} → {after}"
    yield from _more(len(graph.operators))
    changed = graph.weights_changed
    yield (
        f"Weights: {graph.weights[0]} → {graph.weights[1]}; {len(changed)} changed, {len(graph.weights_added)} added, "
        f"{len(graph.weights_removed)} removed"
    )
    for each in changed[:MAX_LISTED]:
        size = "another shape, or not a number" if each.relative is None else f"by {each.relative:.2g} of its size"
        yield f"  {_short(each.name, 46):<48}{size}"
    yield from _more(len(changed))
    for sign, names in (("+", graph.weights_added), ("-", graph.weights_removed)):
        yield from (f"  {sign} {_short(name, 74)}" for name in names[:MAX_LISTED])
        yield from _more(len(names))


def _files(files: Mapping[str, tuple[int | None, int | None]]) -> Iterator[str]:
    if files:
        yield ""
        yield "Files, in bytes:"
    for name, (before, after) in files.items():
        sizes = [f"{each:,}" if each is not None else "none" for each in (before, after)]
        yield f"  {_short(name, 38):<40}{sizes[0]:>15} → {sizes[1]}"


def _more(count: int) -> Iterator[str]:
    if count > MAX_LISTED:
        yield f"  … and {count - MAX_LISTED} more with --json"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _wrapped(text: str) -> Sequence[str]:
    return wrapped(text, rest="    ")
