"""Write, read and check the manifest of a version: its sources, its verification, and the SHA-256 of every file.

The checksums, including the manifest's own, detect damage, not forgery: whoever can write the files can also write the checksums.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from tritonize.core import bounded_files
from tritonize.core.artifacts import StagedVersion
from tritonize.core.errors import RepositoryError
from tritonize.core.json_types import JsonObject
from tritonize.core.messages import repository as wording
from tritonize.core.reports import Finding
from tritonize.core.results import PASSED
from tritonize.repository import absent, beside, evidence_place, file_hashes, manifest_types, pinned_config
from tritonize.repository.beside import CONFIG as CONFIG
from tritonize.repository.beside import is_version as is_version
from tritonize.repository.evidence_place import EVIDENCE as EVIDENCE

MANIFEST = "manifest.json"
SCHEMA = 2
"""Version of the manifest's format; since version 2 a manifest holds its own checksum."""
_OWN = "sha256"
_LARGEST = 1 << 63
"""Sizes from here on, in bytes, are invalid."""


class Listed(TypedDict):
    """One file that a manifest lists."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """Content of `evidence/manifest.json`. `read` checks the required fields; the others depend on the version that wrote it."""

    schema: int
    files: dict[str, Listed]
    model: NotRequired[str]
    version: NotRequired[int]
    verdict: NotRequired[str]
    quick: NotRequired[JsonObject]
    created: NotRequired[str]
    sha256: NotRequired[str]
    """Checksum of the manifest itself, see `own_sha256`."""
    spec: NotRequired[object]
    """The model's section of the spec."""
    steps: NotRequired[JsonObject]
    """Of an ensemble: the models of its steps to the versions and files that it was proven with."""
    details: NotRequired[JsonObject]
    tolerances: NotRequired[JsonObject]
    adopted: NotRequired[bool]
    """Whether somebody else made the version's files; see `workflows.adopt`."""
    unconfigured: NotRequired[bool]
    """Whether an adopted version was proven without a config.pbtxt, with the configuration that Triton made (`completed`)."""
    reference: NotRequired[JsonObject]
    completed: NotRequired[JsonObject]
    """Of an adopted version: the fields that Triton completes in its configuration."""


Take = Callable[[str, Path, int], str | None]
"""Returns a file's SHA-256, or `None` if it cannot be read; called with the file's path inside the model's directory, its actual
path and its expected size in bytes."""


