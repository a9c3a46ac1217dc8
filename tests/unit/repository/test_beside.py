"""Files beside a model's versions, in folders too: named variants of the configuration, and inputs of the warmup."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.support import plain_versions
from tests.support.memory_store import MemoryStore
from tritonize import remote, repository
from tritonize.core.errors import RepositoryError
from tritonize.remote import pushing
from tritonize.repository import beside
from tritonize.triton import config_changes
from tritonize.workflows import checked_copy, packing, promotion
from tritonize.workflows import push as pushes

PLACE = Path("models")
MODEL = PLACE / "m"
VARIANT = "configs/small.pbtxt"


def config(image: str = "", *, size: int = 2) -> str:
    inputs = f'inputs {{ key: "x" value {{ data_type: TYPE_FP32 dims: [ 1 ] input_data_file: "{image}" }} }}'
    return plain_versions.config(size=size) + (f'model_warmup {{ name: "w" batch_size: 1 {inputs} }}\n' if image else "")


def publish(content: str = "model", *, image: str = "image.1", size: int = 2, **options: object) -> int:
    """Publish a version with an input of its warmup, which has the file's name as its content, and a variant."""
    files = {f"warmup/{image}": image, VARIANT: config(image, size=1)}
    return plain_versions.publish(
        PLACE, content, text=config(image, size=size), beside=files, compare=config_changes.between, **options
    )


def found(version: int) -> list[str]:
    return [f"{each.where}: {each.what}" for each in repository.integrity(PLACE, "m", version)]


@pytest.mark.parametrize(
    ("name", "shared", "is_config"),
    [
        ("config.pbtxt", True, True),
        ("labels.txt", True, False),
        ("configs/a.pbtxt", True, True),
        ("configs/a.txt", True, False),
        ("configs/deeper/a.pbtxt", True, False),
        ("warmup/a/b", True, False),
        ("1/model.onnx", False, False),
        ("0/model.onnx", False, False),
        ("01/model.onnx", True, False),
        ("3", True, False),
        ("../a", False, False),
        ("warmup//a", False, False),
        ("/a", False, False),
    ],
)
def test_which_paths_all_versions_share(name: str, shared: bool, is_config: bool) -> None:
    assert (beside.is_shared(name), beside.is_config(name)) == (shared, is_config)


def test_files_in_folders_are_listed_and_any_change_is_found() -> None:
    publish()
    listed = repository.read_manifest(MODEL / "1")["files"]
    assert {"warmup/image.1", VARIANT, f"1/evidence/{VARIANT}"} <= set(listed)
    assert found(1) == []
    (MODEL / "warmup/image.1").write_text("other")
    (MODEL / VARIANT).write_text(config("image.1", size=4))
    (MODEL / "warmup/unknown").touch()
    (MODEL / "warmup/link").symlink_to("image.1")
    (MODEL / "initial_state/deep").mkdir(parents=True)
    (MODEL / "initial_state/deep/zeros").touch()
    assert sorted(found(1)) == [
        "m/configs/small.pbtxt: the file was changed after it was proven",
        "m/initial_state: the folder is not a version, and no manifest lists it",
        "m/warmup/image.1: the file was changed after it was proven",
        "m/warmup/link: is a symbolic link, and links are not followed",
        "m/warmup/unknown: no version's manifest lists the file",
    ]
    (MODEL / "warmup/image.1").unlink()
    assert "m/warmup/image.1: the file is missing" in found(1)


def test_a_folder_that_is_a_link_is_not_followed() -> None:
    publish()
    shutil.move(MODEL / "warmup", "elsewhere")
    (MODEL / "warmup").symlink_to(Path("elsewhere").absolute())
    assert "m/warmup: is a symbolic link, and links are not followed" in found(1)


