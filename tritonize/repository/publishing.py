"""Publish a staged version into the repository in one step; after an error, the repository is unchanged.

A version is complete, including its evidence, before it is moved within the filesystem, so a server never sees a part of it. No
version is overwritten or changed after it is published, since a polling Triton reloads changed files.
"""

from __future__ import annotations

import contextlib
import difflib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tritonize.core import durable_files, interrupts
from tritonize.core.artifacts import PublishedVersion, StagedVersion
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import evidence_place, journal, manifest, versions
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
    repository: Path, model: str, texts: Mapping[str, str], *, compare: Compare = line_differences
) -> dict[str, list[str]]:
    """Return the differences between published and new configuration and labels: file name to lines about it.

    Args:
        repository: the model repository.
        model: the model's name.
        texts: name of each shared file (configuration, labels) to its new text.
        compare: compares two configurations; the lines of a label file are those of a unified diff.
    """
    changes: dict[str, list[str]] = {}
    for name, text in texts.items():
        path = repository / model / name
        if path.is_file() and not _is(path, text):
            lines = _lines(path, text, compare if name == manifest.CONFIG else line_differences)
            changes |= {name: lines} if lines else {}
    return changes


def _lines(path: Path, text: str, compare: Compare) -> list[str]:
    """Return the differences between a published file and its new text."""
    try:
        return compare(path.read_bytes().decode(), text)
    except UnicodeDecodeError as error:
        return [wording.NOT_UTF8.text(found=error)]


def texts_of(staged: StagedVersion) -> dict[str, str]:
    """Return the shared files of a staged version, such as its configuration: file name to text, with its line endings."""
    return {path.name: path.read_bytes().decode() for path in staged.model_directory.iterdir() if path.is_file()}


def require_same_config(repository: Path, model: str, texts: Mapping[str, str], *, compare: Compare = line_differences) -> None:
    """Check that configuration and labels equal the published ones; arguments as in `config_changes`.

    Raises:
        RepositoryError: a file differs; the error lists what differs.
    """
    for name, lines in config_changes(repository, model, texts, compare=compare).items():
        where = str(repository / model / name)
        raise RepositoryError.of(wording.CONFIG_DIFFERS, where=where, details=lines, file=name)


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
        allow_change: whether configuration and labels may replace published ones that differ. Otherwise they must be the same; or,
            if a version is pinned, its configuration stays and the new version is not served.
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
            texts = texts_of(staged)
            if not allow_change and manifest.pinned(directory) is not None:
                del texts[manifest.CONFIG]  # the pinned version stays served; the new one has its configuration in its evidence
            elif not allow_change:
                require_same_config(repository, staged.model, texts, compare=compare)
            _keep_text(staged, directory, texts, compare=compare)
            if finish is not None:
                finish(staged)
                durable_files.sync_tree(staged.model_directory)
            published = PublishedVersion(repository=repository, model=staged.model, version=staged.version)
            with _evidence(staged, published, place):
                _put(staged, published, texts, done=lambda: done(published))
    return published


def _keep_text(staged: StagedVersion, directory: Path, texts: dict[str, str], *, compare: Compare) -> None:
    """Stage the published text of a configuration that says the same, since a polling Triton reloads what changes."""
    published = directory / manifest.CONFIG
    if manifest.CONFIG in texts and published.is_file():
        content = published.read_bytes()
        if content != texts[manifest.CONFIG].encode() and not _lines(published, texts[manifest.CONFIG], compare):
            texts[manifest.CONFIG] = content.decode()
            (staged.model_directory / manifest.CONFIG).write_bytes(content)


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


def _put(staged: StagedVersion, published: PublishedVersion, texts: Mapping[str, str], *, done: Callable[[], None]) -> None:
    """Move the version into the repository in one step.

    For a new model this moves the whole directory of the model. If configuration and labels are unchanged, it moves the version's
    directory. Otherwise it replaces the model's directory.
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
    elif all(_is(directory / name, text) for name, text in texts.items()):
        _move(staged.version_directory, published.version_directory, done)
    else:
        journal.change(published.repository, published.model, lambda folder: _lay_out(folder, staged, texts), done=done)


def _lay_out(folder: Path, staged: StagedVersion, texts: Mapping[str, str]) -> None:
    """Add the version, its configuration and its labels to a copy of the model's directory."""
    durable_files.link_tree(staged.version_directory, folder / str(staged.version))
    for name, text in texts.items():
        if not _is(folder / name, text):
            durable_files.write(folder / name, text.encode())


def _move(source: Path, target: Path, done: Callable[[], None]) -> None:
    with interrupts.deferred():
        source.rename(target)
        with journal.undone_on_error(lambda: _move_back(target, source)):
            durable_files.sync(target.parent)
        done()


def _move_back(target: Path, source: Path) -> None:
    target.rename(source)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


@contextlib.contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """Raise any other OSError during publishing as a RepositoryError, since it is not a bug of tritonize."""
    try:
        yield
    except OSError as error:
        where = str(error.filename2 or error.filename or directory)
        raise RepositoryError.of(wording.NOT_PUBLISHED, where=where, found=error.strerror or str(error)) from error
