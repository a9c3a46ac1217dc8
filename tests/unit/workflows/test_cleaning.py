"""`tritonize clean` removes what is left behind, and nothing else: no link is followed, and what is in use stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import publish
from tritonize.cli import clean
from tritonize.core import locks, temporary
from tritonize.workflows import cleaning

PLACE = Path("model_repository")
AREA = Path(".model_repository.staging")
OUTSIDE = Path("precious")


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a folder for temporary files of the test's own, and a folder that nothing may touch."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(cleaning, "places", lambda: [tmp_path / "tmp"])
    monkeypatch.setattr(cleaning.runtimes, "current", frozenset)
    monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
    OUTSIDE.mkdir()
    (OUTSIDE / "file").write_text("stays")


def run(number: int, *, content: str = "x" * 1000, kept: bool = False) -> Path:
    folder = AREA / f"20260101-00000{number}-abcdef"
    (folder / "scratch").mkdir(parents=True)
    (folder / "scratch" / "model.onnx").write_text(content)
    (folder / "alive").touch()
    if kept:
        (folder / "kept").touch()
    return folder


def cached(name: str) -> Path:
    path = Path("cache") / name
    path.mkdir(parents=True)
    (path / ".complete").touch()
    return path


def found(*, with_cache: bool = True) -> dict[str, str]:
    return {each.path.name: each.kind for each in cleaning.find([PLACE], with_cache=with_cache).leftovers}


def test_it_lists_with_size_and_age_and_removes_only_when_told_to() -> None:
    publish(PLACE, "model")
    dead, failed = run(1), run(2, kept=True)
    os.utime(dead, (0, 0))
    refused = invoke("clean")
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    shown = invoke("clean", "--dry-run")
    assert shown.returncode == 0
    assert "files of a killed run" in shown.stdout
    assert "a version that was not published, with its report" in shown.stdout
    assert "1000 B" in shown.stdout
    assert " days" in shown.stdout
    assert "in 2 entries to remove" in shown.stdout
    assert dead.is_dir()
    done = invoke("clean", "--yes")
    assert done.returncode == 0
    assert not dead.exists()
    assert not failed.exists()
    assert (PLACE / "m" / "1" / "model.onnx").read_text() == "model"
    assert invoke("clean").stdout == "nothing to remove\n"


def test_a_run_at_work_stays() -> None:
    path = run(1)
    held = locks.acquire(path / "alive")
    assert held is not None
    try:
        assert cleaning.find([PLACE], with_cache=False).in_use == (path.absolute(),)
        assert json.loads(invoke("clean", "--yes", "--json").stdout) == {"entries": [], "in_use": [str(path.absolute())]}
        assert path.is_dir()
    finally:
        os.close(held)
    (leftover,) = cleaning.find([PLACE], with_cache=False).leftovers
    area = locks.acquire(AREA / "lock")  # a process makes a run here now
    assert area is not None
    try:
        assert not cleaning.remove(leftover)
    finally:
        os.close(area)
    assert cleaning.remove(leftover)


def test_no_link_is_followed() -> None:
    path = run(1)
    (path / "scratch" / "link").symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    (AREA / "20260101-000009-abcdef").symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    (AREA / "20260101-000008-abcdef").symlink_to(OUTSIDE.absolute() / "file")
    (AREA / "mine").mkdir()
    entry = cached("plans/one")
    (entry / "link").symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    (Path("cache") / "plans" / "two").symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    (Path("cache") / "server").symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    assert found() == {path.name: "files of a killed run", "one": "a TensorRT plan in the cache"}
    assert invoke("clean", "--yes", "--cache").returncode == 0
    assert not path.exists()
    assert not entry.exists()
    assert (OUTSIDE / "file").read_text() == "stays"
    assert {each.name for each in AREA.iterdir()} >= {"20260101-000009-abcdef", "20260101-000008-abcdef", "mine"}


def test_a_staging_area_that_is_a_link_is_none() -> None:
    (OUTSIDE / "20260101-000001-abcdef").mkdir()
    AREA.symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    assert found() == {}


def test_a_folder_that_becomes_a_link_after_it_was_listed_is_not_followed() -> None:
    path = run(1)
    (leftover,) = cleaning.find([PLACE], with_cache=False).leftovers
    path.rename("moved")
    path.symlink_to(OUTSIDE.absolute(), target_is_directory=True)
    assert not cleaning.remove(leftover)
    assert (OUTSIDE / "file").read_text() == "stays"


def test_the_cache_is_cleaned_only_on_request_and_without_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, old, current = cached("plans/one"), cached("server/triton-old"), cached("server/triton-new")
    (Path("cache") / "timings").mkdir()
    (Path("cache") / "timings" / "a.cache").write_text("times")
    (Path("cache") / "reports").mkdir()
    (Path("cache") / "reports" / "page.html").write_text("page")
    monkeypatch.setattr(cleaning.runtimes, "current", lambda: frozenset([current.absolute()]))
    assert found(with_cache=False) == {}
    assert list(found()) == ["one", "a.cache", "page.html", "triton-old"]
    with (old / "tritonserver").open("w"):
        listed = cleaning.find([PLACE], with_cache=True)
        assert listed.in_use == (old.absolute(),)
        assert "triton-old" not in {each.path.name for each in listed.leftovers}
    assert invoke("clean", "--cache", "--yes").returncode == 0
    assert (plan.exists(), old.exists(), current.exists()) == (False, False, True)


def test_temporary_folders_of_killed_processes(tmp_path: Path) -> None:
    with temporary.folder(inside=tmp_path / "tmp") as at_work:
        left = tmp_path / "tmp" / "tritonize_scratch_abcdefgh"
        left.mkdir(mode=0o700)
        (tmp_path / "tmp" / "tritonize_scratch_of_mine").mkdir()
        assert found() == {left.name: "temporary files of a killed process"}
        assert invoke("clean", "--yes").returncode == 0
        assert at_work.is_dir()
    assert [each.name for each in (tmp_path / "tmp").iterdir()] == ["tritonize_scratch_of_mine"]


@pytest.mark.parametrize(("seconds", "text"), [(5, "now"), (60, "1 minute"), (7300, "2 hours"), (864000, "10 days")])
def test_ages(seconds: float, text: str) -> None:
    assert clean.age(seconds) == text