def test_a_new_version_adds_its_files_and_the_older_one_keeps_its_own() -> None:
    publish("one")
    publish("two", image="image.2", size=4)
    assert (MODEL / "warmup/image.1").read_text() == "image.1"
    assert (MODEL / "warmup/image.2").read_text() == "image.2"
    assert "image.2" in (MODEL / VARIANT).read_text()
    assert (found(1), found(2)) == ([], [])
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    texts = [(MODEL / name).read_text() for name in ("config.pbtxt", VARIANT)]
    assert all("image.1" in text and "versions: [ 1 ]" in text for text in texts)
    assert (found(1), found(2)) == ([], [])
    (MODEL / VARIANT).write_text(texts[1] + "\n")
    assert found(1) == ["m/configs/small.pbtxt: the file was changed after it was proven"]
    promotion.promote(promotion.Request(repository=PLACE, model="m", replace_config=True))
    assert "image.2" in (MODEL / VARIANT).read_text()
    assert (found(1), found(2)) == ([], [])


def test_a_pin_keeps_the_variants_of_its_version_and_the_new_version_has_its_own_in_its_evidence() -> None:
    publish("one")
    promotion.promote(promotion.Request(repository=PLACE, model="m", version=1))
    before = (MODEL / VARIANT).read_text()
    publish("two", image="image.2", allow_change=False)
    assert (MODEL / VARIANT).read_text() == before
    assert "image.2" in (MODEL / "2/evidence" / VARIANT).read_text()
    assert (found(1), found(2)) == ([], [])


def test_a_variant_that_differs_is_refused_unless_asked() -> None:
    publish("one")
    with pytest.raises(RepositoryError) as refused:
        plain_versions.publish(
            PLACE,
            "two",
            text=config("image.1"),
            beside={VARIANT: config("image.1", size=8)},
            compare=config_changes.between,
            allow_change=False,
        )
    assert refused.value.code == "repository-config-differs"
    assert list(refused.value.details) == ["max_batch_size: 1 -> 8"]
    assert repository.versions(PLACE, "m") == (1,)
    publish("two", allow_change=False)
    assert repository.versions(PLACE, "m") == (1, 2)


def test_an_input_of_the_warmup_is_never_replaced() -> None:
    publish("one")
    with pytest.raises(RepositoryError) as refused:
        plain_versions.publish(PLACE, "two", text=config("image.1"), beside={"warmup/image.1": "another image"})
    assert refused.value.code == "repository-shared-file-differs"
    assert list(refused.value.details) == ["7 bytes are published, 13 other bytes are new"]
    assert (repository.versions(PLACE, "m"), found(1)) == ((1,), [])


def test_files_that_changed_are_not_served(tmp_path: Path) -> None:
    publish()
    private = checked_copy.to_serve(PLACE, ["m"], tmp_path)
    assert private.findings == []
    assert sorted(beside.files(private.root / "m")) == ["config.pbtxt", VARIANT, "warmup/image.1"]


def test_pack_copies_what_configurations_name() -> None:
    publish("one")
    publish("two", image="image.2")
    packing.pack(PLACE, Path("packed"))
    files = {str(path.relative_to("packed/m")) for path in Path("packed/m").rglob("*") if path.is_file()}
    assert files == {"config.pbtxt", VARIANT, "warmup/image.2", "2/model.onnx"}


def test_a_file_is_copied_where_the_filesystem_has_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    publish("one")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    publish("two", image="image.2")
    assert (found(1), found(2)) == ([], [])
    assert not list(MODEL.rglob("*.unfinished"))


def test_push_sends_them_and_a_variant_serves_no_version_before_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_TIMESTAMP_S", 0.0)
    store = MemoryStore()
    monkeypatch.setattr(remote, "open_store", lambda _address: store)
    publish("one")
    request = pushes.Request(repository=PLACE, address="memory://models", replace_config=True)
    pushes.push(request)
    assert store.read("m/warmup/image.1") == b"image.1"
    assert store.read(f"m/{VARIANT}") == (MODEL / VARIANT).read_bytes()
    publish("two", image="image.2")
    seen: list[str] = []

    def look() -> None:
        if "m/2/evidence/manifest.json" in store.entries("m") and "m/2/model.onnx" not in store.entries("m"):
            seen.append(store.read(f"m/{VARIANT}").decode())

    store.after_write = look
    pushes.push(request)
    assert seen
    assert all("versions: [ 1 ]" in text for text in seen)
    assert store.read(f"m/{VARIANT}") == (MODEL / VARIANT).read_bytes()
    store.replace("m/warmup/image.2", b"another")
    with pytest.raises(RepositoryError) as refused:
        pushes.push(request)
    assert refused.value.code == "repository-shared-file-differs"
