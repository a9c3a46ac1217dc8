"""Check published versions against their manifests, and copy exactly the checked files into a private repository for the server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import TritonizeError
from tritonize.core.messages import repository as wording
from tritonize.core.messages import steps as step_wording
from tritonize.core.reports import Finding
from tritonize.repository import manifest, private_copy
from tritonize.repository.manifest import Manifest
from tritonize.repository.private_copy import InPlace, PrivateCopy
from tritonize.triton import model_config
from tritonize.triton.server import view
from tritonize.workflows import ensemble_steps, signed


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One version and the findings about its files."""

    model: str
    version: int
    manifest: Manifest
    findings: tuple[Finding, ...]
    root: Path
    """A model repository with this version only: the hashed files, or the published ones if they differ and are served anyway."""
    files: int
    copied: int = 0
    """Number of bytes."""
    in_place: tuple[InPlace, ...] = ()
    own_config: bool = False
    """Whether a newer version replaced the configuration that it was proven with; it is then verified with its own."""
    notes: tuple[str, ...] = ()

    @property
    def version_directory(self) -> Path:
        """The version's directory in the private repository."""
        return self.root / self.model / str(self.version)

    def changed_in_place(self) -> tuple[Finding, ...]:
        """Hash the files that were served without a copy, and report those that changed."""
        return private_copy.changed(self.in_place)


def check(
    place: Path, model: str, version: int, *, folder: Path, shared: bool = True, budget: int = private_copy.BUDGET
) -> Checked:
    """Hash the files that a version's manifest lists, and copy each into a private repository while it is read.

    Args:
        place: the model repository.
        folder: an empty folder for the private repository.
        shared: check also the files beside the versions; otherwise only the version's own copy of the configuration and labels.
        budget: largest number of bytes to copy; files beyond it are served from the model repository.

    Raises:
        RepositoryError: the version has no evidence, or it cannot be read.
        OSError: the private folder cannot be written.
    """
    listed = manifest.read(place / model / str(version))
    copy = PrivateCopy(directory=folder / "checked" / model, budget=budget)
    copy.directory.mkdir(parents=True)
    findings = repository.integrity(place, model, version, known=listed, take=copy.take)
    _write_manifest(listed, copy.directory / str(version))
    if not shared:
        findings = tuple(each for each in findings if each.where.startswith(f"{model}/{version}/"))
    root = folder / "checked" if not findings else _linked(place, model, version, root=folder / "changed")
    return Checked(
        model=model,
        version=version,
        manifest=listed,
        findings=findings,
        root=root,
        files=copy.files,
        copied=budget - copy.budget,
        in_place=tuple(copy.in_place) if not findings else (),
        own_config=manifest.superseded(place / model, version, manifest.listed_sha256(listed, repository.CONFIG) or ""),
        notes=tuple(_notes(listed, copy.in_place)),
    )


def add_steps(place: Path, known: Manifest, root: Path, *, folder: Path, budget: int = private_copy.BUDGET) -> tuple[Finding, ...]:
    """Copy the models of an ensemble's steps into a private repository, each as the version that a step runs now.

    Args:
        place: the model repository.
        known: the ensemble's manifest; that of a model without steps adds nothing.
        root: the private repository, which has the ensemble.
        folder: a folder for the copies.
        budget: largest number of bytes to copy per step.

    Returns:
        A finding for each step whose copy is not what the manifest says, or that is served without a copy although all are
        to be copied.

    Raises:
        UsageError, RepositoryError: the repository does not have a step, or it has no evidence.
    """
    findings: list[Finding] = []
    for step, proven in ensemble_steps.recorded(known).items():
        checked = check(place, step, ensemble_steps.current(place, step), folder=folder / step, budget=budget)
        view.link_entries(root, {step: checked.root / step})
        in_place = checked.in_place if budget == private_copy.ALL else ()
        if checked.findings or in_place or ensemble_steps.used(checked.manifest) != proven:
            findings.append(Finding(where=step, what=step_wording.STEP_CHANGED.text()))
    return tuple(findings)


def _write_manifest(listed: Manifest, directory: Path) -> None:
    """Copy the checked manifest beside the files that it lists."""
    path = directory / repository.EVIDENCE / repository.MANIFEST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(listed), encoding="utf-8")


def _notes(listed: Manifest, in_place: Sequence[InPlace]) -> Iterator[str]:
    if listed["schema"] < manifest.SCHEMA:
        yield wording.UNCOVERED.text()
    if in_place:
        gib = sum(each.bytes for each in in_place) / 2**30
        yield wording.SERVED_IN_PLACE.text(count=len(in_place), gib=gib)


def _linked(place: Path, model: str, version: int, *, root: Path) -> Path:
    """Link the published files without a check, for `--serve-anyway`."""
    directory = place.absolute() / model
    links = {f"{model}/{path.name}": path for path in directory.iterdir() if not manifest.is_version(path)}
    own = directory / str(version)
    evidence = repository.evidence_of(own)
    if evidence.parent == own:
        return view.link_entries(root, {**links, f"{model}/{version}": own})
    links |= {f"{model}/{version}/{path.name}": path for path in own.iterdir()}
    return view.link_entries(root, {**links, f"{model}/{version}/{repository.EVIDENCE}": evidence})


def older_findings(place: Path, model: str, newest: int) -> tuple[Finding, ...]:
    """Check the versions before the newest, which the repository's version policy may serve."""
    findings: list[Finding] = []
    served = served_versions(place, model)
    for version in repository.versions(place, model):
        if version == newest:
            continue
        if repository.has_evidence(place / model / str(version)):
            findings += repository.integrity(place, model, version, shared=False)
        elif version in served:
            findings.append(Finding(where=f"{model}/{version}", what=wording.SERVED_UNPROVEN.text()))
    return tuple(findings)


