"""Rules about what tritonize published: whether a version is still what was proven.

The manifest of a version lists every file with its size and SHA-256. Small files are hashed; of others the size is compared, since
lint reads no weights, unless all are to be hashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tritonize.core.errors import RepositoryError
from tritonize.core.reports import Finding
from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule
from tritonize.repository import evidence_place, file_hashes, manifest

CHANGED = Rule(
    id="TR901",
    name="changed-since-proven",
    severity="error",
    triton="accepts",
    what="A file of a proven version changed after it was proven.",
    why="The report and the golden set speak of another file than the one that is served. Files up to 1 MiB are hashed, of "
    "larger ones the "
    "size is compared; `--hash` hashes all.",
    fix="publish the change as a new version with `tritonize run`, or restore the file",
    wrong="config.pbtxt edited by hand below a proven version",
    right="the change in the spec, and `tritonize run --replace-config`",
)
DAMAGED = Rule(
    id="TR902",
    name="manifest-damaged",
    severity="error",
    triton="accepts",
    what="The manifest of a proven version cannot be read.",
    why="Without it nothing tells what was proven.",
    fix="restore evidence/manifest.json, or publish the version again",
    wrong="1/evidence/manifest.json cut off",
    right="1/evidence/manifest.json as it was published",
)
UNPROVEN = Rule(
    id="TR903",
    name="unproven-version",
    severity="info",
    triton="accepts",
    what="A served version has no evidence, although others of its model have.",
    why="Clients cannot tell which version answered a request without a version number: Triton takes the newest.",
    fix="prove the version with `tritonize run`, or leave it out by the version policy",
    wrong="heart/\n├── 1/evidence/\n└── 2/model.onnx",
    right="heart/\n├── 1/evidence/\n└── 2/evidence/",
)
RULES = (CHANGED, DAMAGED, UNPROVEN)
_SMALL = 2**20
_SUM = re.compile(r"[0-9a-f]{64}")


def check(model: Model, *, hash_all: bool = False) -> Iterator[Diagnostic]:
    """Check the versions of a model that have a manifest."""
    proven = [version for version in model.versions if _has_evidence(model.directory / str(version))]
    for version in proven:
        folder = f"{version}/{manifest.EVIDENCE}"
        place = evidence_place.evidence(model.directory / str(version))
        if place.parent.parent == model.directory and not model.may_read(place / manifest.MANIFEST):
            continue
        try:
            known = manifest.read(model.directory / str(version))
            take = file_hashes.hash_in_place if hash_all else _sizes_of(known)
            found = manifest.integrity(model.root, model.name, version, known=known, take=take)
        except RepositoryError as error:
            yield model.of(DAMAGED, f"{folder}/{manifest.MANIFEST}", found=error.found or error.what)
            continue
        except OSError as error:
            yield model.of(DAMAGED, folder, found=error.strerror or str(error))
            continue
        for each in found:
            yield _changed(model, each)
    for version in model.served if proven else ():
        if version not in proven:
            yield model.of(UNPROVEN, str(version), found=f"version {version} has no evidence")


def _has_evidence(version_directory: Path) -> bool:
    return files.is_directory(evidence_place.evidence(version_directory))


def _changed(model: Model, finding: Finding) -> Diagnostic:
    path = finding.where.removeprefix(f"{model.name}/")
    if finding.expected is None or finding.found is None:
        return model.of(CHANGED, path, found=finding.what, expected=finding.expected)
    sums = [f"SHA-256 {each[:12]}…" if _SUM.fullmatch(each) else each for each in (finding.found, finding.expected)]
    found = sums[0] if _SUM.fullmatch(finding.expected) else f"{finding.what}: {sums[0]}"
    return model.of(CHANGED, path, found=found, expected=sums[1])


def _sizes_of(known: manifest.Manifest) -> manifest.Take:
    """Takes the SHA-256 of small files; for large ones what is listed, if the size is the same."""

    def take(name: str, path: Path, size: int) -> str | None:
        if size <= _SMALL:
            return file_hashes.hash_in_place(name, path, size)
        try:
            found = path.stat().st_size
        except OSError:
            return None
        return known["files"][name]["sha256"] if found == size else f"{found:,} bytes"

    return take
