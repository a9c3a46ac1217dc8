"""Leftovers of killed processes are removed: temporary folders, folders of the server, shared memory."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from tests.support.waiting import eventually, killed
from tritonize.core import temporary
from tritonize.process import cleanup, processes
from tritonize.triton.client import shm_region
from tritonize.triton.client.shm_region import Region


class TestFolders:
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))

    def test_the_owners_alone_and_gone_afterwards(self) -> None:
        with temporary.folder() as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "file").touch()
        assert not folder.exists()

    def test_one_that_is_in_use_stays(self) -> None:
        with temporary.folder() as first, temporary.folder() as second:
            temporary.remove_left(first.parent)
            assert first.is_dir()
            assert second.is_dir()

    def test_one_of_a_process_that_was_killed_goes(self, tmp_path: Path) -> None:
        code = (
            "import time; from tritonize.core import temporary as scratch\n"
            "with scratch.folder() as f: (f / 'x').touch(); print('ready', flush=True); time.sleep(60)"
        )
        killed(code)
        (left,) = (tmp_path / "temporary").iterdir()
        assert (left / "x").exists()
        with temporary.folder():
            assert not left.exists()

    def test_one_that_was_never_locked_goes_after_an_hour(self, tmp_path: Path) -> None:
        names = (".tritonize_scratch_new_0000", ".tritonize_scratch_old_0000", "tritonize-other")
        new, old, other = (tmp_path / "temporary" / name for name in names)
        for each in (new, old, other):
            each.mkdir(mode=0o700)
        os.utime(old, (time.time() - 4000,) * 2)
        temporary.remove_left(tmp_path / "temporary")
        assert (new.exists(), old.exists(), other.exists()) == (True, False, True)

    def test_the_users_own_folders_stay(self, tmp_path: Path) -> None:
        names = ("tritonize_models", "tritonize_results", "tritonize_scratch_old", "tritonize_scratch_of_mine_", ".tritonize_cfg")
        mine = [tmp_path / "temporary" / name for name in names]
        for each in mine:
            each.mkdir()
            (each / "best.pt").touch()
            os.utime(each, (time.time() - 4000,) * 2)
        (tmp_path / "temporary" / "tritonize_12345678").mkdir(mode=0o700)
        temporary.remove_left(tmp_path / "temporary")
        assert all((each / "best.pt").exists() for each in mine)
        assert (tmp_path / "temporary" / "tritonize_12345678").exists()

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir(mode=0o700)
        (tmp_path / "temporary" / "tritonize_scratch_link0000").symlink_to(tmp_path / "mine")
        temporary.remove_left(tmp_path / "temporary")
        assert (tmp_path / "mine").exists()

    def test_a_plain_name_where_one_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a blank").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a blank"))
        with temporary.folder(plain=True) as folder:
            assert " " not in str(folder)
        with temporary.folder() as folder:
            assert folder.parent == tmp_path / "a blank"


class TestEmptyFolders:
    """The empty folders that each server creates."""

    def test_the_guard_removes_them_when_the_tool_is_killed(self, tmp_path: Path) -> None:
        for name in ("python_env_empty", "python_env_full", "other"):
            (tmp_path / name).mkdir()
        (tmp_path / "python_env_full" / "file").touch()
        sleep = tmp_path / "a-server-of-a-test"
        sleep.symlink_to("/bin/sleep")
        code = (
            "from pathlib import Path; from tritonize.process import processes; import time\n"
            f"here = Path({str(tmp_path)!r})\n"
            f"processes.start([{str(sleep)!r}, '60'], log=here / 'log', empty_folders=str(here / 'python_env_*'))\n"
            "print('ready', flush=True); time.sleep(60)"
        )
        killed(code)
        assert eventually(lambda: not (tmp_path / "python_env_empty").exists(), 10)
        assert (tmp_path / "python_env_full").exists()
        assert (tmp_path / "other").exists()

    def test_they_stay_while_another_of_that_name_runs(self, tmp_path: Path) -> None:
        (tmp_path / "python_env_empty").mkdir()
        options = {"log": tmp_path / "log", "empty_folders": str(tmp_path / "python_env_*"), "grace_s": 0.5}
        with processes.start(["sleep", "60"], **options):  # type: ignore[arg-type]
            with processes.start(["sleep", "60"], **options):  # type: ignore[arg-type]
                pass
            assert (tmp_path / "python_env_empty").exists()


class TestRegions:
    def test_a_name_only_until_a_server_has_opened_it(self) -> None:
        made = Region("tritonize-test-", 4096)
        path = cleanup.SHARED_MEMORY / made.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        shm_region.remove_stale()
        assert path.exists()  # its process lives
        made.unlink()
        assert not path.exists()
        made.buffer[:4] = b"abcd"
        made.close()

    def test_one_of_a_process_that_was_killed_goes(self) -> None:
        code = (
            "import time; from tritonize.triton.client.shm_region import Region\n"
            "r = Region(sys.argv[1], 4096); print('ready', flush=True); time.sleep(60)"
        )
        killed(code, "tritonize-test-killed-")
        left = list(cleanup.SHARED_MEMORY.glob("tritonize-test-killed-*"))
        assert len(left) == 1
        shm_region.remove_stale()
        assert not left[0].exists()
