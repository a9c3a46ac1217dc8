"""The manifest of a version: what it was made of and proven by, and the SHA-256 of every file; and what differs from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tritonize import bounded
from tritonize.artifacts import Finding, StagedVersion
from tritonize.errors import RepositoryError

CONFIG = "config.pbtxt"
EVIDENCE = "evidence"
MANIFEST = "manifest.json"


def write(staged: StagedVersion, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write `evidence/manifest.json`: the facts, and the SHA-256 of every file of the version and of its configuration."""
    manifest = {"schema": 1, "model": staged.model, "version": staged.version, **facts, "files": _hashes(staged)}
    evidence = staged.version_directory / EVIDENCE
    evidence.mkdir(exist_ok=True)
    (evidence / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _hashes(staged: StagedVersion) -> dict[str, dict[str, Any]]:
    """Path relative to the model directory, to hash and size; files of the model directory and of this version."""
    return {
        str(path.relative_to(staged.model_directory)): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(_files(staged.model_directory, staged.version))
    }


def _files(model_directory: Path, version: int) -> Iterator[Path]:
    yield from (path for path in model_directory.iterdir() if path.is_file())
    directory = model_directory / str(version)
    manifest = directory / EVIDENCE / MANIFEST
    yield from (path for path in directory.rglob("*") if path.is_file() and path != manifest)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(version_directory: Path) -> dict[str, Any]:
    """The manifest of a published version.

    Raises:
        RepositoryError: there is none, or it is damaged.
    """
    path = version_directory / EVIDENCE / MANIFEST
    try:
        manifest = bounded.json_of(path)
    except FileNotFoundError as error:
        raise RepositoryError(
            "The version carries no evidence, so there is nothing to verify it against.",
            where=str(version_directory),
            cause="it was not published by tritonize",
            next_step="publish it with `tritonize run`",
        ) from error
    except (OSError, ValueError) as error:
        raise RepositoryError("The version's manifest is damaged.", where=str(path), found=str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("schema") != 1 or not _lists_files(manifest.get("files")):
        raise RepositoryError("The version's manifest is of another kind.", where=str(path), expected="schema 1")
    return manifest


def _lists_files(files: object) -> bool:
    """Whether it is what a manifest has of its files."""
    if not isinstance(files, dict):
        return False
    return all(isinstance(each, dict) and isinstance(each.get("sha256"), str) for each in files.values())


def integrity(repository: Path, model: str, version: int, *, shared: bool = True) -> tuple[Finding, ...]:
    """What differs between the files in place and the manifest's hashes.

    Args:
        shared: look at the configuration and labels too, which all versions share.
    """
    model_directory = repository / model
    manifest = read(model_directory / str(version))
    listed = manifest["files"] if shared else {name: facts for name, facts in manifest["files"].items() if "/" in name}
    present = {str(path.relative_to(model_directory)): path for path in _files(model_directory, version)}
    findings = list(_manifest_findings(manifest, model, version))
    for name, facts in listed.items():
        where = f"{model}/{name}"
        if name not in present:
            findings.append(Finding(where=where, what="the file is missing"))
        elif (found := _readable_hash(present[name])) != facts["sha256"]:
            what = "the file cannot be read" if found is None else "the file was changed after it was proven"
            findings.append(Finding(where=where, what=what, expected=facts["sha256"], found=found))
    extra = sorted(set(present) - set(listed))
    own = [name for name in extra if name.startswith(f"{version}/")]  # other files at the top may belong to other versions
    return (*findings, *(Finding(where=f"{model}/{name}", what="the file is not in the manifest") for name in own))


def _manifest_findings(manifest: Mapping[str, Any], model: str, version: int) -> Iterator[Finding]:
    """Whether the manifest is this version's, of a proof that passed or was allowed to be missing, and covers what matters."""
    where = f"{model}/{version}/{EVIDENCE}/{MANIFEST}"
    for field, wanted in (("model", (model,)), ("version", (version,)), ("verdict", ("passed", "not run"))):
        if manifest.get(field) not in wanted:
            expected = " or ".join(map(str, wanted))
            yield Finding(where=where, what=f"its {field} is another", expected=expected, found=str(manifest.get(field)))
    for name in (CONFIG, f"{version}/{EVIDENCE}/report.json"):
        if name not in manifest["files"]:
            yield Finding(where=where, what=f"it does not list {name}")


def _readable_hash(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None
