"""Checksums of samples and outputs, for a version that keeps no samples."""

from __future__ import annotations

import json
from pathlib import Path

from tritonize.core import arrays, bounded_files
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import files as wording

_FILE = "digests.json"
_SCHEMA = 1


def write(samples: SampleSet, expected: TensorFiles, directory: Path, *, why: str) -> None:
    """Write checksums of all samples and their outputs instead of arrays.

    Args:
        why: why there are no arrays, for readers.
    """
    digests = [
        {
            "sample": index,
            "group": samples.group(index),
            "inputs": arrays.digest(arrays.load(samples.files, index)),
            "expected": arrays.digest(arrays.load(expected, index)),
        }
        for index in range(samples.files.count)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    plain = {"schema": _SCHEMA, "why": why, "origin": samples.origin, "samples": digests}
    (directory / _FILE).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def why_alone(directory: Path) -> str | None:
    """Return why a version keeps checksums of its samples alone; `None` if it keeps samples.

    Raises:
        RepositoryError: the file that says so is damaged.
    """
    path = directory / _FILE
    if not path.exists():
        return None
    try:
        return str(bounded_files.json_of(path)["why"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RepositoryError.of(wording.GOLDEN_UNREADABLE, where=str(path), found=repr(error)[:1000]) from error
