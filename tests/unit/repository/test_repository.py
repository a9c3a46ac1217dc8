from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support import plain_versions
from tritonize import repository
from tritonize.core import errors, locks
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.spec import schema
from tritonize.triton import config_changes, model_config
from tritonize.workflows import config_conflict, overview

CONFIG = 'name: "m"\nmax_batch_size: 2\n'
PLACE = Path("models")


def stage(run: repository.Run, version: int, *, config: str = CONFIG, content: bytes = b"onnx") -> repository.StagedVersion:
    exported = run.work / "model.onnx"
    exported.write_bytes(content)
    staged = repository.stage(run, "m", version, files={f"{version}/model.onnx": exported}, texts={"config.pbtxt": config})
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


def test_a_new_version_leaves_published_versions_unchanged():
    publish(1)
    before = tree(PLACE)
    publish(2, content=b"other")
    assert repository.versions(PLACE, "m") == (1, 2)
    after = tree(PLACE)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir()) == ["home", "models"]  # no staging is left


def test_the_staging_area_is_next_to_the_repository_and_is_removed():
    with repository.staging(PLACE) as run:
        assert PLACE.absolute() not in run.directory.parents
        assert run.directory.is_dir()
        assert not PLACE.exists()
    assert os.listdir() == ["home"]


def test_after_an_error_only_a_kept_run_stays():
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


def make(folder: Path, *entries: str) -> Path:
    for entry in ("scratch/deep/file", *entries):
        (folder / entry).parent.mkdir(parents=True, exist_ok=True)
        (folder / entry).touch()
    return folder


def test_folders_of_killed_runs_are_removed_and_others_stay():
    with repository.staging(PLACE) as living:
        area = living.directory.parent
        dead = make(area / "20260101-000000-aaaaaa", "alive")
        half_made = make(area / "20260101-000000-aaaaab")  # killed before its lock was there, or half-way through being removed
        kept = make(area / "20260101-000000-aaaaac", "alive", "kept")
        older = make(area / "20260101-000000-aaaaad", "owner.json")  # of a tritonize that wrote its process number
        (older / "owner.json").write_text("[1, 2")
        foreign = make(area / "somebody's own")
        with repository.staging(PLACE):
            assert not dead.exists()
            assert not half_made.exists()
            assert all(folder.is_dir() for folder in (kept, foreign, older, living.directory))
        os.utime(older, (0, 0))
        with repository.staging(PLACE):
            assert not older.exists()


def test_an_existing_version_is_never_overwritten():
    publish(1)
    before = tree(PLACE)
    with pytest.raises(RepositoryError) as caught:
        publish(1, content=b"other")
    assert (caught.value.code, caught.value.exit_code) == ("repository-version-exists", 6)
    assert tree(PLACE) == before


def test_a_different_configuration_is_an_error_unless_allowed():
    publish(1)
    with pytest.raises(RepositoryError) as caught:
        publish(2, config=CONFIG + "# changed\n")
    assert caught.value.code == "repository-config-differs"
    assert "+# changed" in caught.value.details
    assert repository.versions(PLACE, "m") == (1,)
    publish(2, config=CONFIG + "# changed\n", allow_change=True)
    assert (PLACE / "m" / "config.pbtxt").read_text() == CONFIG + "# changed\n"
    assert repository.versions(PLACE, "m") == (1, 2)


def test_a_run_that_ends_while_another_holds_the_lock_removes_the_staging_area():
    area = Path(".models.staging")
    with repository.staging(PLACE):
        descriptor = locks.acquire(area / "lock")  # a second run that begins or ends
        assert descriptor is not None
        threading.Timer(0.2, os.close, [descriptor]).start()
    assert not area.exists()