def served_versions(place: Path, model: str) -> tuple[int, ...]:
    """Return the versions that Triton serves by the configuration's version policy; empty if the configuration cannot be read."""
    present = repository.versions(place, model)
    try:
        config = model_config.parse(repository.read_config(place, model), where=str(place / model / repository.CONFIG))
    except TritonizeError:
        return ()
    return model_config.versions_served(config, present)


def unlike_config(place: Path, model: str) -> tuple[int, ...]:
    """Return the versions that are served with a configuration that differs from the one they were proven with.

    A pinned version is not among them: its version policy alone differs.
    """
    unlike = []
    pinned = repository.pinned(place / model)
    for version in served_versions(place, model):
        if version != pinned and is_proven(place / model, version):
            listed = manifest.listed_sha256(manifest.read(place / model / str(version)), repository.CONFIG)
            if manifest.superseded(place / model, version, listed or ""):
                unlike.append(version)
    return tuple(unlike)


@dataclass(kw_only=True)
class ToServe:
    """A private repository of several models, and the findings about each."""

    root: Path
    checked: list[Checked] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """All differences from the manifests."""
    notes: list[str] = field(default_factory=list)
    unconfigured: bool = False
    """Whether a model that is served unchecked has no configuration."""
    budget: int = private_copy.BUDGET
    """Remaining number of bytes that may be copied."""

    @property
    def completes(self) -> bool:
        """Whether the server completes a configuration: a version was proven with such a one, or a model has none."""
        return self.unconfigured or any("completed" in each.manifest for each in self.checked)


def to_serve(place: Path, models: Sequence[str], folder: Path, *, key: Path | None = None) -> ToServe:
    """Check every version that would be served, and build a repository of the checked files.

    A model without any evidence is served unchecked, with a note.

    Args:
        place: the model repository.
        models: the models.
        folder: an empty folder for the private repository.
        key: public key; every version must have a signature that holds for it.

    Raises:
        RepositoryError: a manifest is damaged.
        OSError: the private folder cannot be written.
    """
    private = ToServe(root=folder / "repository")
    private.root.mkdir(parents=True)
    for model, directory in view.model_folders(place, models).items():
        if any(is_proven(directory, version) for version in repository.versions(place, model)):
            _add_checked(private, place, model, folder=folder / "versions", key=key)
        else:
            present = repository.versions(place, model)
            private.unconfigured |= repository.completed_by_triton(directory) is not None
            private.notes += [wording.UNCHECKED.text(model=model, version=each) for each in present]
            private.findings += signed.without_evidence(place, model) if key is not None else ()
            view.link_entries(private.root, {model: directory})
    if private.checked and key is None:
        private.notes.append(wording.SUMS.text())
    return private


def _add_checked(private: ToServe, place: Path, model: str, *, folder: Path, key: Path | None) -> None:
    """Check every version of a model that its policy serves; each of them must have evidence."""
    directory = place / model
    # If the configuration cannot be read, every version is checked, and each has a finding about it.
    served = served_versions(place, model) or repository.versions(place, model)
    proven = [version for version in served if is_proven(directory, version)]
    checked: list[Checked] = []
    findings: list[Finding] = []
    for version in proven:
        budget = private.budget if key is None else private_copy.ALL
        each = check(place, model, version, folder=folder / model / str(version), budget=budget)
        private.budget = max(0, private.budget - each.copied)
        checked.append(each)
        findings += (*each.findings, *ensemble_steps.changes(place, model, each.manifest))
        if key is not None:
            findings += signed.findings(
                place, model, version, key=key, manifest=each.manifest, own_config=each.own_config, in_place=each.in_place
            )
        if not each.findings:
            private.notes.append(wording.CHECKED.text(model=model, version=version, count=each.files))
        private.notes += each.notes
    unproven = [version for version in served if version not in proven]
    findings += [Finding(where=f"{model}/{version}", what=wording.SERVED_UNPROVEN.text()) for version in unproven]
    private.notes += [wording.SERVED_WITH_OTHER_CONFIG.text(version=version) for version in unlike_config(place, model)]
    private.checked += checked
    private.findings += findings
    if findings:
        view.link_entries(private.root, {model: directory})
    else:
        view.link_entries(private.root, {f"{model}/{each.version}": each.version_directory for each in checked})
        _copy_beside(directory, private.root / model, _beside(place, model, checked, key=key))


def is_proven(directory: Path, version: int) -> bool:
    """Whether a version has evidence. Evidence without a manifest counts too: that version is damaged, not without evidence."""
    return repository.has_evidence(directory / str(version))


def _beside(place: Path, model: str, checked: Sequence[Checked], *, key: Path | None) -> dict[str, dict[str, int]]:
    """The files beside the versions that may be served: those that a manifest lists, with a key a signed one."""
    directory = place / model
    if key is not None:
        others = any(each.own_config for each in checked)  # the configuration in place is that of a version that is not served
        versions = repository.versions(place, model) if others else [each.version for each in checked]
        return signed.beside(place, model, versions, key=key)
    listed = manifest.listed_beside(directory)
    for name, sums in manifest.pinned_files(directory).items():
        listed.setdefault(name, {}).update(sums)
    return listed


def _copy_beside(directory: Path, target: Path, listed: Mapping[str, Mapping[str, int]]) -> None:
    """Copy the published configuration and the other files beside the versions, as far as they are listed."""
    copy = PrivateCopy(directory=target)
    for name, path in repository.files_beside(directory).items():
        sums = listed.get(name, {})
        if sums and copy.take(name, path, max(sums.values())) not in sums:
            (target / name).unlink(missing_ok=True)  # it changed after the check
