"""A plan, its metadata and its log from where they were built to their places: all of them or none, the plan last."""

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
    """Plan, metadata and log of a folder to their places, the plan last: where it lies it is whole.

    Raises:
        RepositoryError: there is no room for them; none of them is left then.
    """
    with _staging(plan) as staged:
        shutil.move(folder / LOG, log_path(plan))
        shutil.move(plan_file.metadata_path(folder / PLAN), plan_file.metadata_path(plan))
        shutil.move(folder / PLAN, staged)
        staged.replace(plan)


def copied(entry: Path, plan: Path) -> bool:
    """Copy the same from an entry of the cache; whether its plan is the one that was built. If not, nothing is placed.

    Raises:
        RepositoryError: there is no room for them; none of them is left then.
    """
    try:
        known = plan_file.read_metadata(entry / PLAN)
    except PlanError:
        return False
    if known is None or not (entry / PLAN).is_file() or not (entry / LOG).is_file():
        return False
    with _staging(plan) as staged:
        if _copy(entry / PLAN, staged) != known.plan_sha256:
            staged.unlink()
            return False
        shutil.copyfile(entry / LOG, log_path(plan))
        shutil.copyfile(plan_file.metadata_path(entry / PLAN), plan_file.metadata_path(plan))
        staged.replace(plan)
    return True


def _copy(source: Path, target: Path) -> str:
    """Copy a file; the SHA-256 of what was copied."""
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with source.open("rb", buffering=0) as reading, target.open("wb") as writing:
        while size := reading.readinto(piece):
            digest.update(piece[:size])
            writing.write(piece[:size])
    return digest.hexdigest()


@contextlib.contextmanager
def _staging(plan: Path) -> Iterator[Path]:
    """Where a plan is put first. Where the disk refuses, neither that nor metadata nor log is left."""
    staged = plan.with_name(f"{plan.name}.new")
    with errors.storage_errors(plan):
        try:
            yield staged
        except OSError:
            for path in (staged, plan_file.metadata_path(plan), log_path(plan)):
                path.unlink(missing_ok=True)
            raise


def log_path(plan: Path) -> Path:
    """Where the log of a plan lies: `model.log` beside `model.plan`."""
    return plan.with_suffix(".log")