def test_concurrent_runs_get_different_numbers_which_their_evidence_names():
    """No run fails because another run took its expected number."""
    started = threading.Barrier(8)
    numbers: list[int] = []

    def work() -> None:
        with repository.staging(PLACE) as run:
            staged = stage(run, repository.next_version(PLACE, "m"), content=os.urandom(8))
            started.wait()  # all have a number now, and all the same

            def finish(final: repository.StagedVersion) -> None:
                repository.write_manifest(final, {"verdict": "passed"})

            numbers.append(repository.publish(staged, PLACE, allow_change=False, finish=finish).version)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))
    assert [repository.integrity(PLACE, "m", number) for number in numbers] == [()] * 8
    assert sorted(os.listdir()) == ["home", "models"]


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (lambda folder: (folder / "1" / "model.onnx").write_bytes(b"onnX"), "m/1/model.onnx", "was changed"),
        (lambda folder: (folder / "1" / "model.onnx").unlink(), "m/1/model.onnx", "is missing"),
        (lambda folder: (folder / "config.pbtxt").write_text("x"), "m/config.pbtxt", "was changed"),
        (lambda folder: (folder / "1" / "new.bin").touch(), "m/1/new.bin", "is not in the manifest"),
    ],
)
def test_integrity_names_every_changed_file(damage, where, what):
    publish(1)
    assert repository.integrity(PLACE, "m", 1) == ()
    damage(PLACE / "m")
    (finding,) = repository.integrity(PLACE, "m", 1)
    assert finding.where == where
    assert what in finding.what


def test_a_version_without_or_with_damaged_evidence_is_an_error():
    (PLACE / "m" / "1").mkdir(parents=True)
    with pytest.raises(RepositoryError) as caught:
        repository.read_manifest(PLACE / "m" / "1")
    assert caught.value.code == "version-no-evidence"
    publish(2)
    (PLACE / "m" / "2" / "evidence" / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="damaged"):
        repository.read_manifest(PLACE / "m" / "2")
    (PLACE / "m" / "2" / "evidence" / "manifest.json").write_text('{"schema": 3}')
    with pytest.raises(RepositoryError) as caught:
        repository.read_manifest(PLACE / "m" / "2")
    assert caught.value.code == "manifest-other-kind"


def test_the_manifest_hashes_every_file():
    import hashlib

    folder = publish(1)
    manifest = repository.read_manifest(folder)
    assert manifest["files"] == {
        "1/evidence/report.json": {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2},
        "1/model.onnx": {"sha256": hashlib.sha256(b"onnx").hexdigest(), "bytes": 4},
        "config.pbtxt": {"sha256": hashlib.sha256(CONFIG.encode()).hexdigest(), "bytes": len(CONFIG)},
    }


def test_a_repository_that_is_a_file_or_does_not_exist():
    Path("models").write_text("")
    for place, code in ((Path("models"), "repository-no-directory"), (Path("models/below/it"), "repository-below-file")):
        with pytest.raises(RepositoryError) as caught, repository.staging(place):
            pass
        assert caught.value.code == code
        assert caught.value.found == str(Path("models").absolute())
    with pytest.raises(UsageError, match="no such model repository"):
        repository.models(Path("nowhere"))
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="no model"):
        repository.models(Path("empty"))


def test_a_new_repository_is_synced_in_each_parent_folder(monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink())))
    place = Path("a/b/models")
    with repository.staging(place) as run:
        repository.publish(stage(run, 1), place, allow_change=False)
    assert {str(Path(each).absolute()) for each in (".", "a", "a/b", "a/b/models")} <= set(synced)


def test_a_model_that_is_a_file_or_a_link_and_names_that_are_too_long():
    publish(1)
    (PLACE / "m").rename("elsewhere")
    (PLACE / "m").symlink_to(Path("elsewhere").absolute())
    with pytest.raises(RepositoryError) as caught:
        publish(2)
    assert caught.value.code == "repository-model-is-link"
    (PLACE / "m").unlink()
    (PLACE / "m").touch()
    with pytest.raises(RepositoryError) as caught:
        publish(2)
    assert caught.value.code == "repository-model-is-file"
    for place in (Path("r" * 256), Path("r" * 250)):
        with pytest.raises(RepositoryError) as caught, repository.staging(place):
            pass
        assert caught.value.code == "file-name-too-long"
    assert sorted(os.listdir()) == ["elsewhere", "home", "models"]
    described = {"source": "m.onnx", "inputs": {"x": {"shape": [1]}}}
    with pytest.raises(ValidationError, match="too long"):
        schema.Spec.model_validate({"schema": 1, "models": {"m" * 256: described}})
    assert len(model_config.label_filename("y" * 256, "a")) <= 255  # of an output's name no folder is made


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENAMETOOLONG])
def test_a_refused_write_is_a_repository_error(number):
    with pytest.raises(RepositoryError) as caught, errors.storage_errors(Path("there")):
        raise OSError(number, os.strerror(number), "there/file")
    assert caught.value.where == "there/file"
    with pytest.raises(OSError, match="Broken pipe"), errors.storage_errors(Path("there")):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_the_text_of_a_configuration_that_says_the_same_stays():
    publish(1)
    before = tree(PLACE)
    commented = f"# chosen by hand\n{CONFIG}"
    with repository.staging(PLACE) as run:
        staged = stage(run, 2, config=commented)
        repository.publish(staged, PLACE, allow_change=False, compare=config_changes.between)
    assert (PLACE / "m" / "config.pbtxt").read_text() == CONFIG
    after = tree(PLACE)
    assert {name: after[name] for name in before} == before


