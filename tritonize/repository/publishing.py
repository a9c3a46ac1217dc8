"""A staged version put in place: the whole of it in one step, and nothing of it where anything fails.

Nothing half-written is ever visible: a version is complete, with its evidence, before it is moved, on the same filesystem.
Nothing is overwritten, and a published version is never touched again, since a polling Triton reloads what changes.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tritonize.core import durable_files, interrupts
from tritonize.core.artifacts import PublishedVersion, StagedVersion
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import journal, versions


def config_changes(repository: Path, model: str, texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines in which a configuration and labels differ from those in place, by file.

    Args:
        texts: name of each file beside the versions, to its new text.
    """
    found = {}
    for name, text in texts.items():
        path = repository / model / name
        if path.is_file() and (current := path.read_text(encoding="utf-8", errors="replace")) != text:
            lines = difflib.unified_diff(current.splitlines(), text.splitlines(), "in place", "new", lineterm="", n=0)
            found[name] = list(lines) or ["only in how its lines end"]
    return found


def require_same_config(repository: Path, model: str, texts: Mapping[str, str]) -> None:
    """Refuse a configuration or labels that differ from those in place.

    Raises:
        RepositoryError: one differs; the differing lines are listed.
    """
    for name, lines in config_changes(repository, model, texts).items():
        where = str(repository / model / name)
        raise RepositoryError.of(wording.CONFIG_DIFFERS, where=where, details=lines, file=name)


def publish(
    staged: StagedVersion,
    repository: Path,
    *,
    allow_change: bool,
    finish: Callable[[StagedVersion], None] | None = None,
    done: Callable[[PublishedVersion], None] = lambda _published: None,
) -> PublishedVersion:
    """Put a staged version in place, in one step, after everything is on the disk. Of many runs at once each gets a number.

    Args:
        allow_change: put its configuration and labels in place too where they differ.
        finish: writes what names the version's number, which is known now; without it the staged number has to be free.
        done: told of the published version before an interrupt can arrive.

    Raises:
        RepositoryError: the configuration in place differs, or the disk refuses; nothing was changed.
    """
    repository = repository.absolute()
    directory = repository / staged.model
    _require_own_directory(directory)
    with _refusals(directory), storage_errors(directory):
        durable_files.sync_tree(staged.model_directory)  # what is large, before others have to wait
        with journal.held(repository, staged.model):
            staged = _numbered(staged, repository, renumber=finish is not None)
            texts = {path.name: path.read_text(encoding="utf-8") for path in staged.model_directory.iterdir() if path.is_file()}
            if not allow_change:
                require_same_config(repository, staged.model, texts)
            if finish is not None:
                finish(staged)
                durable_files.sync_tree(staged.model_directory)
            published = PublishedVersion(repository=repository, model=staged.model, version=staged.version)
            _put(staged, published, texts, done=lambda: done(published))
    return published


def _require_own_directory(directory: Path) -> None:
    """A model's directory that is elsewhere cannot be exchanged, nor anything be moved into it in one step."""
    if directory.is_symlink():
        raise RepositoryError.of(wording.MODEL_IS_LINK, where=str(directory), found=str(directory.readlink()))
    if directory.exists() and not directory.is_dir():
        raise RepositoryError.of(wording.MODEL_IS_FILE, where=str(directory))


def _numbered(staged: StagedVersion, repository: Path, *, renumber: bool) -> StagedVersion:
    """The staged version under the number that it gets."""
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
    """The one step: a new model's directory, a version beside others, or the model's directory as a whole."""
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
    """The model's directory with the version, its configuration and its labels."""
    durable_files.link_tree(staged.version_directory, folder / str(staged.version))
    for name, text in texts.items():
        if not _is(folder / name, text):
            durable_files.write(folder / name, text.encode())


def _move(source: Path, target: Path, done: Callable[[], None]) -> None:
    with interrupts.deferred():
        source.rename(target)
        with journal.settled(lambda: _move_back(target, source)):
            durable_files.sync(target.parent)
        done()


def _move_back(target: Path, source: Path) -> None:
    target.rename(source)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


@contextlib.contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """Whatever else the system refuses while a version is put in place is an error of the repository, and no bug."""
    try:
        yield
    except OSError as error:
        where = str(error.filename2 or error.filename or directory)
        raise RepositoryError.of(wording.NOT_PUBLISHED, where=where, found=error.strerror or str(error)) from error
