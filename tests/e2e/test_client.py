"""The client against the real server, over every transport."""

from __future__ import annotations

import mmap
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.support import server_models
from tritonize.core import arrays
from tritonize.core.errors import InferenceError, ServerError, UsageError
from tritonize.core.stages import TRANSPORTS, Transport
from tritonize.triton import client
from tritonize.triton.client import Client, shm_region
from tritonize.triton.server.embedded import Running

pytestmark = pytest.mark.server


def connect(server: Running, transport: Transport) -> Client:
    return client.connect_to(server, transport)


def regions(server: Running) -> list[str]:
    """Regions that clients have registered; none of them has a name in /dev/shm any more."""
    assert list(Path("/dev/shm").glob(f"{server.shm_prefix}*{shm_region._MARK}*")) == []
    with connect(server, "grpc") as opened:
        status = opened._call(opened._client.get_system_shared_memory_status, as_json=True)
    return list(status.get("regions", {}))


@pytest.fixture(params=TRANSPORTS)
def connection(request: pytest.FixtureRequest, server: Running) -> Iterator[Client]:
    with connect(server, request.param) as opened:
        yield opened
    assert regions(server) == []


class TestDescriptions:
    def test_the_client_reads_the_health(self, connection: Client) -> None:
        assert connection.live()
        assert connection.ready()
        assert connection.model_ready("add_sub", "1")
        assert connection.model_ready("add_sub")
        assert not connection.model_ready("nobody")

    def test_the_client_reads_the_servers_version(self, connection: Client) -> None:
        assert connection.server_metadata()["version"] == "2.51.0"

    def test_the_client_reads_the_model_index(self, connection: Client) -> None:
        entries = {entry["name"]: entry for entry in connection.model_index()}
        assert entries["add_sub"]["state"] == "READY"
        assert len(entries) == 4 + len(server_models.TYPES)

    def test_every_transport_gives_the_same_description(self, server: Running) -> None:
        answers = []
        for transport in TRANSPORTS:
            with connect(server, transport) as opened:
                answers.append((opened.model_metadata("add_sub"), opened.model_config("add_sub", "1")))
        assert answers[0] == answers[1] == answers[2]
        metadata, config = answers[0]
        assert metadata["inputs"][0] == {"name": "A", "datatype": "FP32", "shape": ["-1", "3"]}
        assert config["max_batch_size"] == 4
        assert config["platform"] == "onnxruntime_onnx"
        assert config["input"][1] == {"name": "B", "data_type": "TYPE_FP32", "dims": ["3"]}

    def test_the_client_reads_the_statistics(self, connection: Client) -> None:
        def count() -> int:
            return int(connection.statistics("identity_int8", "1")[0].get("inference_count", 0))

        before = count()
        connection.infer("identity_int8", {"X": np.zeros((2, 3), np.int8)})
        until = time.monotonic() + 10
        while count() < before + 2 and time.monotonic() < until:  # it is written after the response
            time.sleep(0.02)
        assert count() >= before + 2
        assert len(connection.statistics()) > 1

    def test_an_unknown_model_is_an_error(self, connection: Client) -> None:
        for ask in (connection.model_metadata, connection.model_config):
            with pytest.raises(InferenceError, match="nobody") as caught:
                ask("nobody")
            assert "not found" in str(caught.value.found)


