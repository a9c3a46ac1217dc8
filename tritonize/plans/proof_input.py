"""The input of a proof of plans, in a folder that can be copied to a machine with a GPU: no torch, no source, no spec.

It is part of the request for the plans. A proof names its digest, so that a proof with another input is rejected.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays, bounded_files, errors
from tritonize.core.artifacts import to_json
from tritonize.core.errors import UsageError
from tritonize.quality import golden_set
from tritonize.quality.golden_set import GoldenSet

_FILE = "question.json"
_SCHEMA = 1
_ALL = 1 << 62


@dataclass(frozen=True, kw_only=True)
class ProofInput:
    """Samples, expected outputs, the rules, and the precision that the plans were built for."""

    golden: GoldenSet
    precision: str
    """The spec's precision: `fp32`, `tf32`, or a half precision, for which the engine inspector must then find layers."""
    deadline_s: float

    @property
    def sha256(self) -> str:
        """See `digest`."""
        return digest(self.golden, self.precision)


def digest(known: GoldenSet, precision: str) -> str:
    """SHA-256 of the samples, the rules and the precision; not of PyTorch's outputs, whose last bits differ between machines."""
    rules = {name: to_json(each) for name, each in known.rules.items()}
    facts = {"precision": precision, "max_batch_size": known.max_batch_size, "required": known.required, "rules": rules}
    edges = sorted(known.samples.edges.items())
    whole = hashlib.sha256(json.dumps([facts, edges, known.exact is not None], sort_keys=True).encode())
    for index in range(known.samples.files.count):
        whole.update(arrays.digest(arrays.load(known.samples.files, index)).encode())
    return whole.hexdigest()


def write(given: ProofInput, directory: Path) -> None:
    """Write the input with every sample into a new folder.

    Raises:
        RepositoryError: the disk is full.
    """
    with errors.storage_errors(directory):
        directory.mkdir(parents=True)
        golden_set.write(given.golden, directory, budget=_ALL)
        facts = {"schema": _SCHEMA, "precision": given.precision, "deadline_s": given.deadline_s, "sha256": given.sha256}
        (directory / _FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def read(directory: Path) -> ProofInput:
    """Read the input from a folder.

    Raises:
        UsageError: the folder has no input, or the input was changed.
        RepositoryError: its samples are damaged.
    """
    try:
        facts = bounded_files.json_of(directory / _FILE)
        precision, deadline, sha256 = str(facts["precision"]), float(facts["deadline_s"]), facts["sha256"]
    except FileNotFoundError as error:
        raise UsageError(
            "This folder has no proof input for the plans.",
            where=str(directory),
            expected=f"a file {_FILE}",
            next_step="pass the folder `question` of the request that `tritonize plan request` writes",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError("The proof input for the plans cannot be read.", where=str(directory), found=str(error)) from error
    given = ProofInput(golden=golden_set.read(directory), precision=precision, deadline_s=deadline)
    if given.sha256 != sha256:
        raise UsageError("The proof input for the plans was changed after it was written.", where=str(directory))
    return given
