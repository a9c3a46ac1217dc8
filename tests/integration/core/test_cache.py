"""The cache: built once, never half, clear about what is in the way."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tritonize.core import cache, errors


class TestDirectory:
    def test_the_cache_is_in_tritonize_cache_if_it_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        monkeypatch.setenv("TRITONIZE_CACHE", "/own")
        assert cache.directory() == Path("/own")

    def test_the_cache_is_below_xdg_cache_home_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TRITONIZE_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert cache.directory() == Path("/xdg/tritonize")

    def test_the_cache_is_in_the_home_directory_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TRITONIZE_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", "/home/someone")
        assert cache.directory() == Path("/home/someone/.cache/tritonize")


def fill(staging: Path) -> None:
    (staging / "file").write_text("content")


def never(_: Path) -> None:
    raise AssertionError("it was built again")


def slow_build(place: str, results: multiprocessing.Queue[str]) -> None:
    def build(staging: Path) -> None:
        time.sleep(0.5)
        (staging / "file").write_text(str(os.getpid()))

    results.put((cache.build_once(Path(place), build) / "file").read_text())


class TestBuildOnce:
    def test_an_entry_is_built_once_and_used_again(self, tmp_path: Path) -> None:
        place = tmp_path / "not" / "yet" / "key"
        assert not cache.is_complete(place)
        assert cache.build_once(place, fill) == place
        assert cache.is_complete(place)
        cache.build_once(place, never)
        assert (place / "file").read_text() == "content"

    def test_a_failed_build_leaves_no_files(self, tmp_path: Path) -> None:
        def build(staging: Path) -> None:
            fill(staging)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.build_once(tmp_path / "cache" / "key", build)
        assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []

    def test_an_entry_that_fails_its_check_is_removed(self, tmp_path: Path) -> None:
        def check(staging: Path) -> None:
            assert (staging / "file").exists()
            raise errors.MissingError("It does not work.")

        with pytest.raises(errors.MissingError, match="does not work"):
            cache.build_once(tmp_path / "key", fill, check=check)
        assert not (tmp_path / "key").exists()

    def test_leftovers_of_a_killed_build_are_replaced(self, tmp_path: Path) -> None:
        for name in ("key", "key.staging"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "half").write_text("")
        cache.build_once(tmp_path / "key", fill)
        assert sorted(path.name for path in (tmp_path / "key").iterdir()) == [".complete", "file"]

    def test_several_processes_build_it_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        results: multiprocessing.Queue[str] = context.Queue()
        workers = [context.Process(target=slow_build, args=(str(tmp_path / "key"), results)) for _ in range(3)]
        for worker in workers:
            worker.start()
        builders = {results.get(timeout=30) for _ in workers}
        for worker in workers:
            worker.join()
        assert len(builders) == 1

    def test_the_wait_for_another_process_ends_when_it_is_cancelled_or_too_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "_PROGRESS_INTERVAL_S", 0.1)
        cancelled, late, progress = threading.Event(), threading.Event(), []
        threading.Thread(target=lambda: (time.sleep(20), late.set()), daemon=True).start()  # rather than wait for ever
        with FileLock(tmp_path / "key.lock"):
            with pytest.raises(TimeoutError, match="still building key"):
                cache.build_once(tmp_path / "key", never, deadline_s=0.1, cancelled=late)
            threading.Timer(0.5, cancelled.set).start()
            started = time.monotonic()
            with pytest.raises(errors.InterruptedRunError):
                cache.build_once(tmp_path / "key", never, on_progress=progress.append, cancelled=cancelled, deadline_s=60)
            assert time.monotonic() - started < 10
        assert "waiting for another process that builds key" in progress
        cache.build_once(tmp_path / "key", fill, cancelled=threading.Event(), deadline_s=0.1)

    def test_a_dropped_entry_is_built_again(self, tmp_path: Path) -> None:
        cache.build_once(tmp_path / "key", fill)
        (tmp_path / "key" / "file").write_text("damage")
        cache.drop(tmp_path / "key")
        assert not cache.is_complete(tmp_path / "key")
        cache.build_once(tmp_path / "key", fill)
        assert (tmp_path / "key" / "file").read_text() == "content"

    def test_an_entry_that_another_process_has_locked_is_not_dropped(self, tmp_path: Path) -> None:
        cache.build_once(tmp_path / "key", fill)
        with FileLock(tmp_path / "key.lock"):
            cache.drop(tmp_path / "key")
        assert cache.is_complete(tmp_path / "key")

    def test_a_cache_directory_that_is_a_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(errors.RepositoryError) as caught:
            cache.build_once(tmp_path / "cache" / "key", fill)
        assert caught.value.code == "folder-not-writable"
        assert "TRITONIZE_CACHE" in (caught.value.next_step or "")

    @pytest.mark.parametrize(
        ("number", "kind"), [(errno.EROFS, errors.RepositoryError), (errno.ENOSPC, errors.RepositoryError), (errno.EIO, OSError)]
    )
    def test_an_error_of_the_disk_removes_the_unfinished_entry(self, number: int, kind: type[Exception], tmp_path: Path) -> None:
        def build(staging: Path) -> None:
            raise OSError(number, os.strerror(number), str(staging / "file"))

        with pytest.raises(kind):
            cache.build_once(tmp_path / "key", build)
        assert not (tmp_path / "key.staging").exists()


class TestKeepWithin:
    """The least recently used goes first."""

    @pytest.fixture
    def entries(self, tmp_path: Path) -> list[Path]:
        """Four of a kilobyte, used a minute apart, the first one longest ago."""
        made = [cache.build_once(tmp_path / name, lambda folder: (folder / "file").write_bytes(bytes(1024))) for name in "dbca"]
        for minutes, path in enumerate(reversed(made)):
            os.utime(path / cache._MARKER, (0, 1e9 - 60 * minutes))
        return made

    @pytest.mark.parametrize(("bound", "left"), [(4096, 4), (4095, 3), (2048, 2), (1500, 1), (0, 1)])
    def test_the_most_recent_entries_stay_within_the_bound_and_the_newest_always(self, entries, bound, left):
        cache.keep_within(entries[0].parent, bound)
        assert [path.exists() for path in entries] == [False] * (4 - left) + [True] * left

    def test_an_entry_that_was_used_counts_as_recent(self, entries):
        cache.touch(entries[0])
        cache.keep_within(entries[0].parent, 2048)
        assert [path.exists() for path in entries] == [True, False, False, True]

    def test_an_entry_in_use_stays(self, entries):
        seen = []

        def use(path: Path) -> None:
            cache.keep_within(path.parent, 0)
            cache.drop(path)
            seen.append((path / "file").read_bytes())

        cache.build_once(entries[0], never, use=use)
        assert seen == [bytes(1024)]
        assert [path.exists() for path in entries] == [True, False, False, True]

    def test_an_entry_that_was_used_meanwhile_stays(self, entries):
        before = cache._used(entries[0])
        cache.touch(entries[0])
        cache.drop(entries[0], used=before)
        assert cache.is_complete(entries[0])

    def test_an_entry_that_is_being_built_stays_and_a_leftover_is_removed(self, entries):
        place = entries[0].parent / "new"

        def build(staging: Path) -> None:
            fill(staging)
            (staging / cache._MARKER).touch()  # as in the moment before it is renamed
            cache.keep_within(place.parent, 0)

        assert (cache.build_once(place, build) / "file").is_file()
        leftover = entries[0].parent / "left.staging"
        leftover.mkdir()
        cache.keep_within(place.parent, 10_000)
        assert not leftover.exists()
        assert cache.is_complete(place)

    def test_an_entry_of_a_read_only_cache_is_used(self, entries, monkeypatch):
        def refused(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(cache, "_acquire", refused)
        seen = []
        cache.build_once(entries[0], never, use=seen.append)
        assert seen == [entries[0]]

    def test_touching_a_missing_entry_does_nothing(self, tmp_path):
        cache.touch(tmp_path / "none")
