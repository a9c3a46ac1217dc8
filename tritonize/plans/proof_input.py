"""The input of a plan proof, in a folder that can be copied to a machine with a GPU. That machine needs no torch, source or spec.

The folder is part of a plan request. A proof record contains the SHA-256 of the input; tritonize rejects a record of another
input.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays, bounded_files, errors
from tritonize.core.artifacts import to_json
from tritonize.core.errors import UsageError
from tritonize.core.messages import plans as wording
from tritonize.quality import golden_set
from tritonize.quality.golden_set import GoldenSet

_FILE = "question.json"
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ProofInput:
    """Samples, expected outputs, tolerances and gates, and the precision that the plans are built for."""

    golden: GoldenSet
    precision: str
    """The precision of the spec. For `fp16` and `bf16`, the engine inspector must find a layer that computes in it."""
    deadline_s: float

    @property
    def sha256(self) -> str:
        """See `digest`."""
        return digest(self.golden, self.precision)


def digest(golden: GoldenSet, precision: str) -> str:
    """SHA-256 of the samples, tolerances, gates and precision.

    PyTorch's outputs are not part of it, since their last bits differ between machines.
    """
    rules = {name: to_json(each) for name, each in golden.rules.items()}
    facts = {"precision": precision, "max_batch_size": golden.max_batch_size, "required": golden.required, "rules": rules}
    edges = sorted(golden.samples.edges.items())
    whole = hashlib.sha256(json.dumps([facts, edges, golden.exact is not None], sort_keys=True).encode())
    for index in range(golden.samples.files.count):
        whole.update(arrays.digest(arrays.load(golden.samples.files, index)).encode())
    return whole.hexdigest()


def write(given: ProofInput, directory: Path) -> None:
    """Write the input with every sample into a new folder.

    Raises:
        RepositoryError: the disk is full.
    """
    with errors.storage_errors(directory):
        directory.mkdir(parents=True)
        golden_set.write(given.golden, directory)
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
        raise UsageError.of(wording.PROOF_INPUT_MISSING, where=str(directory), expected=f"a file {_FILE}") from error
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError.of(wording.PROOF_INPUT_UNREADABLE, where=str(directory), found=str(error)) from error
    given = ProofInput(golden=golden_set.read(directory), precision=precision, deadline_s=deadline)
    if given.sha256 != sha256:
        raise UsageError.of(
            wording.PROOF_INPUT_CHANGED, where=str(directory), expected=f"SHA-256 {sha256}", found=f"SHA-256 {given.sha256}"
        )
    return given
