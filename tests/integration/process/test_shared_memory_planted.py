"""Files that another user creates in /dev/shm with a server's prefix are neither followed nor waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonize.process import cleanup, processes

PREFIX = f"tritonize-test-planted-{os.getpid()}-"


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Create a folder, a pipe and a link of another user, and two files of the server, of which one sorts last."""
    (tmp_path / "precious").touch(mode=0o644)
    paths = {name: cleanup.SHARED_MEMORY / f"{PREFIX}{name}" for name in ("a-own", "folder", "link", "pipe", "z-own")}
    paths["folder"].mkdir()
    paths["link"].symlink_to(tmp_path / "precious")
    os.mkfifo(paths["pipe"])
    for name in ("a-own", "z-own"):
        paths[name].touch(mode=0o644)
    if os.getuid() == 0:
        for name in ("folder", "link", "pipe"):
            os.chown(paths[name], 65534, 65534, follow_symlinks=False)
    yield paths
    for path in paths.values():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_link_is_not_followed_when_memory_is_closed(planted: dict[str, Path], tmp_path: Path) -> None:
    cleanup.close_shared_memory(PREFIX)
    assert stat.S_IMODE((tmp_path / "precious").stat().st_mode) == 0o644
    assert [stat.S_IMODE(planted[name].stat().st_mode) for name in ("a-own", "z-own")] == [0o600, 0o600]


def test_it_does_not_keep_the_own_files_there(planted: dict[str, Path], tmp_path: Path) -> None:
    cleanup.remove_shared_memory(PREFIX)
    assert not planted["a-own"].exists()
    assert not planted["z-own"].exists()
    assert planted["folder"].is_dir()
    assert (tmp_path / "precious").exists()


def test_a_process_under_that_prefix_ends(planted: dict[str, Path], tmp_path: Path) -> None:
    ended = processes.start(["true"], log=tmp_path / "log", shm_prefix=PREFIX).wait(30)
    assert ended.exit_code == 0
    assert not planted["a-own"].exists()
    assert not planted["z-own"].exists()
    assert planted["folder"].is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_of_another_user_stay(planted: dict[str, Path], tmp_path: Path) -> None:
    os.chown(planted["z-own"], 65534, 65534)
    cleanup.close_shared_memory(PREFIX)
    processes.start(["true"], log=tmp_path / "log", shm_prefix=PREFIX).wait(30)
    cleanup.remove_shared_memory(PREFIX)
    assert stat.S_IMODE(planted["z-own"].stat().st_mode) == 0o644
    assert planted["link"].is_symlink()
