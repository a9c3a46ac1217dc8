"""Addresses, missing packages and what a store's exceptions become: one clear error, without anything secret in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.memory_store import MemoryStore
from tritonize import remote
from tritonize.core.errors import MissingError, RepositoryError, TritonizeError, UsageError


class _ClientError(Exception):
    """As botocore's: the text quotes the request, and `response` has the code."""

    def __init__(self, code: str) -> None:
        super().__init__("AKIAEXAMPLE hunter2 in the request")
        self.response = {"Error": {"Code": code}}


class NoCredentialsError(Exception):
    pass


class EndpointConnectionError(Exception):
    pass


def _denied() -> PermissionError:
    error = PermissionError("hunter2")
    error.__cause__ = _ClientError("SignatureDoesNotMatch")
    return error


@pytest.mark.parametrize(
    ("raised", "kind", "found"),
    [
        (_denied(), RepositoryError, "SignatureDoesNotMatch"),
        (_ClientError("SlowDown"), RepositoryError, "SlowDown"),
        (_ClientError("a hunter2 code with blanks"), RepositoryError, "_ClientError"),
        (FileNotFoundError("hunter2"), UsageError, "FileNotFoundError"),
        (NoCredentialsError("hunter2"), MissingError, "NoCredentialsError"),
        (EndpointConnectionError("http://user:hunter2@host"), RepositoryError, "EndpointConnectionError"),
        (TimeoutError("hunter2"), RepositoryError, "TimeoutError"),
        (OSError(5, "hunter2"), RepositoryError, "OSError"),
    ],
)
@pytest.mark.parametrize("action", ["replace", "create", "read", "entries"])
def test_an_exception_becomes_an_error_without_its_text(
    raised: Exception, kind: type[TritonizeError], found: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()

    def fail(*_arguments: object, **_named: object) -> None:
        raise raised

    for name in ("pipe_file", "cat_file", "find"):
        monkeypatch.setattr(type(store._files), name, fail)
    calls = {
        "replace": lambda: store.replace("m/x", b""),
        "create": lambda: store.create("m/x", b""),
        "read": lambda: store.read("m/x"),
        "entries": lambda: store.entries("m"),
    }
    if isinstance(raised, FileNotFoundError) and action in ("read", "entries"):
        return  # an object that may be missing; of a missing bucket, `tests/e2e/test_remote.py` asks a real store
    with pytest.raises(kind) as caught:
        calls[action]()
    assert caught.value.found == found
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/models", "scheme of the address is unknown"),
        ("s3://bucket", "names no folder"),
        ("s3://bucket/", "names no folder"),
        ("s3:///models", "names no folder"),
        ("s3://http://127.0.0.1:9000/bucket", "names no folder"),
        ("s3://key:hunter2@bucket/models", "contains a user"),
        ("s3://http://key:hunter2@127.0.0.1/bucket/models", "contains a user"),
        ("az://container/models?sig=hunter2", "contains a user"),
    ],
)
def test_an_invalid_address_is_refused(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    with pytest.raises(UsageError, match=message) as caught:
        remote.open_store(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_package_names_its_extra(scheme: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingError) as caught:
        remote.open_store(f"{scheme}://bucket/models")
    assert package in str(caught.value)
    assert f"tritonize[{scheme}]" in str(caught.value)


def test_a_folder_of_this_machine_is_a_store_too(tmp_path: Path) -> None:
    store = remote.open_store(f"file://{tmp_path}/models")
    assert store.entries() == {}
    assert store.create("m/1/a", b"one")
    assert not store.create("m/1/a", b"two")
    file = tmp_path / "file"
    file.write_bytes(b"three")
    assert store.create("m/1/b", file)
    assert not store.create("m/1/b", tmp_path / "file")
    assert {path: entry.bytes for path, entry in store.entries().items()} == {"m/1/a": 3, "m/1/b": 5}
    assert (tmp_path / "models/m/1/a").read_bytes() == b"one"
    assert store.read("m/1/b", 1, 3) == b"hr"
    assert store.read_all(["m/1/a", "m/1/b"]) == {"m/1/a": b"one", "m/1/b": b"three"}
    store.remove(["m/1/a", "m/1/none"])
    assert set(store.entries("m")) == {"m/1/b"}
    assert store.entries("m")["m/1/b"].modified > 10**9
