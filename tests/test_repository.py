from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from tritonize import errors, repository
from tritonize.errors import RepositoryError, UsageError

CONFIG = 'name: "m"\nmax_batch_size: 2\n'
PLACE = Path("models")


def stage(run: repository.Run, version: int, *, config: str = CONFIG, content: bytes = b"onnx") -> repository.StagedVersion:
    exported = run.work / "model.onnx"
    exported.write_bytes(content)
    staged = repository.stage(run, "m", version, {f"{version}/model.onnx": exported}, {"config.pbtxt": config})
    (staged.version_directory / "evidence").mkdir()
    (staged.version_directory / "evidence" / "report.json").write_text("{}")
    repository.write_manifest(staged, {"verdict": "passed"})
    return staged


def publish(version: int, *, config: str = CONFIG, allow_change: bool = False, content: bytes = b"onnx") -> Path:
    with repository.staging(PLACE) as run:
        return repository.publish(
            stage(run, version, config=config, content=content), PLACE, allow_change=allow_change
        ).version_directory


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


def test_versions_are_published_beside_each_other_and_nothing_is_touched_again():
    publish(1)
    before = tree(PLACE)
    publish(2, content=b"other")
    assert repository.versions(PLACE, "m") == (1, 2)
    after = tree(PLACE)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir()) == ["home", "models"]  # no staging is left


def test_staging_lies_beside_the_repository_and_is_gone_afterwards():
    with repository.staging(PLACE) as run:
        assert PLACE.absolute() not in run.directory.parents
        assert run.directory.is_dir()
        assert not PLACE.exists()
    assert os.listdir() == ["home"]


def test_an_error_leaves_nothing_a_kept_run_stays():
    with pytest.raises(RuntimeError), repository.staging(PLACE) as run:
        stage(run, 1)
        raise RuntimeError
    assert os.listdir() == ["home"]
    with repository.staging(PLACE) as run:
        stage(run, 1)
        run.keep()
    assert (run.root / "m" / "1" / "model.onnx").is_file()
    with repository.staging(PLACE):
        pass  # a later run does not sweep it
    assert run.root.is_dir()


def test_what_a_killed_run_left_is_swept_and_a_living_one_is_not():
    with repository.staging(PLACE) as living:
        dead = living.directory.parent / "dead"
        dead.mkdir()
        owner = json.loads((living.directory / "owner.json").read_text())
        (dead / "owner.json").write_text(json.dumps({**owner, "pid": 2**22 + 1}))
        reused = living.directory.parent / "reused"
        reused.mkdir()
        (reused / "owner.json").write_text(json.dumps({**owner, "started": "1"}))
        foreign = living.directory.parent / "foreign"
        foreign.mkdir()
        (foreign / "owner.json").write_text(json.dumps({**owner, "pid": 2**22 + 1, "namespace": "another container's"}))
        with repository.staging(PLACE):
            assert not dead.exists()
            assert not reused.exists()
            assert foreign.is_dir()
            assert living.directory.is_dir()


def test_an_existing_version_is_never_overwritten():
    publish(1)
    before = tree(PLACE)
    with pytest.raises(RepositoryError, match="never overwritten") as caught:
        publish(1, content=b"other")
    assert caught.value.exit_code == 6
    assert tree(PLACE) == before


def test_another_configuration_is_refused_unless_asked_for():
    publish(1)
    with pytest.raises(RepositoryError, match="differs from the one in place") as caught:
        publish(2, config=CONFIG + "# changed\n")
    assert "+# changed" in caught.value.details
    assert repository.versions(PLACE, "m") == (1,)
    publish(2, config=CONFIG + "# changed\n", allow_change=True)
    assert (PLACE / "m" / "config.pbtxt").read_text() == CONFIG + "# changed\n"
    assert repository.versions(PLACE, "m") == (1, 2)


def test_of_many_runs_at_once_one_publishes_the_version():
    outcomes: list[str] = []

    def work() -> None:
        try:
            publish(1, content=os.urandom(8))
            outcomes.append("published")
        except RepositoryError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["published"] + ["refused"] * 5
    assert repository.integrity(PLACE, "m", 1) == ()


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (lambda folder: (folder / "1" / "model.onnx").write_bytes(b"onnX"), "m/1/model.onnx", "was changed"),
        (lambda folder: (folder / "1" / "model.onnx").unlink(), "m/1/model.onnx", "is missing"),
        (lambda folder: (folder / "config.pbtxt").write_text("x"), "m/config.pbtxt", "was changed"),
        (lambda folder: (folder / "1" / "new.bin").touch(), "m/1/new.bin", "is not in the manifest"),
    ],
)
def test_integrity_names_what_was_changed(damage, where, what):
    publish(1)
    assert repository.integrity(PLACE, "m", 1) == ()
    damage(PLACE / "m")
    (finding,) = repository.integrity(PLACE, "m", 1)
    assert finding.where == where
    assert what in finding.what


def test_a_version_without_or_with_damaged_evidence_is_an_error():
    (PLACE / "m" / "1").mkdir(parents=True)
    with pytest.raises(RepositoryError, match="carries no evidence"):
        repository.read_manifest(PLACE / "m" / "1")
    publish(2)
    (PLACE / "m" / "2" / "evidence" / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="damaged"):
        repository.read_manifest(PLACE / "m" / "2")
    (PLACE / "m" / "2" / "evidence" / "manifest.json").write_text('{"schema": 2}')
    with pytest.raises(RepositoryError, match="another kind"):
        repository.read_manifest(PLACE / "m" / "2")


def test_the_manifest_hashes_every_file():
    import hashlib

    folder = publish(1)
    manifest = repository.read_manifest(folder)
    assert manifest["files"] == {
        "1/evidence/report.json": {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2},
        "1/model.onnx": {"sha256": hashlib.sha256(b"onnx").hexdigest(), "bytes": 4},
        "config.pbtxt": {"sha256": hashlib.sha256(CONFIG.encode()).hexdigest(), "bytes": len(CONFIG)},
    }


def test_a_repository_that_is_a_file_or_is_not_there():
    Path("models").write_text("")
    with pytest.raises(RepositoryError, match="no directory"), repository.staging(Path("models")):
        pass
    with pytest.raises(UsageError, match="no such model repository"):
        repository.models(Path("nowhere"))
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="no model"):
        repository.models(Path("empty"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_the_system_refusing_to_write_is_a_repository_error(number):
    with pytest.raises(RepositoryError) as caught, errors.storage_errors(Path("there")):
        raise OSError(number, os.strerror(number), "there/file")
    assert caught.value.where == "there/file"
    with pytest.raises(OSError, match="Broken pipe"), errors.storage_errors(Path("there")):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
