"""`tritonize pack`: copy what a server loads into a new folder, and nothing else: served versions, configurations and labels."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize import repository
from tritonize.core import bounded_files, durable_files, temporary
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import file_hashes, private_copy
from tritonize.triton import model_config
from tritonize.workflows import ensemble_steps, pruning


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
        models: model names; all models if empty. The models of an ensemble's steps are added.

    Raises:
        UsageError: the repository or a model does not exist.
        RepositoryError: the folder exists or cannot be written, or a file changed after it was proven.
    """
    present = repository.models(place)
    absent = [name for name in models if name not in present]
    if absent:
        raise repository.no_model(absent, present, where=str(place))
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
            for model in _with_steps(place, models, present) if models else present:
                versions[model] = _served(place, model)
                notes += _copy(place, model, versions[model], built=built)
            durable_files.sync_tree(built)
            if target.exists():
                raise RepositoryError.of(wording.PACK_EXISTS, where=str(folder))
            built.rename(target)
        durable_files.sync(target.parent)
    files = [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return Packed(folder=folder, versions=versions, files=len(files), bytes=size, notes=tuple(notes))


def _with_steps(place: Path, models: Sequence[str], present: Sequence[str]) -> Iterator[str]:
    """Yield the models, and those of the steps of an ensemble, without which Triton does not load it."""
    wanted = list(models)
    for model in wanted:  # it grows
        yield model
        text = repository.read_config(place, model)
        steps = ensemble_steps.members(model_config.parse(text, where=str(place / model / repository.CONFIG)))
        wanted += [step for step in steps if step in present and step not in wanted]


def _served(place: Path, model: str) -> tuple[int, ...]:
    served = pruning.served_by_any(place, model)
    if not served:
        raise RepositoryError.of(wording.PACK_NOTHING, where=str(place / model), model=model, repository=place)
    return served


def _copy(place: Path, model: str, versions: Sequence[int], *, built: Path) -> Iterator[str]:
    """Copy one model; each file is read once, and hashed while it is copied."""
    target = built / model
    target.mkdir()
    if repository.completed_by_triton(place / model):
        yield wording.PACK_COMPLETED.text(model=model)
    for version in versions:
        own = place / model / str(version)
        if repository.has_evidence(own):
            (target / str(version)).mkdir()
            _copy_checked(place, model, version, target=target)
        else:
            yield wording.PACK_UNCHECKED.text(model=model, version=version)
            _copy_tree(own, target / str(version))
    _copy_beside(place / model, target)


def _copy_tree(source: Path, target: Path, *, above: Sequence[Path] = ()) -> None:
    """Copy the regular files of a folder, also those that links lead to.

    Args:
        above: the folders that contain this one, without links.

    Raises:
        RepositoryError: an entry is something else, such as a pipe, or cannot be read.
    """
    real = source.resolve()
    if real in above:
        found = f"a link to the folder that contains it, {real}"
        raise RepositoryError.of(wording.PACK_UNREADABLE, where=str(source), model=source.parent, found=found)
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            _copy_tree(entry, target / entry.name, above=(*above, real))
            continue
        try:
            opened = bounded_files.opened(entry)
        except OSError as error:
            found = error.strerror or str(error)
            raise RepositoryError.of(wording.PACK_UNREADABLE, where=str(entry), model=entry.parent, found=found) from error
        with opened, (target / entry.name).open("xb") as copy:
            shutil.copyfileobj(opened, copy, 1 << 20)


def _copy_checked(place: Path, model: str, version: int, *, target: Path) -> None:
    """Copy what a version's manifest lists of its directory, without the evidence.

    Raises:
        RepositoryError: the version is not what its manifest says.
    """

    def take(name: str, path: Path, size: int) -> str | None:
        loaded = name.startswith(f"{version}/") and not name.startswith(f"{version}/{repository.EVIDENCE}/")
        return private_copy.copied(path, target / name, size) if loaded else file_hashes.hash_in_place(name, path, size)

    findings = repository.integrity(place, model, version, take=take)
    if findings:
        lines = [f"{each.where}: {each.what}" for each in findings]
        raise RepositoryError.of(wording.PACK_CHANGED, where=str(place / model / str(version)), details=lines)


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