class TestInference:
    def test_all_outputs_are_returned_by_default(self, connection: Client) -> None:
        a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
        answer = connection.infer("add_sub", {"A": a, "B": b})
        assert set(answer) == {"SUM", "DIFF"}
        np.testing.assert_array_equal(answer["SUM"], a + b)
        np.testing.assert_array_equal(answer["DIFF"], a - b)

    def test_only_the_named_outputs_are_returned(self, connection: Client) -> None:
        a = np.ones((1, 3), np.float32)
        assert set(connection.infer("add_sub", {"A": a, "B": a}, outputs=["DIFF"], version="1")) == {"DIFF"}

    @pytest.mark.parametrize("name", server_models.TYPES)
    def test_every_element_type_is_sent_and_received(self, name: str, connection: Client) -> None:
        if name == "string":
            array = np.array([[b"one", "zwölf"], [b"", b"x" * 1000]], dtype=object)
            expected = np.array([[b"one", "zwölf".encode()], [b"", b"x" * 1000]], dtype=object)
        else:
            dtype = arrays.numpy_dtype(name)
            array = expected = np.array([[0, 1, 2], [3, 100, 1]]).astype(dtype)
            if dtype.kind in "iu":
                array[0, 0], array[1, 2] = np.iinfo(dtype).min, np.iinfo(dtype).max
        answer = connection.infer(f"identity_{name}", {"X": array})["Y"]
        assert answer.dtype == expected.dtype
        np.testing.assert_array_equal(answer, expected)

    def test_bfloat16_keeps_its_bits(self, connection: Client) -> None:
        array = np.array([[1.5, -2.0, 0.0], [3e38, -0.0, 1e-40]], ml_dtypes.bfloat16)
        answer = connection.infer("bf16", {"X": array})["Y"]
        assert answer.dtype == array.dtype
        np.testing.assert_array_equal(answer.view(np.uint16), array.view(np.uint16))

    def test_numpy_strings_are_sent_as_text(self, connection: Client) -> None:
        answer = connection.infer("identity_string", {"X": np.array([["a", "bc"]])})["Y"]
        np.testing.assert_array_equal(answer, np.array([[b"a", b"bc"]], dtype=object))

    def test_an_array_that_is_not_contiguous_is_sent_correctly(self, connection: Client) -> None:
        array = np.arange(12, dtype=np.float32).reshape(4, 3)[::2, ::-1]
        np.testing.assert_array_equal(connection.infer("identity_fp32", {"X": array})["Y"], array)

    def test_an_empty_array_is_sent_and_received(self, connection: Client) -> None:
        for name in ("fp32", "bool"):
            answer = connection.infer(f"identity_{name}", {"X": np.empty((2, 0), arrays.numpy_dtype(name))})["Y"]
            assert answer.shape == (2, 0)

    def test_outputs_of_data_dependent_size_are_received(self, connection: Client) -> None:
        for hits in ([1, 3], [], [0, 1, 2, 3, 4]):  # the same input shape, more and less of an output
            array = np.zeros(5, np.float32)
            array[hits] = 2
            answer = connection.infer("scalar", {"X": array})
            np.testing.assert_array_equal(answer["WHERE"], np.array([hits], np.int64).reshape(1, len(hits)))
            np.testing.assert_array_equal(answer["TOTAL"], [2 * len(hits)])

    def test_text_outputs_of_growing_size_are_received(self, connection: Client) -> None:
        for word in (b"a", b"b" * 5000, b"c"):
            answer = connection.infer("identity_string", {"X": np.array([[word]], dtype=object)})
            assert answer["Y"].tolist() == [[word]]

    def test_results_outlive_the_next_request_and_the_client(self, server: Running) -> None:
        for transport in TRANSPORTS:
            with connect(server, transport) as opened:
                first = opened.infer("identity_fp32", {"X": np.full((1, 4), 1, np.float32)})["Y"]
                opened.infer("identity_fp32", {"X": np.full((1, 4), 2, np.float32)})
            np.testing.assert_array_equal(first, np.full((1, 4), 1, np.float32))


class TestRefusals:
    def test_a_wrong_shape_type_or_name_is_an_error(self, connection: Client) -> None:
        a = np.zeros((1, 3), np.float32)
        for inputs in ({"A": a, "B": a[:, :2]}, {"A": a, "B": a.astype(np.float64)}, {"A": a}, {"A": a, "C": a}):
            with pytest.raises(InferenceError, match="add_sub") as caught:
                connection.infer("add_sub", inputs)
            assert caught.value.exit_code == 8
            assert connection.transport in str(caught.value.where)
            assert caught.value.code == "request-refused"
            if connection.transport != "http":  # gRPC raises; HTTP has it in the status
                assert caught.value.__cause__ is not None
        assert connection.infer("add_sub", {"A": a, "B": a})["SUM"].shape == (1, 3)  # it goes on

    def test_a_batch_above_the_limit_is_an_error(self, connection: Client) -> None:
        a = np.zeros((5, 3), np.float32)
        with pytest.raises(InferenceError) as caught:
            connection.infer("add_sub", {"A": a, "B": a})
        assert "batch-size must be <= 4" in str(caught.value.found)

    def test_an_unknown_output_is_an_error(self, connection: Client) -> None:
        a = np.zeros((1, 3), np.float32)
        with pytest.raises(InferenceError):
            connection.infer("add_sub", {"A": a, "B": a}, outputs=["PRODUCT"])

    def test_an_unsupported_element_type_is_an_error(self, connection: Client) -> None:
        with pytest.raises(UsageError, match="element type") as caught:
            connection.infer("add_sub", {"A": np.zeros((1, 3), np.complex64)})
        assert caught.value.where == "A"

    def test_inputs_above_the_grpc_limit_are_an_error(self, server: Running) -> None:
        huge = np.broadcast_to(np.zeros(1, np.float32), (1, 2**29))  # it takes no memory here
        with connect(server, "grpc") as opened, pytest.raises(InferenceError) as caught:
            opened.infer("identity_fp32", {"X": huge})
        assert caught.value.code == "grpc-inputs-too-large"


