"""The reports of models whose outputs `verify` could not compare: without evidence, or after an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tritonize.core.errors import TritonizeError
from tritonize.core.messages import repository as wording
from tritonize.core.reports import Finding, Report, Stage
from tritonize.core.stages import StageName


def not_proven(place: Path, name: str, version: int, *, error: TritonizeError, notes: Iterable[str] = ()) -> Report:
    """The report of a model without evidence, which nothing can be compared with; `notes` come last."""
    return Report(
        command="verify",
        model=name,
        version=version,
        verdict="not proven",
        location=place / name,
        notes=(error.what, f"Likely cause: {error.cause}.", f"Next: {error.next_step}.", *notes),
    )


def with_error(name: str, error: TritonizeError) -> Report:
    """The report of a model that could not be compared; the models after it are."""
    finding = Finding(where=error.where or name, what=error.what, expected=error.expected, found=error.found)
    notes = (f"Next: {error.next_step}",) if error.next_step else ()
    details = {"error": error.to_dict()}
    return Report(command="verify", model=name, version=None, verdict="failed", findings=(finding,), notes=notes, details=details)


def without_samples(blank: Report, why: str) -> Report:
    """The report of a version whose evidence keeps no samples: its files were checked, and no output can be compared."""
    stage = Stage(name=StageName.GOLDEN_FILE, verdict="not run", seconds=0.0, note=why)
    notes = (*blank.notes, wording.NO_SAMPLES.text())
    return replace(blank, verdict="failed" if blank.findings else "not run", stages=(stage,), notes=notes)
