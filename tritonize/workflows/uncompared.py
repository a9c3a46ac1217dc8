"""The reports of models whose outputs `verify` could not compare: without evidence, or after an error."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.artifacts import Finding, Report
from tritonize.core.errors import TritonizeError


def not_proven(place: Path, name: str, version: int, *, error: TritonizeError) -> Report:
    """The report of a model without evidence, which nothing can be compared with."""
    return Report(
        command="verify",
        model=name,
        version=version,
        verdict="not proven",
        location=place / name,
        published=True,
        notes=(error.what, f"Likely cause: {error.cause}.", f"Next: {error.next_step}."),
    )


def with_error(name: str, error: TritonizeError) -> Report:
    """The report of a model that could not be compared; the models after it are."""
    finding = Finding(where=error.where or name, what=error.what, expected=error.expected, found=error.found)
    notes = (f"Next: {error.next_step}",) if error.next_step else ()
    details = {"error": error.to_dict()}
    return Report(command="verify", model=name, version=None, verdict="failed", findings=(finding,), notes=notes, details=details)
