"""What a person sees while a command works: one line per stage on stderr, a spinner only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tritonize.cli.terminal import say
from tritonize.core.errors import EXIT_DIFFERS, UnprovenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonize.core.artifacts import Report, Stage

WIDTH = 80
_MARKS = {"passed": ("✓", typer.colors.GREEN), "failed": ("✗", typer.colors.RED), "not run": ("–", typer.colors.YELLOW)}
TITLES = {
    "files": "Check the files",
    "golden file": "Read the golden file",
    "graph": "Compare the graphs",
    "numerics": "Compare answers",
    "latency": "Measure latency",
    "samples": "Draw samples",
    "pytorch": "Run PyTorch",
    "pytorch fp64": "PyTorch in float64",
    "source": "Run the source",
    "export": "Export to ONNX",
    "onnxruntime": "Compare ONNX Runtime",
    "rounding": "Measure rounding",
    "sums": "Measure sums",
    "precision": "Reduce the precision",
    "pytorch fp16": "Run PyTorch in fp16",
    "pytorch bf16": "Run PyTorch in bf16",
    "onnxruntime fp16": "Compare fp16",
    "onnxruntime fp16 (emulated)": "Emulate fp16",
    "onnxruntime bf16 (emulated)": "Emulate bf16",
    "modules": "Watch the modules",
    "nodes": "Compare the nodes",
    "keep in fp32": "Keep nodes in fp32",
    "plan": "Build the plan",
    "plan run": "Run the plan",
    "stage": "Stage the version",
    "server start": "Start Triton",
    "http": "Verify over HTTP",
    "grpc": "Verify over gRPC",
    "shm": "Verify shared memory",
    "invariances": "Verify invariances",
    "concurrent": "Verify concurrently",
    "server stop": "Stop Triton",
    "server": "Start Triton",
    "publish": "Publish",
}


class Display:
    """Listens to a run."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def on_stage(self, name: str, stage: Stage | None) -> None:
        """A stage began (`None`) or ended."""
        title = TITLES.get(name, name)
        if stage is None:
            self._transient(f"… {title}")
            return
        mark, colour = _MARKS[stage.verdict]
        line = f" {title:<22}{stage.seconds:>7.1f} s  {stage.note}"
        self.clear()
        typer.secho(mark, fg=colour, nl=False, err=True)
        say(line if len(line) < WIDTH else f"{line[: WIDTH - 2]}…", err=True)

    def on_progress(self, text: str) -> None:
        """What a long step is doing now."""
        if self._terminal:
            self._transient(f"… {text}")
        else:
            say(text, err=True)

    def _transient(self, text: str) -> None:
        if self._terminal:
            self.clear()
            say(text[: WIDTH - 1], err=True, nl=False)

    def clear(self) -> None:
        """Remove the unfinished line."""
        if self._terminal:
            typer.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def display() -> Iterator[Display]:
    """A display whose unfinished line is gone at the end, also after an error."""
    shown = Display()
    try:
        yield shown
    finally:
        shown.clear()


def finish(reports: Sequence[Report], *, as_json: bool, allow_unproven: bool = False) -> None:
    """Print the reports on stdout; leave with exit code 1 where one did not pass, 3 where a proof could not run."""
    from tritonize.report import text as report_text

    if as_json:
        import json

        say(json.dumps({"reports": [report_text.as_json(each) for each in reports]}, indent=2, ensure_ascii=False))
    else:
        for each in reports:
            say(f"\n{report_text.as_text(each)}", nl=False)
    errors = [each.details["error"]["exit_code"] for each in reports if "error" in each.details]
    if errors:
        raise typer.Exit(errors[0])
    if any(each.verdict == "failed" for each in reports):
        raise typer.Exit(EXIT_DIFFERS)
    if any(each.verdict == "not run" for each in reports) and not allow_unproven:
        raise typer.Exit(UnprovenError.exit_code)