def test_line_endings_of_a_configuration_stay():
    """They are part of what the manifest hashes, in a first version and in a second with the same file."""
    text = CONFIG.replace("\n", "\r\n")
    for number in (1, 2):
        plain_versions.publish(PLACE, f"content {number}", text=text, allow_change=False, compare=config_changes.between)
        assert (PLACE / "m" / "config.pbtxt").read_bytes() == text.encode()
        assert repository.integrity(PLACE, "m", number) == ()
    assert config_conflict.kept(PLACE, "m", CONFIG) == text  # what is proven is what will be published


def test_a_configuration_that_is_not_utf8_is_another_one():
    publish(1)
    path = PLACE / "m" / "config.pbtxt"
    path.write_bytes(b"# caf\xe9\n" + CONFIG.encode())
    with repository.staging(PLACE) as run:
        staged = stage(run, 2)
        with pytest.raises(RepositoryError) as caught:
            repository.publish(staged, PLACE, allow_change=False, compare=config_changes.between)
        assert "not UTF-8" in caught.value.details[0]
        assert config_conflict.kept(PLACE, "m", CONFIG) == CONFIG
        repository.publish(staged, PLACE, allow_change=True, compare=config_changes.between)
    assert path.read_text() == CONFIG
    path.write_bytes(b"\xff")
    described = {"source": "m.onnx", "inputs": {"x": {"shape": [1]}}}
    with pytest.raises(RepositoryError) as caught:  # before the export, not after it
        config_conflict.require_none(PLACE, "m", schema.Model.model_validate(described))
    assert "not a valid configuration" in caught.value.details[0]


def test_a_configuration_written_by_hand_loses_no_field_unasked():
    wanted = model_config.parse(CONFIG, where="")
    (PLACE / "m").mkdir(parents=True)
    config_conflict.require_nothing_dropped(PLACE, "m", wanted)  # nothing is published yet
    (PLACE / "m" / "config.pbtxt").write_text(CONFIG + 'default_model_filename: "net.onnx"\n')
    with pytest.raises(RepositoryError) as caught:
        config_conflict.require_nothing_dropped(PLACE, "m", wanted)
    assert caught.value.code == "repository-config-drops"
    assert caught.value.details == ("default_model_filename: net.onnx",)
    (PLACE / "m" / "config.pbtxt").write_text(CONFIG.replace("2", "1"))
    config_conflict.require_nothing_dropped(PLACE, "m", wanted)  # changed, not dropped


def test_a_field_of_a_proven_configuration_may_be_dropped():
    publish(1, config=CONFIG + 'default_model_filename: "net.onnx"\n')
    config_conflict.require_nothing_dropped(PLACE, "m", model_config.parse(CONFIG, where=""))


@pytest.mark.parametrize(
    ("field", "value"),
    [("notes", 5), ("versions", []), ("spec", "text"), ("verdict", {"a": 1}), ("version", "1"), ("created", None), ("onnx", [1])],
)
def test_a_manifest_whose_fields_have_other_types_is_damaged(field, value):
    publish(1)
    path = PLACE / "m" / "1" / "evidence" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(RepositoryError, match=f"`{field}` is no "):
        repository.read_manifest(PLACE / "m" / "1")
    (line,) = overview.listing(PLACE)
    assert line.versions[0].problem == "The version's manifest is damaged."


def test_of_many_models_an_error_names_the_most_similar():
    for number in range(30):
        (PLACE / f"model{number}" / "1").mkdir(parents=True)
        (PLACE / f"model{number}" / "config.pbtxt").touch()
    with pytest.raises(UsageError) as refused:
        overview.show(PLACE, "model29x")
    assert refused.value.expected.startswith("model29, ")
    assert refused.value.expected.endswith(" and 20 more")
