"""Create a run's folder in the staging area next to the repository, and remove folders that killed runs left there.

The staging area is not inside the repository, where Triton would treat it as a model.
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

ALIVE = "alive"
KEPT = "kept"
LOCK = "lock"
RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_OLD_OWNER = "owner.json"
_OLD_RUN_S = 24 * 3600.0


class Run:
    """A run's folder in the staging area."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "repository"
        """The model repository of the server that verifies the staged version."""
        self.work = directory / "scratch"
        """All other files of the run."""
        self.kept = False
        """Whether the folder stays after the run."""

    def keep(self) -> None:
        """Keep the folder after the run, for a version that failed verification."""
        (self.directory / KEPT).touch()
        self.kept = True

    def keep_only(self, files: Sequence[Path]) -> tuple[Path, ...]:
        """Move the files directly into the run's folder, delete everything else, and keep the folder; return the new paths."""
        kept = tuple(file.replace(self.directory / file.name) for file in files)
        for folder in (self.root, self.work):
            shutil.rmtree(folder)
        self.keep()
        return kept


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Run]:
    """Create a run's folder in the staging area, on the repository's filesystem, and remove it afterwards unless it is kept.

    Raises:
        RepositoryError: the repository is not a directory, is a mount point, or cannot be written.
    """
    repository = repository.absolute()
    area = journal.area(repository)
    with storage_errors(area), contextlib.ExitStack() as stack:
        _require_directory(repository)
        created = [folder for folder in (area, *area.parents) if not folder.exists()]
        stack.callback(_remove_empty, created or [area])
        durable_files.make_directory(area)  # with its parents, which are the repository's parents too
        run = Run(area / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
        stack.callback(lambda: None if run.kept else shutil.rmtree(run.directory, ignore_errors=True))
        with locks.held(area / LOCK):  # so that no other process removes the run's folder before its lock is held
            _require_same_filesystem(area, repository)
            _remove_killed_runs(area)
            journal.recover_all(repository)
            for folder in (run.root, run.work):
                folder.mkdir(parents=True)
            alive = locks.acquire(run.directory / ALIVE)
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


def _remove_killed_runs(area: Path) -> None:
    """Remove the folders of runs that were killed."""
    for directory in area.iterdir():
        if not RUN.fullmatch(directory.name) or (directory / KEPT).exists() or is_older_kind(directory):
            continue
        if not (directory / ALIVE).exists():  # killed before it took its lock, or while it was being removed
            shutil.rmtree(directory, ignore_errors=True)
        elif (descriptor := locks.acquire(directory / ALIVE, wait=False)) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(descriptor)


def is_older_kind(directory: Path) -> bool:
    """Return whether a folder may belong to a running process of an older tritonize, which wrote its id instead of a lock."""
    if not (directory / _OLD_OWNER).exists():
        return False
    with contextlib.suppress(OSError):
        return time.time() - directory.stat().st_mtime < _OLD_RUN_S
    return False


def _remove_empty(folders: list[Path]) -> None:
    """Remove the staging area, and the parent folders that this run created, if they are empty."""
    area, *above = folders
    with contextlib.suppress(OSError):
        # Wait for the lock: of two runs that end at once, the later one removes the area.
        if area.name.endswith(".staging") and (descriptor := locks.acquire(area / LOCK, create=False)) is not None:
            try:
                if [entry.name for entry in area.iterdir()] == [LOCK]:
                    (area / LOCK).unlink()
                    area.rmdir()
            finally:
                os.close(descriptor)
    for folder in above:
        with contextlib.suppress(OSError):
            folder.rmdir()


def stage(run: Run, model: str, version: int, *, files: Mapping[str, Path], texts: Mapping[str, str]) -> StagedVersion:
    """Create a model's directory with one version for the server that verifies it.

    Args:
        run: the run whose repository gets the directory.
        model: the model's name.
        version: the expected number; publishing determines the final one.
        files: path inside the model's directory to the file that is moved there.
        texts: path inside the model's directory to the text that is written there.
    """
    staged = StagedVersion(root=run.root, model=model, version=version)
    staged.version_directory.mkdir(parents=True)
    for name, text in texts.items():
        target = staged.model_directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for name, source in files.items():
        target = staged.model_directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return staged
