"""Promote, rollback, prune and pack on a disk that is really full: the old or the new state, and a retry works."""

from __future__ import annotations

import errno
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import plain_versions, small_disk
from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.workflows import packing, promotion, pruning

DISK = Path("disk")
PLACE = DISK / "models"
MODEL = PLACE / "m"
FILL = DISK / "fill"
PAGE = 4096


@dataclass(frozen=True)
class State:
    """What a server reads."""

    files: dict[str, bytes]


def state() -> State:
    served = (path for path in MODEL.rglob("*") if path.is_file() and "evidence" not in path.parts)
    return State({path.relative_to(MODEL).as_posix(): path.read_bytes() for path in served})


def rollback() -> None:
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))


def promote() -> None:
    promotion.promote(promotion.Request(repository=PLACE, model="m", version=1))


def prune() -> None:
    (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=1))
    if removal.error:
        raise removal.error


def pack() -> None:
    packing.pack(PLACE, DISK / "out")


@pytest.fixture
def disk() -> Iterator[None]:
    """A mounted disk of 1 MiB with three versions."""
    if not small_disk.mounted(DISK, "1m"):
        pytest.skip("this user may not mount a filesystem")
    try:
        for number in (1, 2, 3):
            plain_versions.publish(PLACE, f"{number}" * 20_000, text=plain_versions.config(size=number))
        yield
    finally:
        subprocess.run(["umount", str(DISK)], check=True)


def leave(pages: int) -> None:
    """Fill the disk until that many pages are free."""
    with FILL.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(0, file.tell() // PAGE - pages) * PAGE)


def tried(work: Callable[[], None], pages: int) -> str:
    """Run the work with that many free pages, then again with room; return how the first run ended."""
    before = state()
    leave(pages)
    try:
        work()
        ended = "done"
    except RepositoryError as error:
        ended = "refused"
        assert "space" in str(error).lower(), str(error)
    after = state()
    FILL.unlink()
    if ended == "refused":
        assert after == before
        assert not (DISK / "out").exists()
        work()
        after = state()
    if work is pack:
        assert after == before
        assert (DISK / "out/m/3/model.onnx").read_bytes() == b"3" * 20_000
        assert sorted(path.name for path in (DISK / "out/m").iterdir()) == ["3", "config.pbtxt"]
    else:
        assert after != before
    assert all(repository.integrity(PLACE, "m", each, shared=False) == () for each in repository.versions(PLACE, "m"))
    assert {path.name for path in DISK.iterdir()} <= {"models", "out"}
    return ended


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("work", [rollback, promote, prune, pack])
def test_a_full_disk_leaves_the_old_state(work: Callable[[], None]) -> None:
    shutil.copytree(PLACE, "backup", symlinks=True)
    ends = []
    for pages in itertools.chain(range(7), range(8, 32, 8)):
        ends.append(tried(work, pages))
        for folder in (PLACE, DISK / "out"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree("backup", PLACE, symlinks=True)
    # Removing versions may need no room at all.
    assert ends[-1] == "done"
    assert "refused" in ends or work is prune, ends
