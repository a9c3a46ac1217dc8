"""Copies of a repository in a store: what is transferred, and what of it can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.memory_store import MemoryStore
from tritonize import remote
from tritonize.core import onnx_graph
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.remote import Depth

WEIGHTS = 40 * 2**20


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for path, content in {
        "m/config.pbtxt": b'name: "m"',
        "m/1/model.onnx": _large_onnx(),
        "m/1/evidence/manifest.json": b"{}",
        "m/1/evidence/golden/0.npy": b"n" * 1000,
        "m/2/model.onnx.data": b"w" * (2 * 2**20),
        "other/config.pbtxt": b"",
    }.items():
        store.replace(path, content)
    return store


def _large_onnx() -> bytes:
    """A graph with an initializer of 40 MiB between its nodes and its outputs."""
    weights = tiny_onnx.message(5, tiny_onnx.text(8, "w") + tiny_onnx.message(9, b"\x07" * WEIGHTS))
    x, y = (tiny_onnx.value_info((name, tiny_onnx.FLOAT, [4])) for name in "xy")
    return tiny_onnx.message(7, weights + tiny_onnx.message(11, x) + tiny_onnx.message(12, y))


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_list_reads_configurations_and_manifests_and_knows_every_size(tmp_path: Path, store: MemoryStore) -> None:
    remote.mirror(store, tmp_path / "r", depth=Depth.MANIFESTS)
    content = _content(tmp_path / "r")
    assert content["m/config.pbtxt"] == b'name: "m"'
    assert content["m/1/evidence/manifest.json"] == b"{}"
    assert content["m/1/evidence/golden/0.npy"] == bytes(1000)
    assert {path: len(each) for path, each in content.items()} == {path: each.bytes for path, each in store.entries().items()}
    assert store.transferred == len(b'name: "m"') + 2


def test_lint_reads_the_graph_of_a_large_file_and_no_weights(tmp_path: Path, store: MemoryStore) -> None:
    remote.mirror(store, tmp_path / "r", depth=Depth.HEADERS)
    graph = onnx_graph.read(tmp_path / "r/m/1/model.onnx")
    assert [each.name for each in graph.inputs] == ["x"]
    assert [each.name for each in graph.outputs] == ["y"]
    assert (tmp_path / "r/m/1/evidence/golden/0.npy").read_bytes() == b"n" * 1000
    assert (tmp_path / "r/m/1/model.onnx").stat().st_size > WEIGHTS
    assert store.transferred < 8 * 2**16


def test_a_whole_copy_is_the_same_bytes(tmp_path: Path, store: MemoryStore) -> None:
    remote.mirror(store, tmp_path / "r", ["m"], depth=Depth.ALL)
    assert _content(tmp_path / "r") == {path: store.read(path) for path in store.entries("m")}


def test_nothing_at_the_address_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model repository"):
        remote.mirror(MemoryStore(), tmp_path / "r", depth=Depth.ALL)


def test_a_model_that_is_not_there_leaves_the_copy_without_it(tmp_path: Path, store: MemoryStore) -> None:
    remote.mirror(store, tmp_path / "r", ["none"], depth=Depth.ALL)
    assert _content(tmp_path / "r") == {}


def test_the_empty_object_that_a_console_makes_for_a_folder_is_left_out(tmp_path: Path, store: MemoryStore) -> None:
    store.raw("m/3/")
    remote.mirror(store, tmp_path / "r", ["m"], depth=Depth.MANIFESTS)
    assert not (tmp_path / "r/m/3").exists()


@pytest.mark.parametrize("name", ["m/../../outside", "m//double", "m/./here", "m/1/..", "m\\..\\x"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, store: MemoryStore, name: str) -> None:
    store.raw(name)
    with pytest.raises(RepositoryError, match="empty parts"):
        remote.mirror(store, tmp_path / "r", depth=Depth.ALL)
    assert not (tmp_path / "r").exists()


def test_an_object_with_the_name_of_a_folder_is_refused(tmp_path: Path, store: MemoryStore) -> None:
    store.raw("m/1")
    with pytest.raises(RepositoryError, match="name of a folder"):
        remote.mirror(store, tmp_path / "r", depth=Depth.ALL)
