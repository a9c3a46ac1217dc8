"""Report a worker's progress to the process that started the worker, through a text file."""

from __future__ import annotations

from pathlib import Path

_file: Path | None = None


def report_to(file: Path) -> None:
    """Set the file that `report` appends to; the worker's entry calls this once."""
    global _file
    _file = file


def report(text: str) -> None:
    """Report one line to the `on_progress` of `workers.run_worker`; outside a worker, do nothing."""
    if _file is not None:
        with _file.open("a") as file:
            file.write(" ".join(text.split()) + "\n")
