"""One run's own folder beside the repository, and the removal of what killed runs left there.

Staging never lies inside the repository, where Triton would take it for a model.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tritonize.core import durable_files, locks
from tritonize.core.artifacts import StagedVersion
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import journal

_ALIVE = "alive"
_KEPT = "kept"
_LOCK = "lock"
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_OLD_OWNER = "owner.json"
_OLD_RUN_S = 24 * 3600.0


class Run:
    """One run's own folder in the staging area: `repository/` is what the proving server sees, `scratch/` is everything else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "repository"
        self.work = directory / "scratch"
        self.kept = False

    def keep(self) -> None:
        """Leave the folder where it is when the run ends; for a version that failed its proof."""
        (self.directory / _KEPT).touch()
        self.kept = True

    def keep_only(self, files: Sequence[Path]) -> tuple[Path, ...]:
        """Leave these files of the run, in its folder, and nothing else; where they lie then."""
        kept = tuple(file.replace(self.directory / file.name) for file in files)
        for folder in (self.root, self.work):
            shutil.rmtree(folder)
        self.keep()
        return kept


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Run]:
    """A folder for one run, beside the repository on the same filesystem; gone at the end unless kept.

    Raises:
        RepositoryError: the repository cannot be written, or is no directory.
    """
    repository = repository.absolute()
    area = journal.area(repository)
    with storage_errors(area), contextlib.ExitStack() as stack:
        _require_directory(repository)
        created = [folder for folder in (area, *area.parents) if not folder.exists()]
        stack.callback(_remove_empty, created or [area])
        durable_files.make_directory(area)  # the folders above it are the repository's too
        run = Run(area / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
        stack.callback(lambda: None if run.kept else shutil.rmtree(run.directory, ignore_errors=True))
        with locks.held(area / _LOCK):  # so that nobody sweeps a run that is being made
            _require_same_filesystem(area, repository)
            _sweep(area)
            journal.recover_all(repository)
            for folder in (run.root, run.work):
                folder.mkdir(parents=True)
            alive = locks.acquire(run.directory / _ALIVE)
        if alive is not None:
            stack.callback(os.close, alive)
        yield run


def _require_directory(repository: Path) -> None:
    for place in (repository, *repository.parents):
        if place.is_dir():
            break
        if place.exists() or place.is_symlink():
            message = wording.NO_DIRECTORY if place == repository else wording.NO_DIRECTORY_ABOVE
            raise RepositoryError.of(message, where=str(repository), found=str(place))
    if repository.parent == repository:
        raise RepositoryError.of(wording.ROOT, where=str(repository))


def _require_same_filesystem(area: Path, repository: Path) -> None:
    if repository.exists() and repository.stat().st_dev != area.stat().st_dev:
        raise RepositoryError.of(wording.MOUNT_POINT, where=str(area))


def _sweep(area: Path) -> None:
    """Remove what a run left that was killed in mid-work."""
    for directory in area.iterdir():
        if not _RUN.fullmatch(directory.name) or (directory / _KEPT).exists() or _is_older_kind(directory):
            continue
        if not (directory / _ALIVE).exists():  # killed in the moment it was made, or while it was being removed
            shutil.rmtree(directory, ignore_errors=True)
        elif (descriptor := locks.acquire(directory / _ALIVE, wait=False)) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(descriptor)


def _is_older_kind(directory: Path) -> bool:
    """Whether it may be a living run of a tritonize that wrote its process number instead of holding a lock."""
    if not (directory / _OLD_OWNER).exists():
        return False
    with contextlib.suppress(OSError):
        return time.time() - directory.stat().st_mtime < _OLD_RUN_S
    return False


def _remove_empty(folders: list[Path]) -> None:
    """Remove the staging area, and those above it that this run made, where nothing is left in them."""
    area, *above = folders
    with contextlib.suppress(OSError):
        if area.name.endswith(".staging") and (descriptor := locks.acquire(area / _LOCK, wait=False)) is not None:
            if [entry.name for entry in area.iterdir()] == [_LOCK]:
                (area / _LOCK).unlink()
                area.rmdir()
            os.close(descriptor)
    for folder in above:
        with contextlib.suppress(OSError):
            folder.rmdir()


def stage(run: Run, model: str, version: int, *, files: Mapping[str, Path], texts: Mapping[str, str]) -> StagedVersion:
    """Lay out a model directory for the proving server.

    Args:
        version: the number it is proven under; the one it gets is known when it is published.
        files: path inside the model directory to the file that is moved there.
        texts: likewise, to the text that is written there.
    """
    staged = StagedVersion(root=run.root, model=model, version=version)
    staged.version_directory.mkdir(parents=True)
    for name, text in texts.items():
        (staged.model_directory / name).write_text(text, encoding="utf-8")
    for name, source in files.items():
        target = staged.model_directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return staged
