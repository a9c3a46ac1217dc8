"""The working copy of a run into a remote repository, here in a folder behind `file://`: what is published, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import small_versions
from tritonize import repository
from tritonize.core.reports import Report
from tritonize.workflows import push, remote_run
from tritonize.workflows.remote_run import WorkingCopy

NAME = small_versions.NAME


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/models"


def run_into(copy: WorkingCopy, weights: float = 1.0) -> Report:
    """What `tritonize run` does with the copy: publish the next version."""
    number = repository.next_version(copy.root, NAME)
    place = small_versions.publish(copy.root, number, small_versions.WEIGHTS * weights)
    note = f"Largest error: see {place}"
    return Report(command="run", model=NAME, version=number, verdict="passed", published=True, location=place, notes=(note,))


def publish(copy: WorkingCopy, report: Report) -> Report:
    (published,) = remote_run.publish(copy, [report], replace_config=False, on_step=lambda _text: None)
    return published


def test_versions_are_numbered_and_published_in_the_store(address: str, tmp_path: Path) -> None:
    for number in (1, 2):
        with remote_run.working_copy(address) as copy:
            report = publish(copy, run_into(copy, number))
        assert report.version == number
        assert report.location is None
        assert f"Published to {address}/{NAME}/{number}." in report.notes
        assert str(copy.root) not in " ".join(report.notes)
    store = tmp_path / "store/models"
    assert repository.versions(store, NAME) == (1, 2)
    for number in (1, 2):
        assert repository.integrity(store, NAME, number) == ()
    assert list(Path.cwd().iterdir()) == []


def test_a_version_whose_number_was_taken_meanwhile_stays_and_can_be_told_apart(address: str, tmp_path: Path) -> None:
    with remote_run.working_copy(address) as copy:
        report = run_into(copy)
        small_versions.publish(tmp_path / "theirs", 1, small_versions.WEIGHTS * 3)
        push.push(push.Request(repository=tmp_path / "theirs", address=address))
        report = publish(copy, report)
    assert not report.published
    assert report.details["error"]["exit_code"] == 6
    assert any("another version 1" in note for note in report.notes)
    (folder,) = Path.cwd().iterdir()
    assert repository.versions(folder / "repository", NAME) == (1,)
    assert repository.integrity(folder / "repository", NAME, 1) == ()
    assert any(f"tritonize push {folder}/repository {address} {NAME}" in note for note in report.notes)


def test_what_did_not_pass_stays_in_the_staging_area_of_the_copy(address: str) -> None:
    with remote_run.working_copy(address) as copy, repository.staging(copy.root) as run:
        (run.root / "report").write_text("it failed")
        run.keep()
    (folder,) = Path.cwd().iterdir()
    assert [path.read_text() for path in folder.rglob("report")] == ["it failed"]
    assert not (folder / "repository").exists()


def test_an_interrupt_during_the_upload_keeps_the_version(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(push, "push_versions", interrupt)
    with pytest.raises(KeyboardInterrupt), remote_run.working_copy(address) as copy:
        publish(copy, run_into(copy))
    (folder,) = Path.cwd().iterdir()
    assert repository.integrity(folder / "repository", NAME, 1) == ()