def write(staged: StagedVersion, facts: Mapping[str, object]) -> Manifest:
    """Write `evidence/manifest.json`: the facts, and the SHA-256 of the version's files, of the configuration and of itself."""
    manifest = {"schema": SCHEMA, "model": staged.model, "version": staged.version, **facts, "files": _hashes(staged)}
    manifest[_OWN] = own_sha256(manifest)
    evidence = staged.version_directory / EVIDENCE
    evidence.mkdir(exist_ok=True)
    (evidence / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return cast("Manifest", manifest)


def own_sha256(manifest: Mapping[str, object]) -> str:
    """Return the SHA-256 of a manifest without its own checksum, as UTF-8 JSON with sorted keys and without whitespace."""
    content = {key: value for key, value in manifest.items() if key != _OWN}
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _hashes(staged: StagedVersion) -> dict[str, Listed]:
    """Return hash and size of the files in the model's directory and in the version, by path relative to the model's directory."""
    files = [path for _, path, kind in beside.walk(staged.model_directory) if kind == "file" or path.is_file()]
    # A file that is too large to be copied for `adopt` is a link.
    files += [path for path, kind in file_hashes.walk(staged.version_directory) if kind == "file" or path.is_file()]
    manifest = staged.version_directory / EVIDENCE / MANIFEST
    return {
        str(path.relative_to(staged.model_directory)): {"sha256": file_hashes.sha256(path), "bytes": path.stat().st_size}
        for path in sorted(files)
        if path != manifest
    }


def read(version_directory: Path) -> Manifest:
    """Read the manifest of a published version.

    Raises:
        RepositoryError: the manifest is missing, damaged, or has an unknown format.
    """
    path = evidence_place.evidence(version_directory) / MANIFEST
    try:
        manifest = bounded_files.json_of(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise absent.no_evidence(version_directory) from error
    except (OSError, ValueError) as error:
        raise RepositoryError.of(wording.MANIFEST_DAMAGED, where=str(path), found=str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("schema") not in (1, SCHEMA):
        found = str(manifest.get("schema")) if isinstance(manifest, dict) else type(manifest).__name__
        raise RepositoryError.of(wording.MANIFEST_OTHER, where=str(path), expected=f"schema {SCHEMA}", found=found)
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not all(_is_entry(each) for each in listed.values()):
        raise RepositoryError.of(wording.MANIFEST_DAMAGED, where=str(path), found="its list of files is not a mapping")
    if (wrong := manifest_types.difference(manifest)) is not None:
        raise RepositoryError.of(wording.MANIFEST_DAMAGED, where=str(path), found=wrong)
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
    """Return the differences between a version's files and its manifest.

    Args:
        repository: the model repository.
        model: the model's name.
        version: the version's number.
        shared: also check the files that all versions share, such as config.pbtxt and labels. If a newer version has replaced a
            configuration, or one version is pinned, the version's own configuration in its evidence is checked instead.
        known: the manifest, if the caller has read it already.
        take: computes the SHA-256 of each listed file; called in the order of the manifest.

    Raises:
        RepositoryError: the manifest is missing, damaged, or has an unknown format.
    """
    directory = repository / model
    manifest = read(directory / str(version)) if known is None else known
    findings = list(_manifest_findings(manifest, model, version))
    own = {f"{version}/{name}": kind for name, _, kind in evidence_place.files_of(directory / str(version))}
    own.pop(f"{version}/{EVIDENCE}/{MANIFEST}", None)
    for name, facts in manifest["files"].items():
        if shared or not beside.is_shared(name):
            findings += _file_findings(
                directory, name, facts, source=_source(directory, version, name, wanted=facts["sha256"]), take=take
            )
    for name, kind in own.items():
        if kind != "file":
            findings.append(Finding(where=f"{model}/{name}", what=beside.NO_FILE[kind]))
        elif name not in manifest["files"]:
            findings.append(Finding(where=f"{model}/{name}", what="the file is not in the manifest"))
    if shared:
        findings += beside.unlisted(directory, {name for files in _siblings(directory).values() for name in files})
    return tuple(findings)


def _file_findings(directory: Path, name: str, facts: Listed, *, source: Path, take: Take) -> Iterator[Finding]:
    where = f"{directory.name}/{name}"
    if name.startswith("/") or ".." in name.split("/"):
        yield Finding(where=where, what="the manifest lists a path outside the model's directory")
    elif not {"", "."}.isdisjoint(name.split("/")):  # otherwise a file could be listed under two names
        yield Finding(where=where, what=wording.LISTED_OTHERWISE.text())
    elif not os.path.lexists(source):
        yield Finding(where=where, what="the file is missing")
    elif source.is_symlink() and beside.is_shared(name):  # `integrity` reports links inside the version
        yield Finding(where=where, what=beside.NO_FILE["link"])
    elif (found := take(name, source, facts["bytes"])) != facts["sha256"] and not source.is_symlink():
        what = "the file cannot be read" if found is None else "the file was changed after it was proven"
        yield Finding(where=where, what=what, expected=facts["sha256"], found=found)


def _source(directory: Path, version: int, name: str, *, wanted: str) -> Path:
    """Return the path of a listed file; for a configuration that was replaced, the copy in the version's evidence."""
    if beside.is_config(name) and superseded(directory, version, wanted, name=name):
        kept = evidence_place.evidence(directory / str(version)) / name
        if kept.is_file():
            return kept
    return evidence_place.place_of(directory, name)


def superseded(directory: Path, version: int, wanted: str, *, name: str = CONFIG) -> bool:
    """Return whether a configuration in place differs from the SHA-256 `wanted`, and is one that tritonize put there.

    That is the configuration of a newer version, or one that pins a version.
    """
    found = file_hashes.hash_in_place("", directory / name, bounded_files.LIMIT)
    if found in (None, wanted):
        return False
    return found in pinned_files(directory).get(name, ()) or any(
        number > version and name in listed and listed[name]["sha256"] == found for number, listed in _siblings(directory).items()
    )


def pinned(directory: Path) -> int | None:
    """Return the version that `promote` or `rollback` pinned in a model's directory.

    `None` if no version is pinned, or if the configuration is not the one that follows from the version's evidence.
    """
    try:
        text = bounded_files.text(directory / CONFIG)
        version = pinned_config.pinned_version(text)
        known = None if version is None else read(directory / str(version))
    except (OSError, ValueError, RepositoryError):
        return None
    if version is None or known is None or pinned_texts(directory, version, known).get(CONFIG) != text:
        return None
    return version


def pinned_texts(directory: Path, version: int, known: Manifest) -> dict[str, str]:
    """Return the configurations that pin a version, by name: they follow from the proven ones in its evidence.

    One whose copy is missing or changed is left out.
    """
    texts = {}
    for name in filter(beside.is_config, known["files"]):
        try:
            proven = bounded_files.text(evidence_place.evidence(directory / str(version)) / name)
        except (OSError, ValueError):
            continue
        if hashlib.sha256(proven.encode()).hexdigest() == listed_sha256(known, name):
            texts[name] = pinned_config.with_pin(proven, version)
    return texts


def pinned_files(directory: Path) -> dict[str, dict[str, int]]:
    """Return the configurations of the pinned version: name to SHA-256 to size in bytes; empty if none is pinned."""
    version = pinned(directory)
    texts = {} if version is None else pinned_texts(directory, version, read(directory / str(version)))
    return {name: {hashlib.sha256(text.encode()).hexdigest(): len(text.encode())} for name, text in texts.items()}


def _siblings(directory: Path) -> dict[int, dict[str, Listed]]:
    """Return the listed files of each version with a readable manifest."""
    hashes = {}
    for entry in directory.iterdir():
        if is_version(entry):
            try:
                hashes[int(entry.name)] = read(entry)["files"]
            except RepositoryError:
                continue
    return hashes


def listed_beside(directory: Path) -> dict[str, dict[str, int]]:
    """Return the shared files that the manifests of a model's versions list: file name to SHA-256 to size in bytes."""
    return shared_files(_siblings(directory).values())


def shared_files(lists: Iterable[Mapping[str, Listed]]) -> dict[str, dict[str, int]]:
    """Return the shared files among the lists of several manifests: file name to SHA-256 to size in bytes."""
    listed: dict[str, dict[str, int]] = {}
    for files in lists:
        for name, facts in files.items():
            if beside.is_shared(name):
                listed.setdefault(name, {})[facts["sha256"]] = facts["bytes"]
    return listed


def listed_sha256(known: Manifest, name: str) -> str | None:
    """Return the SHA-256 of a file in a manifest; `None` if the manifest does not list the file."""
    listed = known["files"].get(name)
    return listed["sha256"] if listed else None


def _manifest_findings(manifest: Manifest, model: str, version: int) -> Iterator[Finding]:
    """Check that the manifest belongs to this version, records an accepted verdict and lists the required files."""
    where = f"{model}/{version}/{EVIDENCE}/{MANIFEST}"
    if (manifest["schema"] >= SCHEMA or _OWN in manifest) and (found := own_sha256(manifest)) != manifest.get(_OWN):
        yield Finding(where=where, what="the file was changed after it was proven", expected=str(manifest.get(_OWN)), found=found)
    for field, wanted in (("model", (model,)), ("version", (version,)), ("verdict", (*PASSED, "not run"))):
        if manifest.get(field) not in wanted:
            expected = " or ".join(map(str, wanted))
            yield Finding(where=where, what=f"the manifest's {field} differs", expected=expected, found=str(manifest.get(field)))
    for name in (*(() if manifest.get("unconfigured") else (CONFIG,)), f"{version}/{EVIDENCE}/report.json"):
        if name not in manifest["files"]:
            yield Finding(where=where, what=f"the manifest does not list {name}")
