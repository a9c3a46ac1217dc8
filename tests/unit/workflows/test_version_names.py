"""Names of models and repositories that a person may give: nothing outside of the repository is read or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.workflows import packing, promotion, pruning


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["../outside/m", "..", ".", "", "/etc", "m/../../outside/m", "m\0x", "m" * 300])
def test_a_name_that_leads_outside_is_no_model(name):
    publish(Path("outside"), "one")
    publish(Path("models"), "one")
    publish(Path("models"), "two")
    before = tree(Path())
    for arguments in (
        ("show", "models", name),
        ("rollback", "models", name),
        ("promote", "models", name, "1"),
        ("prune", "models", "--keep", "1", "-m", name),
        ("pack", "models", "out", "-m", name),
        ("list", "models", "-m", name),
    ):
        done = invoke(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "no such model" in " ".join(done.stderr.split())
    assert tree(Path()) == before


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("my model", "models"),
        ("модель", "модели.d"),
        ("m.v2", "mes modèles"),
        ("-m", "models"),
        ("é" * 127, "mes modèles"),
        ("m" * 255, "models"),
    ],
)
def test_models_and_repositories_of_any_name_are_changed_and_packed(name, place):
    root = Path(place)
    numbers = [publish(root, str(number), name=name, text=config("m", size=number)) for number in (1, 2, 3)]
    assert numbers == [1, 2, 3]
    assert promotion.rollback(promotion.Request(repository=root, model=name)).after == (2,)
    (removal,) = pruning.prune(pruning.Request(repository=root, keep=1))
    assert (removal.error, removal.removed) == (None, (1,))
    assert packing.pack(root, Path("out")).versions == {name: (2,)}
    assert [repository.integrity(root, name, version) for version in (2, 3)] == [(), ()]
    assert sorted(os.listdir()) == sorted(["home", "out", place])
    assert Path("out", name, "2", "model.onnx").read_text() == "2"


def test_a_version_that_is_a_link_leads_nowhere():
    publish(Path("outside"), "one")
    for number in ("1", "2", "3"):
        publish(Path("models"), number)
    before = tree(Path("outside"))
    (Path("models/m/1") / "model.onnx").unlink()
    (Path("models/m/1") / "model.onnx").symlink_to(Path("outside/m/1/model.onnx").absolute())
    with pytest.raises(RepositoryError) as caught:
        promotion.promote(promotion.Request(repository=Path("models"), model="m", version=1))
    assert caught.value.code == "version-changed-not-served"
    pruning.prune(pruning.Request(repository=Path("models"), keep=1))
    assert repository.versions(Path("models"), "m") == (3,)
    assert tree(Path("outside")) == before


@pytest.mark.parametrize("work", ["rollback", "prune"])
def test_a_repository_that_cannot_be_written_is_unchanged(work, monkeypatch):
    for number in ("1", "2", "3"):
        publish(Path("models"), number)
    before = tree(Path("models"))

    def refused(*_arguments: object, **_named: object) -> None:
        raise OSError(30, "Read-only file system", "models/m")

    monkeypatch.setattr(os, "link", refused)
    done = invoke(work, "models", *(["m"] if work == "rollback" else ["--keep", "1"]))
    assert done.returncode == 6
    assert "Read-only" in done.stderr + done.stdout or "read-only" in done.stderr + done.stdout
    assert tree(Path("models")) == before
    assert sorted(os.listdir()) == ["home", "models"]
