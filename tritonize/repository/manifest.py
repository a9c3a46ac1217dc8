"""The manifest of a version: what it was made of and proven by, and the SHA-256 of every file; and what differs from it.

The sums, of which one is the manifest's own, find damage. They are no signature: who can write the files can write the sums.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from tritonize.core import bounded_files
from tritonize.core.artifacts import Finding, StagedVersion
from tritonize.core.errors import RepositoryError
from tritonize.core.json_types import JsonObject
from tritonize.core.messages import repository as wording
from tritonize.repository import file_hashes

CONFIG = "config.pbtxt"
EVIDENCE = "evidence"
MANIFEST = "manifest.json"
SCHEMA = 2
"""Since 2 the manifest covers itself."""
_OWN = "sha256"
_LARGEST = 1 << 63
"""Bytes that no file has."""


class Listed(TypedDict):
    """One file that a manifest lists."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """Content of `evidence/manifest.json`. What `read` checks is required; the rest is as a tritonize of any version wrote it."""

    schema: int
    files: dict[str, Listed]
    model: NotRequired[str]
    version: NotRequired[int]
    verdict: NotRequired[str]
    created: NotRequired[str]
    sha256: NotRequired[str]
    """Of the manifest itself, see `own_sha256`."""
    spec: NotRequired[object]
    """The model's part of the spec."""
    details: NotRequired[JsonObject]
    tolerances: NotRequired[JsonObject]


Take = Callable[[str, Path, int], str | None]
"""How a file's SHA-256 is found: of its path inside the model's directory, where it lies, and how many bytes are expected."""