class TestSharedMemory:
    def test_regions_are_used_again_and_grow(self, server: Running) -> None:
        with connect(server, "shm") as opened:
            opened.infer("identity_fp32", {"X": np.zeros((1, 1000), np.float32)})
            first = sorted(regions(server))
            opened.infer("identity_fp32", {"X": np.zeros((1, 1000), np.float32)})
            assert sorted(regions(server)) == first
            opened.infer("identity_fp32", {"X": np.zeros((1, 2000), np.float32)})
            assert len(regions(server)) == 2
            assert sorted(regions(server)) != first
        assert regions(server) == []

    def test_a_region_that_the_server_still_holds_is_taken_back_later(self, server: Running) -> None:
        """Triton holds a region for a moment after its response and rejects its removal until then: one client in five met that."""
        refusals = iter([True, True, False, False])
        with connect(server, "shm") as opened:
            opened.infer("identity_fp32", {"X": np.zeros((1, 10), np.float32)})
            unregister = opened._client.unregister_system_shared_memory

            def held(name: str, **options: object) -> object:
                if next(refusals):
                    raise InferenceServerException(f"Cannot unregister '{name}', it is currently in use.", "StatusCode.INTERNAL")
                return unregister(name, **options)

            opened._client.unregister_system_shared_memory = held
        assert regions(server) == []

    def test_the_region_of_an_output_in_use_is_not_reused(self, server: Running) -> None:
        with connect(server, "shm") as opened:
            kept = [opened.infer("identity_fp32", {"X": np.full((1, 5), i, np.float32)})["Y"] for i in range(4)]
            assert len(regions(server)) == 5  # one for the inputs
            del kept[1:]
            opened.infer("identity_fp32", {"X": np.full((1, 5), 9, np.float32)})
            assert len(regions(server)) == 5
        assert regions(server) == []
        np.testing.assert_array_equal(kept[0], np.zeros((1, 5)))
        kept[0][0, 0] = 7  # it is the caller's

    def test_an_output_that_the_server_does_not_write_is_detected(self) -> None:
        for size in (1, 4, 12, 4096, 10000):
            part = np.zeros(size, np.uint8)
            shm_region.poison(part)
            assert part[0] == 0xFF
            if size >= 4:
                assert np.isnan(part.view(np.float32)[:: mmap.PAGESIZE // 4]).all()

    def test_no_region_is_left_after_an_error_in_the_block(self, server: Running) -> None:
        with pytest.raises(KeyboardInterrupt), connect(server, "shm") as opened:
            opened.infer("identity_fp32", {"X": np.zeros((1, 10), np.float32)})
            assert len(regions(server)) == 2
            raise KeyboardInterrupt
        assert regions(server) == []

    def test_given_sizes_are_used(self, server: Running) -> None:
        with connect(server, "shm") as opened:
            before = int(opened.statistics("scalar")[0].get("inference_count", 0))
            array = np.ones(3, np.float32)
            answer = opened.infer("scalar", {"X": array}, output_nbytes={"WHERE": 24})
            assert answer["WHERE"].tolist() == [[0, 1, 2]]
            time.sleep(0.2)  # the count is written after the response
            assert int(opened.statistics("scalar")[0]["inference_count"]) == before + 1  # no request to find out

    def test_too_little_shared_memory_is_an_error(self, server: Running) -> None:
        huge = np.broadcast_to(np.zeros(1, np.float32), (1, 2**44))
        with connect(server, "shm") as opened, pytest.raises(ServerError, match="not enough shared memory") as caught:
            opened.infer("identity_fp32", {"X": huge}, output_nbytes={"Y": 4})
        assert "shm-size" in str(caught.value.next_step)


class TestUnreachable:
    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_a_closed_port_is_an_error(self, transport: Transport) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{held.getsockname()[1]}"
            with client.connect(address, transport) as opened:
                assert not opened.live()
                with pytest.raises(ServerError) as caught:
                    opened.infer("add_sub", {"A": np.zeros((1, 3), np.float32)})
                assert address in str(caught.value.where)
                assert (caught.value.exit_code, caught.value.code) == (7, "server-unreachable")

    @pytest.mark.parametrize("transport", ["http", "grpc"])
    def test_a_silent_server_is_an_error_after_the_timeout(self, transport: Transport) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            with client.connect(address, transport, timeout_s=0.5) as opened, pytest.raises(ServerError) as caught:
                opened.server_metadata()
        assert caught.value.code == "server-silent"

    def test_addresses_may_have_a_scheme(self, server: Running) -> None:
        with client.connect(f"http://{server.http_url}", "http") as opened:
            assert opened.live()
        with client.connect(f"grpc://{server.grpc_url}/", "grpc") as opened:
            assert opened.live()
