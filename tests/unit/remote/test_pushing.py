"""A push against fsspec's filesystem in memory: what a polling server would see after every write, and after a kill at each."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.memory_store import Killed, MemoryStore
from tritonize import remote
from tritonize.core.errors import RepositoryError
from tritonize.remote import VersionFiles, Work, claim, pushing

LEASE_S = 5.0


@pytest.fixture(autouse=True)
def _quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store in memory counts writes as seconds, so nothing has to wait for the next second."""
    monkeypatch.setattr(pushing, "_TIMESTAMP_S", 0.0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def version(folder: Path, number: int, *, text: str = "") -> VersionFiles:
    """A version with a manifest, evidence, data and a graph; its content follows from number and text."""
    names = ["evidence/manifest.json", "evidence/report.json", "evidence/golden/0.npy", "model.onnx", "model.onnx.data"]
    files = {}
    for name in names:
        files[name] = folder / f"{number}{text}" / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text(f"{number} {text} {name}")
    return VersionFiles(number=number, files=files)


def work(*versions: VersionFiles, config: str = "all", shared: dict[str, bytes] | None = None, **options: object) -> Work:
    return Work(
        model="m",
        versions=versions,
        config=config.encode(),
        shared=shared or {},
        holding=lambda _current, complete: f"only {sorted(complete)}".encode(),
        **{"require_allowed": lambda _config, _shared: None, "lease_s": LEASE_S, **options},  # type: ignore[arg-type]
    )


def served(store: MemoryStore) -> dict[int, bool]:
    """The versions that a server would load now by configuration and folders, and whether each is whole."""
    names = [path.split("/") for path in store.entries("m")]
    present = {int(parts[1]) for parts in names if len(parts) > 2}
    try:
        config = store.read("m/config.pbtxt").decode()
    except FileNotFoundError:
        return {}
    named = set(json.loads(config[5:])) if config.startswith("only") else present
    whole = {number: sum(parts[1] == str(number) for parts in names) == 5 for number in present}
    return {number: whole[number] for number in sorted(named & present)}


def test_a_version_is_served_only_when_it_is_whole(tmp_path: Path, store: MemoryStore) -> None:
    seen: list[dict[int, bool]] = []
    store.after_write = lambda: seen.append(served(store))
    assert remote.push(store, work(version(tmp_path, 1))) == "published"
    assert [each for each in seen if each] == [{1: True}] * len([each for each in seen if each])
    seen.clear()
    assert remote.push(store, work(version(tmp_path, 1), version(tmp_path, 2))) == "published"
    assert len(seen) > 8
    assert all(each in ({1: True}, {1: True, 2: True}) for each in seen)
    assert served(store) == {1: True, 2: True}
    assert store.read("m/config.pbtxt") == b"all"
    assert remote.push(store, work(version(tmp_path, 1), version(tmp_path, 2))) == "up to date"


def test_the_model_file_is_written_after_its_data_and_the_configuration_last(tmp_path: Path, store: MemoryStore) -> None:
    remote.push(store, work(version(tmp_path, 1), shared={"labels.txt": b"a"}))
    written = [path for path in store.written if not path.endswith(".json") or "evidence" in path]
    assert written[0] == "m/config.pbtxt"
    assert written[1] == "m/1/evidence/manifest.json"
    assert written[-4:] == ["m/1/model.onnx.data", "m/1/model.onnx", "m/labels.txt", "m/config.pbtxt"]


def test_the_last_configuration_has_a_newer_timestamp_in_whole_seconds(tmp_path: Path, store: MemoryStore) -> None:
    store.tick = 0.4  # several writes share a second, as they do in S3
    remote.push(store, work(version(tmp_path, 1)))
    times = {path: int(entry.modified) for path, entry in store.entries("m").items()}
    config = times.pop("m/config.pbtxt")
    assert config > max(times.values())


def test_a_store_whose_time_stands_still_is_an_error(tmp_path: Path, store: MemoryStore) -> None:
    store.tick = 0.0
    with pytest.raises(RepositoryError, match="no newer timestamp"):
        remote.push(store, work(version(tmp_path, 1)))


class _Clock:
    """The time of `claim.py`, in which waiting takes no time."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def fast_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "time", _Clock())


def _kills(prepare: Callable[[MemoryStore], None], pushed: Work) -> Iterator[MemoryStore]:
    """The store after a push that was killed before each of its writes, in turn."""
    for count in range(1000):
        store = MemoryStore()
        prepare(store)
        store.writes_left = count
        seen: list[dict[int, bool]] = []
        store.after_write = lambda seen=seen, store=store: seen.append(served(store))  # type: ignore[misc]
        try:
            remote.push(store, pushed)
            assert count > 10
            return
        except Killed:
            store.writes_left = None
            store.after_write = lambda: None
            assert all(all(each.values()) for each in seen), f"half a version was served, killed at write {count}"
            yield store
    raise AssertionError("it never ended")


@pytest.mark.parametrize("before", [0, 1])
def test_a_push_killed_at_any_write_is_completed_by_the_next(tmp_path: Path, before: int, fast_lease: None) -> None:
    first, second = version(tmp_path, 1), version(tmp_path, 2)

    def prepare(store: MemoryStore) -> None:
        if before:
            remote.push(store, work(first))

    for store in _kills(prepare, work(first, second)):
        assert set(served(store)) <= {1, 2}
        assert all(served(store).values())
        remote.push(store, work(first, second))
        assert served(store) == {1: True, 2: True}
        assert store.read("m/config.pbtxt") == b"all"
        assert json.loads(store.beside(".push").read(store.claims()[-1]))["state"] == "done"
        assert len(store.claims()) == 1


def test_a_push_killed_at_any_write_is_undone_by_the_next_that_has_another_version(tmp_path: Path, fast_lease: None) -> None:
    first, killed, other = version(tmp_path, 1), version(tmp_path, 2, text="killed"), version(tmp_path, 2, text="other")
    finished = 0
    for store in _kills(lambda store: remote.push(store, work(first)) and None, work(first, killed)):
        if served(store) == {1: True, 2: True}:  # killed after its last write of the model: the version is there, and stays
            with pytest.raises(RepositoryError, match="another version 2"):
                remote.push(store, work(first, other))
            assert served(store) == {1: True, 2: True}
            finished += 1
            continue
        remote.push(store, work(first, other))
        assert served(store) == {1: True, 2: True}
        assert all(b"killed" not in store.read(path) for path in store.entries("m"))
    assert 1 <= finished <= 3


def test_a_version_is_never_overwritten(tmp_path: Path, store: MemoryStore) -> None:
    remote.push(store, work(version(tmp_path, 1)))
    before = _digest(store)
    with pytest.raises(RepositoryError, match="another version 1") as caught:
        remote.push(store, work(version(tmp_path, 1, text="other")))
    assert caught.value.exit_code == 6
    assert _digest(store) == before


def test_a_folder_of_a_version_without_a_manifest_is_left_alone(tmp_path: Path, store: MemoryStore) -> None:
    store.replace("m/1/model.onnx", b"by hand")
    with pytest.raises(RepositoryError, match="another version 1"):
        remote.push(store, work(version(tmp_path, 1)))
    assert store.read("m/1/model.onnx") == b"by hand"


def test_nothing_is_written_if_the_configuration_may_not_be_replaced(tmp_path: Path, store: MemoryStore) -> None:
    remote.push(store, work(version(tmp_path, 1)))
    before = _digest(store)

    def refuse(config: bytes | None, _shared: object) -> None:
        raise RepositoryError(f"it is {config!r}")

    with pytest.raises(RepositoryError, match="it is b'all'"):
        remote.push(store, work(version(tmp_path, 1), version(tmp_path, 2), require_allowed=refuse))
    assert _digest(store) == before


def test_two_pushes_at_once_take_turns(tmp_path: Path, store: MemoryStore) -> None:
    seen: list[dict[int, bool]] = []
    store.after_write = lambda: seen.append(served(store))
    results: list[object] = []

    def one(text: str) -> None:
        try:
            results.append(remote.push(store, work(version(tmp_path, 1, text=text))))
        except RepositoryError as error:
            results.append(error.code)

    threads = [threading.Thread(target=one, args=(text,)) for text in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sorted(map(str, results)) == ["published", *["remote-other-version"] * 3]
    assert all(all(each.values()) for each in seen)
    assert served(store) == {1: True}


def test_a_push_that_lost_its_claim_writes_no_configuration(tmp_path: Path, store: MemoryStore) -> None:
    remote.push(store, work(version(tmp_path, 1)))

    def usurp(text: str) -> None:
        if "uploading" in text:
            store.beside(".push").create("m/000000099.json", b"{}")

    with pytest.raises(RepositoryError, match="not renewed in time"):
        remote.push(store, work(version(tmp_path, 1), version(tmp_path, 2), on_step=usurp))
    assert served(store) == {1: True}


def test_a_living_push_is_waited_for(tmp_path: Path, store: MemoryStore) -> None:
    """Its claim is renewed all the time, so that it is not taken for killed, though it takes several leases."""
    started, end, texts = threading.Event(), threading.Event(), []

    def slow(_text: str) -> None:
        started.set()
        end.wait(10)

    first = threading.Thread(target=remote.push, args=(store, work(version(tmp_path, 1), on_step=slow, lease_s=0.4)))
    first.start()
    assert started.wait(10)
    threading.Timer(1.2, end.set).start()
    assert remote.push(store, work(version(tmp_path, 1), version(tmp_path, 2), on_step=texts.append)) == "published"
    first.join(10)
    assert re.match("waiting for another push of 'm'", texts[0])
    assert served(store) == {1: True, 2: True}


def _digest(store: MemoryStore) -> str:
    content = [(path, store.read(path)) for path in sorted(store.entries("m"))]
    return hashlib.sha256(repr(content).encode()).hexdigest()
