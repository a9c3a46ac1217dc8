"""Publish a staged version into the repository in one step; after an error, the repository is unchanged.

A version is complete, including its evidence, before it is moved within the filesystem, so a server never sees a part of it. No
version is overwritten or changed after it is published, since a polling Triton reloads changed files.
"""

from __future__ import annotations

import contextlib
import difflib
import filecmp
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tritonize.core import durable_files, interrupts
from tritonize.core.artifacts import PublishedVersion, StagedVersion
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import beside, evidence_place, journal, manifest, versions
from tritonize.repository.evidence_place import Place

Compare = Callable[[str, str], list[str]]
"""Returns a line for each field that differs between the texts of two configurations, old and new."""


def line_differences(current: str, text: str) -> list[str]:
    """Return the differing lines of two texts, as a unified diff; empty if they are the same."""
    if current == text:
        return []
    lines = difflib.unified_diff(current.splitlines(), text.splitlines(), "published", "new", lineterm="", n=0)
    return list(lines) or ["only the line endings differ"]


def config_changes(
    repository: Path, model: str, files: Mapping[str, Path], *, compare: Compare = line_differences
) -> dict[str, list[str]]:
    """Return the differences between the published files beside the versions and new ones: file name to lines about it.

    Args:
        repository: the model repository.
        model: the model's name.
        files: name of each file (configuration, variants, labels, inputs of the warmup) to the new file.
        compare: compares two configurations; the lines of another text are those of a unified diff.
    """
    changes: dict[str, list[str]] = {}
    for name, new in files.items():
        path = repository / model / name
        if path.is_file() and not _same(path, new):
            lines = _lines(name, path, new, compare=compare)
            changes |= {name: lines} if lines else {}
    return changes


def _lines(name: str, path: Path, new: Path, *, compare: Compare) -> list[str]:
    """Return the differences between a published file and the new one."""
    if name.startswith(f"{beside.WARMUP}/"):
        return [wording.OTHER_BYTES.text(published=path.stat().st_size, new=new.stat().st_size)]
    compare = compare if beside.is_config(name) else line_differences
    try:
        return compare(path.read_bytes().decode(), new.read_bytes().decode())
    except UnicodeDecodeError as error:
        return [wording.NOT_UTF8.text(found=error)]


def require_same_config(repository: Path, model: str, files: Mapping[str, Path], *, compare: Compare = line_differences) -> None:
    """Check that the files beside the versions equal the published ones; arguments as in `config_changes`.

    Raises:
        RepositoryError: a file differs; the error lists what differs.
    """
    for name, lines in config_changes(repository, model, files, compare=compare).items():
        where = str(repository / model / name)
        message = wording.CONFIG_DIFFERS if beside.is_config(name) else wording.SHARED_FILE_DIFFERS
        raise RepositoryError.of(message, where=where, details=lines, file=name)


def require_other_names(repository: Path, model: str, files: Mapping[str, Path]) -> None:
    """Refuse to replace a file that a published configuration names, such as an input of its warmup, by another one.

    A configuration can be replaced: every version has its own in its evidence. Other files are not kept there.

    Raises:
        RepositoryError: a file other than a configuration differs from the published one.
    """
    require_same_config(repository, model, {name: path for name, path in files.items() if not beside.is_config(name)})


def publish(
    staged: StagedVersion,
    repository: Path,
    *,
    allow_change: bool,
    compare: Compare = line_differences,
    finish: Callable[[StagedVersion], None] | None = None,
    done: Callable[[PublishedVersion], None] = lambda _published: None,
    place: Place = "inside",
) -> PublishedVersion:
    """Publish a staged version in one step, after all of its files are on the disk. Concurrent runs get different numbers.

    Args:
        staged: the version in the staging area.
        repository: the model repository.
        allow_change: whether configurations may replace published ones that differ. Otherwise they must be the same; or, if a
            version is pinned, its configurations stay and the new version is not served. Other files beside the versions, such as
            inputs of a warmup, are never replaced.
        compare: compares two configurations. Where it finds no difference, the published text stays, also if it is another one.
        finish: called with the staged version under its final number, to write the files that contain the number. Without it, the
            staged number must be free.
        done: called with the published version, before an interrupt can be handled.
        place: where the evidence goes; with `none` it is deleted before the version is published.

    Returns:
        The published version.

    Raises:
        RepositoryError: the published configuration differs, the number is taken, or the operating system refuses a step; the
            repository is unchanged.
    """
    repository = repository.absolute()
    directory = repository / staged.model
    journal.require_own_directory(directory)
    with _refusals(directory), storage_errors(directory):
        durable_files.sync_tree(staged.model_directory)  # before the lock, so that other runs do not wait for large files
        with journal.held(repository, staged.model):
            staged = _numbered(staged, repository, renumber=finish is not None)
            files = beside.files(staged.model_directory)
            require_other_names(repository, staged.model, files)
            if not allow_change and manifest.pinned(directory) is not None:
                # The pinned version stays served; the new one has its configurations in its evidence.
                files = {name: path for name, path in files.items() if not beside.is_config(name)}
            elif not allow_change:
                require_same_config(repository, staged.model, files, compare=compare)
            _keep_texts(staged, directory, filter(beside.is_config, files), compare=compare)
            if finish is not None:
                finish(staged)
                durable_files.sync_tree(staged.model_directory)
            published = PublishedVersion(repository=repository, model=staged.model, version=staged.version)
            with _evidence(staged, published, place):
                _put(staged, published, files, done=lambda: done(published))
    return published