def write(staged: StagedVersion, facts: Mapping[str, object]) -> Manifest:
    """Write `evidence/manifest.json`: the facts, and the SHA-256 of every file of the version, its configuration and itself."""
    manifest = {"schema": SCHEMA, "model": staged.model, "version": staged.version, **facts, "files": _hashes(staged)}
    manifest[_OWN] = own_sha256(manifest)
    evidence = staged.version_directory / EVIDENCE
    evidence.mkdir(exist_ok=True)
    (evidence / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return cast("Manifest", manifest)


def own_sha256(manifest: Mapping[str, object]) -> str:
    """Of a manifest's content, apart from this sum itself: as JSON with sorted keys, without blanks, in UTF-8."""
    content = {key: value for key, value in manifest.items() if key != _OWN}
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _hashes(staged: StagedVersion) -> dict[str, Listed]:
    """Path relative to the model directory, to hash and size; files of the model directory and of this version."""
    files = [path for path in staged.model_directory.iterdir() if path.is_file()]
    files += [path for path, kind in file_hashes.walk(staged.version_directory) if kind == "file"]
    manifest = staged.version_directory / EVIDENCE / MANIFEST
    return {
        str(path.relative_to(staged.model_directory)): {"sha256": file_hashes.sha256(path), "bytes": path.stat().st_size}
        for path in sorted(files)
        if path != manifest
    }


def read(version_directory: Path) -> Manifest:
    """The manifest of a published version.

    Raises:
        RepositoryError: the manifest is missing or damaged.
    """
    path = version_directory / EVIDENCE / MANIFEST
    try:
        manifest = bounded_files.json_of(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RepositoryError.of(wording.NO_EVIDENCE, where=str(version_directory)) from error
    except (OSError, ValueError) as error:
        raise RepositoryError.of(wording.MANIFEST_DAMAGED, where=str(path), found=str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("schema") not in (1, SCHEMA):
        found = str(manifest.get("schema")) if isinstance(manifest, dict) else type(manifest).__name__
        raise RepositoryError.of(wording.MANIFEST_OTHER, where=str(path), expected=f"schema {SCHEMA}", found=found)
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not all(_is_entry(each) for each in listed.values()):
        raise RepositoryError.of(wording.MANIFEST_DAMAGED, where=str(path), found="its list of files is not a mapping")
    return cast("Manifest", manifest)


def _is_entry(facts: object) -> bool:
    return isinstance(facts, dict) and isinstance(facts.get("sha256"), str) and _is_size(facts.get("bytes"))


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def integrity(
    repository: Path,
    model: str,
    version: int,
    *,
    shared: bool = True,
    known: Manifest | None = None,
    take: Take = file_hashes.hash_in_place,
) -> tuple[Finding, ...]:
    """What differs between the files in place and the manifest's hashes.

    Args:
        shared: look at what lies beside the versions too, configuration and labels among it. A version that is no longer the newest
            is judged by the configuration it was proven with, where the one in place is a newer version's.
        known: the manifest, where it was read already.
        take: finds the SHA-256 of each listed file, in the order of the manifest.
    """
    directory = repository / model
    manifest = read(directory / str(version)) if known is None else known
    findings = list(_manifest_findings(manifest, model, version))
    own = {str(path.relative_to(directory)): kind for path, kind in file_hashes.walk(directory / str(version))}
    own.pop(f"{version}/{EVIDENCE}/{MANIFEST}", None)
    for name, facts in manifest["files"].items():
        if "/" in name or shared:
            findings += _file_findings(
                directory, name, facts, source=_source(directory, version, name, wanted=facts["sha256"]), take=take
            )
    for name, kind in own.items():
        if kind != "file":
            findings.append(Finding(where=f"{model}/{name}", what=_NO_FILE[kind]))
        elif name not in manifest["files"]:
            findings.append(Finding(where=f"{model}/{name}", what="the file is not in the manifest"))
    return (*findings, *(_strays(directory) if shared else ()))


_NO_FILE = {"link": "is a symbolic link, which is not followed", "other": "is no ordinary file"}


def _file_findings(directory: Path, name: str, facts: Listed, *, source: Path, take: Take) -> Iterator[Finding]:
    where = f"{directory.name}/{name}"
    if name.startswith("/") or ".." in name.split("/"):
        yield Finding(where=where, what="the manifest lists a path outside the model")
    elif not {"", "."}.isdisjoint(name.split("/")):  # so that no file has two names
        yield Finding(where=where, what=wording.LISTED_OTHERWISE.text())
    elif not os.path.lexists(source):
        yield Finding(where=where, what="the file is missing")
    elif source.is_symlink() and "/" not in name:  # those of the version are named with all that lies there
        yield Finding(where=where, what=_NO_FILE["link"])
    elif (found := take(name, source, facts["bytes"])) != facts["sha256"] and not source.is_symlink():
        what = "the file cannot be read" if found is None else "the file was changed after it was proven"
        yield Finding(where=where, what=what, expected=facts["sha256"], found=found)


def _source(directory: Path, version: int, name: str, *, wanted: str) -> Path:
    """Where a listed file lies: in its place, but a configuration that a newer version has replaced in that version's evidence."""
    kept = directory / str(version) / EVIDENCE / CONFIG
    return kept if name == CONFIG and superseded(directory, version, wanted) and kept.is_file() else directory / name


def superseded(directory: Path, version: int, wanted: str) -> bool:
    """Whether the configuration in place is a newer version's, and not the one with that SHA-256."""
    found = file_hashes.hash_in_place("", directory / CONFIG, bounded_files.LIMIT)
    return found not in (None, wanted) and any(
        number > version and CONFIG in listed and listed[CONFIG]["sha256"] == found
        for number, listed in _siblings(directory).items()
    )


def _siblings(directory: Path) -> dict[int, dict[str, Listed]]:
    """The files that each version with a readable manifest lists."""
    found = {}
    for entry in directory.iterdir():
        if is_version(entry):
            try:
                found[int(entry.name)] = read(entry)["files"]
            except RepositoryError:
                continue
    return found


def listed_beside(directory: Path) -> dict[str, dict[str, int]]:
    """What the manifests of a model's versions list beside them: by file, each SHA-256 to its bytes."""
    found: dict[str, dict[str, int]] = {}
    for files in _siblings(directory).values():
        for name, facts in files.items():
            if "/" not in name:
                found.setdefault(name, {})[facts["sha256"]] = facts["bytes"]
    return found


def listed_sha256(known: Manifest, name: str) -> str | None:
    """The SHA-256 that a manifest has of a file; `None` where it does not list it."""
    listed = known["files"].get(name)
    return listed["sha256"] if listed else None


def is_version(entry: Path) -> bool:
    """Whether Triton takes this for a version: a directory named by a number above 0 without leading zeros."""
    return entry.name.isascii() and entry.name.isdecimal() and not entry.name.startswith("0") and entry.is_dir()


def _strays(directory: Path) -> Iterator[Finding]:
    """What lies beside the versions and in no version's manifest; Triton may read it (`configs/`, a backend's files)."""
    listed = {name for files in _siblings(directory).values() for name in files}
    for entry in sorted(directory.iterdir()):
        where = f"{directory.name}/{entry.name}"
        if entry.is_symlink():
            if entry.name not in listed:
                yield Finding(where=where, what=_NO_FILE["link"])
        elif entry.is_dir():
            if not is_version(entry):
                yield Finding(where=where, what="the folder is no version, and in no manifest")
        elif not entry.is_file():
            yield Finding(where=where, what=_NO_FILE["other"])
        elif entry.name not in listed:
            yield Finding(where=where, what="the file is in no version's manifest")


def _manifest_findings(manifest: Manifest, model: str, version: int) -> Iterator[Finding]:
    """Whether the manifest is this version's, of a proof that passed or was allowed to be missing, and covers what matters."""
    where = f"{model}/{version}/{EVIDENCE}/{MANIFEST}"
    if (manifest["schema"] >= SCHEMA or _OWN in manifest) and (found := own_sha256(manifest)) != manifest.get(_OWN):
        yield Finding(where=where, what="the file was changed after it was proven", expected=str(manifest.get(_OWN)), found=found)
    for field, wanted in (("model", (model,)), ("version", (version,)), ("verdict", ("passed", "not run"))):
        if manifest.get(field) not in wanted:
            expected = " or ".join(map(str, wanted))
            yield Finding(where=where, what=f"its {field} is another", expected=expected, found=str(manifest.get(field)))
    for name in (CONFIG, f"{version}/{EVIDENCE}/report.json"):
        if name not in manifest["files"]:
            yield Finding(where=where, what=f"it does not list {name}")
