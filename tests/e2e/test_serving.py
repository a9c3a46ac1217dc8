"""Starting a server and waiting until every model responds; remote servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import server_models
from tests.support.waiting import eventually, processes_of
from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import ServerError, UsageError
from tritonize.triton import client, remote, serving
from tritonize.triton.server.embedded import Running


class TestMadeUp:
    def test_the_probe_has_the_smallest_sizes_that_fit(self) -> None:
        metadata = {
            "inputs": [
                {"name": "A", "datatype": "FP32", "shape": ["-1", "3", "-1"]},
                {"name": "B", "datatype": "BYTES", "shape": ["2"]},
                {"name": "C", "datatype": "BF16", "shape": ["1"]},
            ]
        }
        found = serving.smallest_inputs(metadata)
        assert found["A"].shape == (1, 3, 1)
        assert found["A"].dtype == np.float32
        assert found["B"].tolist() == [b"", b""]
        assert str(found["C"].dtype) == "bfloat16"

    def test_a_probe_that_would_be_too_large_is_an_error(self) -> None:
        metadata = {"inputs": [{"name": "A", "datatype": "FP32", "shape": ["-1", str(2**40), str(2**40)]}]}
        assert serving.nbytes(metadata) == 2**82

        class Connection:
            def model_metadata(self, *_: str) -> object:
                return metadata

        handle = ServerHandle(http_url="", grpc_url="")
        with pytest.raises(ServerError) as caught:
            serving._probe_one(handle, Connection(), "m", version="1", inputs=None)  # type: ignore[arg-type]
        assert caught.value.code == "probe-too-large"


@pytest.mark.server
class TestServe:
    def test_serve_returns_after_every_model_responded(self, tmp_path: Path) -> None:
        root = tmp_path / "repository"
        for name in ("first", "second"):
            server_models.add_sub(server_models.write(root, name, server_models.ADD_SUB))
        with (
            serving.serve(root, directory=tmp_path / "run") as running,
            client.connect_to(running, "http") as connection,
        ):

            def counts() -> dict[str, int]:
                return {entry["name"]: int(entry.get("inference_count", 0)) for entry in connection.statistics()}

            assert eventually(lambda: counts() == {"first": 1, "second": 1})  # they are written after the response

    def test_a_model_that_rejects_the_given_probe_is_an_error(self, tmp_path: Path) -> None:
        root = tmp_path / "repository"
        server_models.lookup(server_models.write(root, "lookup", server_models.LOOKUP))
        probes = {"lookup": {"X": np.array([[99]])}}
        with (
            pytest.raises(ServerError, match="'lookup' is loaded but fails its first request") as caught,
            serving.serve(root, directory=tmp_path / "run", probes=probes),
        ):
            pass
        assert "out of data bounds" in str(caught.value.found)
        assert processes_of(str(root)) == []


@pytest.mark.server
class TestRemote:
    def test_both_addresses_of_a_remote_server_are_used(self, server: Running) -> None:
        handle = serving.remote([f"http://{server.http_url}", f"grpc://{server.grpc_url}"], headers=server.headers)
        assert (handle.http_url, handle.grpc_url, handle.local) == (server.http_url, server.grpc_url, True)
        addresses = {"at http": server.http_url, "at grpc": server.grpc_url}
        assert handle.identity == {"tritonserver": "2.51.0", **addresses}
        assert handle.log is None

    def test_without_the_key_shared_memory_is_not_used(self, server: Running) -> None:
        assert not serving.remote([f"grpc://{server.grpc_url}"]).local

    def test_a_single_address_is_enough(self, server: Running) -> None:
        handle = serving.remote([server.http_url])
        assert (handle.http_url, handle.grpc_url, handle.local) == (server.http_url, "", False)

    def test_an_unreachable_server_is_an_error(self) -> None:
        with pytest.raises(ServerError) as caught:
            serving.remote(["http://127.0.0.1:9"])
        assert caught.value.code == "server-unreachable"
        assert "127.0.0.1:9" in str(caught.value.where)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://host:8000", ("http", "host:8000")),
        ("http://host", ("http", "host:80")),
        ("grpc://host", ("grpc", "host:80")),
        ("host", ("http", "host:8000")),
        ("host:9000", ("http", "host:9000")),
        ("http://[::1]:8000/", ("http", "[::1]:8000")),
    ],
)
def test_an_address_is_split_into_scheme_and_authority(url: str, found: tuple[str, str]) -> None:
    address = remote.addresses(url, ConnectionOptions())[0]
    assert (address.scheme, address.authority) == found


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host:1", "http://", "http://host:port", "grpc://host:99999", "http://host:0"),
        *("https://host:0", "http://[::1", "http://ho st:1", "http://host:1?a=b", "http://host\x1b[31m:1", "", "http://host:-1"),
        *("http://a..b:1", f"grpc://{'n' * 256}:1", "http://.:1"),
    ],
)
def test_an_invalid_address_is_an_error(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        remote.addresses(url, ConnectionOptions())
    assert caught.value.code == "server-address"


def test_user_and_password_become_a_header_and_are_never_printed() -> None:
    address = remote.addresses("grpc://me:s%40cret@host:1", ConnectionOptions())[0]
    assert address.headers == {"authorization": "Basic bWU6c0BjcmV0"}
    assert "cret" not in f"{address} {address!r} {address.authority}"
    for url in (
        "http://me:secret@host:port",
        "grpc://me:secret@host/x",
        "ftp://me:secret@host:1",
        "http://me:sec/ret@host:1",
        "http://me:1/sec@host:1",
        "http://sec:a://b@host:1",
        "me:sec@ret://host:1",
        "me:sec@host://x",
    ):
        with pytest.raises(UsageError) as caught:
            remote.addresses(url, ConnectionOptions())
        assert "sec" not in str(caught.value)
    handle = ServerHandle(http_url="host:1", grpc_url="", headers={"http": address.headers})
    assert "bWU6" not in repr(handle)