def _keep_texts(staged: StagedVersion, directory: Path, names: Iterable[str], *, compare: Compare) -> None:
    """Stage the published text of a configuration that says the same, since a polling Triton reloads what changes."""
    for name in names:
        published, new = directory / name, staged.model_directory / name
        if published.is_file() and not _same(published, new) and not _lines(name, published, new, compare=compare):
            new.write_bytes(published.read_bytes())


@contextlib.contextmanager
def _evidence(staged: StagedVersion, published: PublishedVersion, place: Place) -> Iterator[None]:
    """Put the evidence in its place before the version is visible; after an error, put it back."""
    if place == "none":
        shutil.rmtree(staged.version_directory / manifest.EVIDENCE, ignore_errors=True)
    if place != "outside":
        yield
        return
    evidence_place.move_out(staged.version_directory, published.version_directory)
    try:
        yield
    except BaseException:
        if not published.version_directory.exists():  # an interrupt can come after the last step
            evidence_place.move_back(staged.version_directory, published.version_directory)
        raise


def _numbered(staged: StagedVersion, repository: Path, *, renumber: bool) -> StagedVersion:
    """Give the staged version its final number."""
    number = staged.version
    if renumber:
        number = max(number, versions.next_version(repository, staged.model))
    elif (repository / staged.model / str(number)).exists():
        where = str(repository / staged.model / str(number))
        raise RepositoryError.of(wording.VERSION_EXISTS, where=where, version=number, model=staged.model)
    if number == staged.version:
        return staged
    moved = StagedVersion(root=staged.root, model=staged.model, version=number)
    staged.version_directory.rename(moved.version_directory)
    return moved


def _put(staged: StagedVersion, published: PublishedVersion, files: Mapping[str, Path], *, done: Callable[[], None]) -> None:
    """Move the version into the repository in one step.

    For a new model this moves the whole directory of the model. If the files beside the versions are unchanged, it moves the
    version's directory. Otherwise it replaces the model's directory.
    """
    directory = published.version_directory.parent
    if not directory.exists():
        made = durable_files.make_directory(published.repository)
        try:
            _move(staged.model_directory, directory, done)
        except OSError:
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
    elif all(_same(directory / name, path) for name, path in files.items()):
        _move(staged.version_directory, published.version_directory, done)
    else:
        journal.change(published.repository, published.model, lambda folder: _lay_out(folder, staged, files), done=done)


def _lay_out(folder: Path, staged: StagedVersion, files: Mapping[str, Path]) -> None:
    """Add the version and the files beside it to a copy of the model's directory."""
    durable_files.link_tree(staged.version_directory, folder / str(staged.version))
    for name, path in files.items():
        if not _same(folder / name, path):
            (folder / name).parent.mkdir(exist_ok=True)
            durable_files.put(path, folder / name)


def _move(source: Path, target: Path, done: Callable[[], None]) -> None:
    with interrupts.deferred():
        source.rename(target)
        with journal.undone_on_error(lambda: _move_back(target, source)):
            durable_files.sync(target.parent)
        done()


def _move_back(target: Path, source: Path) -> None:
    target.rename(source)


def _same(published: Path, new: Path) -> bool:
    """Whether a published file exists and has the bytes of the new one."""
    return published.is_file() and filecmp.cmp(published, new, shallow=False)


@contextlib.contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """Raise any other OSError during publishing as a RepositoryError, since it is not a bug of tritonize."""
    try:
        yield
    except OSError as error:
        where = str(error.filename2 or error.filename or directory)
        raise RepositoryError.of(wording.NOT_PUBLISHED, where=where, found=error.strerror or str(error)) from error
