"""`model.plan.proof.json`: what became of a plan on a GPU, kept beside it so that it can be brought to where a version is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.artifacts import from_json, to_json
from tritonize.core.errors import PlanError
from tritonize.core.results import Verdict

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ProofRecord:
    """One plan, one GPU, one input."""

    plan_sha256: str
    question_sha256: str
    """Of the samples and the rules of the proof; see `proof_input.digest`."""
    verdict: Verdict
    reason: str
    """Why it failed or did not run whole; empty where it passed."""
    answers: tuple[Mapping[str, object], ...]
    """Number of answers and largest difference by batch size and output."""
    gates: tuple[Mapping[str, object], ...]
    """Every rule that was judged: its value and limit."""
    notes: tuple[str, ...]
    facts: Mapping[str, object]
    """GPU, driver, versions and layers of the run."""
    proved_by: str
    """tritonize and its version."""

    @property
    def place(self) -> str:
        """Where it ran, in words."""
        return f"{self.facts.get('gpu', 'an unknown GPU')}, driver {self.facts.get('driver', 'unknown')}"


def path(plan: Path) -> Path:
    """Where the record of a plan lies."""
    return plan.with_name(f"{plan.name}.proof.json")


def write(plan: Path, record: ProofRecord) -> Path:
    """Write the record beside its plan."""
    path(plan).write_text(json.dumps({"schema": _SCHEMA, **to_json(record)}, indent=2) + "\n", encoding="utf-8")
    return path(plan)


def read(plan: Path) -> ProofRecord | None:
    """Read the record next to a plan; `None` if the file does not exist.

    Raises:
        PlanError: it is damaged, or of another form.
    """
    if not path(plan).is_file():
        return None
    try:
        plain = bounded_files.json_of(path(plan))
        if plain.pop("schema") != _SCHEMA:
            raise ValueError("another schema than 1")
        return from_json(ProofRecord, plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PlanError("The record of the plan's proof cannot be read.", where=str(path(plan)), found=str(error)) from error
