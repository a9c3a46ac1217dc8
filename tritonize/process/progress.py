"""How a worker says what it is doing to the process that started it."""

from __future__ import annotations

from pathlib import Path

_file: Path | None = None


def report_to(file: Path) -> None:
    """Where `tell` writes; called once, by the worker's entry."""
    global _file
    _file = file


def tell(text: str) -> None:
    """One line for the `on_progress` of `workers.run_worker`; does nothing outside a worker."""
    if _file is not None:
        with _file.open("a") as file:
            file.write(" ".join(text.split()) + "\n")
