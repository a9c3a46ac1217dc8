"""Golden files of a small version: exported, taken apart and put together again, changed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from tritonize.reference import checksummed_archive
from tritonize.workflows import golden as golden_workflow

COUNT = 8
"""Six drawn samples and two edge cases."""


def exported(root: Path, name: str = "small.golden", **options: object) -> Path:
    return golden_workflow.export(root, "small", out=Path(name), **options).path  # type: ignore[arg-type]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def rewrite(path: Path, content: dict[str, bytes], *, seal: bool = True, twice: str = "") -> None:
    """A golden file of these members, with their checksums."""
    content = {
        name: each
        for name, each in content.items()
        if not seal or name not in (checksummed_archive.INDEX, checksummed_archive.INDEX_DIGEST)
    }
    if seal:
        sums = {name: {"sha256": hashlib.sha256(each).hexdigest(), "bytes": len(each)} for name, each in content.items()}
        content[checksummed_archive.INDEX] = json.dumps({"schema": 1, "members": sums}).encode()
        content[checksummed_archive.INDEX_DIGEST] = hashlib.sha256(content[checksummed_archive.INDEX]).hexdigest().encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, each)
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(twice, content[twice])
