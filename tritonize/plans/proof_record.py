"""Read and write `model.plan.proof.json`: the verdict on a plan that ran on a GPU. `tritonize run --plans` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.artifacts import from_json, to_json
from tritonize.core.errors import PlanError
from tritonize.core.messages import plans as wording
from tritonize.core.results import Verdict

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ProofRecord:
    """The result of running one plan on one GPU with one proof input."""

    plan_sha256: str
    question_sha256: str
    """SHA-256 of the proof input; see `proof_input.digest`."""
    verdict: Verdict
    reason: str
    """Why the plan failed or did not run completely; empty if it passed."""
    answers: tuple[Mapping[str, object], ...]
    """For each batch size and output: the number of comparisons and the largest difference."""
    gates: tuple[Mapping[str, object], ...]
    """Every gate with its value and limit."""
    notes: tuple[str, ...]
    facts: Mapping[str, object]
    """GPU, driver, versions and layers of the run."""
    proved_by: str
    """tritonize and its version, such as `tritonize 1.0`."""

    @property
    def place(self) -> str:
        """The GPU and its driver, as text."""
        return f"{self.facts.get('gpu', 'an unknown GPU')}, driver {self.facts.get('driver', 'unknown')}"


def path(plan: Path) -> Path:
    """The path of a plan's record."""
    return plan.with_name(f"{plan.name}.proof.json")


def write(plan: Path, record: ProofRecord) -> Path:
    """Write the record next to its plan and return its path."""
    path(plan).write_text(json.dumps({"schema": _SCHEMA, **to_json(record)}, indent=2) + "\n", encoding="utf-8")
    return path(plan)


def read(plan: Path) -> ProofRecord | None:
    """Read the record next to a plan; `None` if the file does not exist.

    Raises:
        PlanError: the file cannot be parsed, or has another schema.
    """
    if not path(plan).is_file():
        return None
    try:
        plain = bounded_files.json_of(path(plan))
        if plain.pop("schema") != _SCHEMA:
            raise ValueError("the schema is not 1")
        return from_json(ProofRecord, plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PlanError.of(wording.RECORD_UNREADABLE, where=str(path(plan)), found=str(error)) from error
