"""Move or copy a built plan with its metadata and log to the requested path: all three files or none, the plan last."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tritonize.core import errors
from tritonize.core.errors import PlanError
from tritonize.plans import plan_file

PLAN, LOG = "model.plan", "build.log"
_PIECE = 1 << 20


def move(folder: Path, plan: Path) -> None:
    """Move plan, metadata and log out of a folder. The plan is moved last and in one step, so a file at its path is complete.

    Args:
        folder: the folder in which they were built.
        plan: the new path of the plan; metadata and log go next to it.

    Raises:
        RepositoryError: the disk is full; none of the three files remains then.
    """
    with _staging(plan) as staged:
        shutil.move(folder / LOG, log_path(plan))
        shutil.move(plan_file.metadata_path(folder / PLAN), plan_file.metadata_path(plan))
        shutil.move(folder / PLAN, staged)
        staged.replace(plan)


def copied(entry: Path, plan: Path) -> bool:
    """Copy plan, metadata and log out of a cache entry, if the plan still has the SHA-256 in its metadata.

    Args:
        entry: the folder of the cache entry.
        plan: the path for the plan; metadata and log go next to it.

    Returns:
        False if the entry is incomplete or damaged; nothing is copied then.

    Raises:
        RepositoryError: the disk is full; none of the three files remains then.
    """
    try:
        metadata = plan_file.read_metadata(entry / PLAN)
    except PlanError:
        return False
    if metadata is None or not (entry / PLAN).is_file() or not (entry / LOG).is_file():
        return False
    with _staging(plan) as staged:
        if _copy(entry / PLAN, staged) != metadata.plan_sha256:
            staged.unlink()
            return False
        shutil.copyfile(entry / LOG, log_path(plan))
        shutil.copyfile(plan_file.metadata_path(entry / PLAN), plan_file.metadata_path(plan))
        staged.replace(plan)
    return True


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of the bytes that were read."""
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with source.open("rb", buffering=0) as reading, target.open("wb") as writing:
        while size := reading.readinto(piece):
            digest.update(piece[:size])
            writing.write(piece[:size])
    return digest.hexdigest()


@contextlib.contextmanager
def _staging(plan: Path) -> Iterator[Path]:
    """The temporary path of a plan, next to its own path. After an OSError, this file, the metadata and the log are deleted."""
    staged = plan.with_name(f"{plan.name}.new")
    with errors.storage_errors(plan):
        try:
            yield staged
        except OSError:
            for path in (staged, plan_file.metadata_path(plan), log_path(plan)):
                path.unlink(missing_ok=True)
            raise


def log_path(plan: Path) -> Path:
    """The path of a plan's log: `model.log` next to `model.plan`."""
    return plan.with_suffix(".log")
