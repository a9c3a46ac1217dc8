"""`tritonize pack`: copy what a server loads into a new folder, and nothing else: served versions, configurations and labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize import repository
from tritonize.core import durable_files, temporary
from tritonize.core.errors import RepositoryError, UsageError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.triton import model_config
from tritonize.workflows import checked_copy, pruning


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The written folder."""

    folder: Path
    versions: dict[str, tuple[int, ...]]
    """Model to its versions."""
    files: int
    bytes: int
    notes: tuple[str, ...]


def pack(place: Path, folder: Path, models: Sequence[str] = ()) -> Packed:
    """Write the versions that the version policies serve into a new folder. It appears complete or not at all.

    Args:
        place: the model repository.
        folder: the new folder.
        models: model names; all models if empty.

    Raises:
        UsageError: the repository or a model does not exist.
        RepositoryError: the folder exists or cannot be written, or a file changed after it was proven.
    """
    present = repository.models(place)
    absent = [name for name in models if name not in present]
    if absent:
        raise UsageError.of(wording.NO_MODEL, where=str(place), found=", ".join(absent), expected=", ".join(present))
    target = folder.absolute()
    if target.is_relative_to(place.absolute()):
        raise RepositoryError.of(wording.PACK_INSIDE, where=str(folder))
    if target.exists() or target.is_symlink():
        raise RepositoryError.of(wording.PACK_EXISTS, where=str(folder))
    with storage_errors(target):
        durable_files.make_directory(target.parent)
        with temporary.folder(inside=target.parent) as scratch:
            built = scratch / "packed"
            built.mkdir()
            versions: dict[str, tuple[int, ...]] = {}
            notes: list[str] = []
            for model in models or present:
                versions[model] = _served(place, model)
                notes += _copy(place, model, versions[model], built=built, scratch=scratch)
            durable_files.sync_tree(built)
            if target.exists():
                raise RepositoryError.of(wording.PACK_EXISTS, where=str(folder))
            built.rename(target)
        durable_files.sync(target.parent)
    files = [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return Packed(folder=folder, versions=versions, files=len(files), bytes=size, notes=tuple(notes))


def _served(place: Path, model: str) -> tuple[int, ...]:
    served = pruning.served_by_any(place, model)
    if not served:
        raise RepositoryError.of(wording.PACK_NOTHING, where=str(place / model), model=model, repository=place)
    return served


def _copy(place: Path, model: str, versions: Sequence[int], *, built: Path, scratch: Path) -> Iterator[str]:
    """Copy one model; each file is hashed while it is copied, as for a server."""
    target = built / model
    target.mkdir()
    for version in versions:
        own = place / model / str(version)
        if repository.has_evidence(own):
            checked = checked_copy.check(place, model, version, folder=scratch / model / str(version), budget=1 << 62)
            if checked.findings:
                lines = [f"{each.where}: {each.what}" for each in checked.findings]
                raise RepositoryError.of(wording.PACK_CHANGED, where=str(own), details=lines)
            source = checked.version_directory
        else:
            yield wording.PACK_UNCHECKED.text(model=model, version=version)
            source = own
        # Not `copy2`: a private copy is readable by its owner alone.
        shutil.copytree(source, target / str(version), ignore=_evidence_at(source), copy_function=shutil.copyfile)
        if source != own and checked.changed_in_place():
            raise RepositoryError.of(wording.PACK_CHANGED, where=str(own))
    _copy_beside(place / model, target)


def _evidence_at(version_directory: Path) -> Callable[[str, list[str]], set[str]]:
    """Return what `shutil.copytree` leaves out: the evidence in the version's directory, and no folder of that name below it."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {repository.EVIDENCE}.intersection(names) if Path(folder) == version_directory else set()

    return ignored


def _copy_beside(directory: Path, target: Path) -> None:
    """Copy the configuration, its named variants and the files that they name: labels, and inputs of the warmup."""
    beside = repository.files_beside(directory)
    for config in filter(repository.is_config, beside):
        text = repository.read_config(directory.parent, directory.name, name=config)
        (target / config).parent.mkdir(exist_ok=True)
        (target / config).write_text(text, encoding="utf-8")
        for name in model_config.named_files(model_config.parse(text, where=str(directory / config))):
            if name in beside:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(beside[name], target / name)
