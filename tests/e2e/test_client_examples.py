"""The calls of Triton's public client examples, through the package tritonclient, and what the examples expect of the answers.

The examples lie in github.com/triton-inference-server/client, src/python/examples; each test names those whose calls it makes. Not
here: `simple_*_cudashm_client` (no GPU), `simple_*_model_control` (the embedded server loads nothing on demand),
`simple_grpc_custom_repeat` (an ONNX model is not decoupled), `simple_http_aio_infer_client` (it needs aiohttp), and
`*_image_client` (their calls are those of `simple_*_infer_client`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
from onnx import TensorProto, helper
from tritonclient import utils
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import shared_memory

from tests.support import documentation, server_models
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running

pytestmark = pytest.mark.server

IN0 = np.arange(16, dtype=np.int32).reshape(1, 16)
IN1 = np.ones((1, 16), np.int32)
VALUES = [11, 7, 5, 3, 2, 0, 1]
TEXT = np.array([str(each).encode() for each in IN0.ravel()], dtype=object).reshape(1, 16)
ONES = np.array([b"1"] * 16, dtype=object).reshape(1, 16)
IDENTITY = ("simple_identity", TensorProto.STRING, "STRING")


def _config(inputs: str, outputs: str, *, batch: int) -> str:
    group = "instance_group [ { kind: KIND_CPU count: 1 } ]"
    return f'platform: "onnxruntime_onnx" max_batch_size: {batch} input [ {inputs} ] output [ {outputs} ] {group} '


def _tensors(kind: str, size: int, *names: str) -> str:
    return ", ".join(f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {size} ] }}' for name in names)


def _simple(path: Path, onnx_type: int) -> None:
    """OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1: of numbers, or of numbers as text."""
    nodes = [helper.make_node("Cast", [f"INPUT{i}"], [f"IN{i}"], to=TensorProto.INT32) for i in (0, 1)]
    nodes += [helper.make_node("Add", ["IN0", "IN1"], ["SUM"]), helper.make_node("Sub", ["IN0", "IN1"], ["DIFFERENCE"])]
    nodes += [helper.make_node("Cast", [name], [f"OUTPUT{i}"], to=onnx_type) for i, name in enumerate(("SUM", "DIFFERENCE"))]
    server_models.save(
        path,
        nodes,
        [(f"INPUT{i}", onnx_type, ["batch", 16]) for i in (0, 1)],
        [(f"OUTPUT{i}", onnx_type, ["batch", 16]) for i in (0, 1)],
    )


def _sequence(path: Path) -> None:
    """OUTPUT = INPUT, plus 1 in a sequence's first request; nothing where the slot is not READY."""
    server_models.save(
        path,
        [helper.make_node("Add", ["INPUT", "START"], ["FIRST"]), helper.make_node("Mul", ["FIRST", "READY"], ["OUTPUT"])],
        [(name, TensorProto.INT32, ["batch", 1]) for name in ("INPUT", "START", "READY")],
        [("OUTPUT", TensorProto.INT32, ["batch", 1])],
    )


def _dyna_sequence(path: Path, identifiers: int) -> None:
    """OUTPUT = the sum of the sequence so far, plus its identifier, of one ONNX type, in its last request."""
    server_models.save(
        path,
        [
            helper.make_node("Sub", ["ONE", "START"], ["GOES_ON"]),
            helper.make_node("Mul", ["SUM_BEFORE", "GOES_ON"], ["BEFORE"]),
            helper.make_node("Add", ["INPUT", "BEFORE"], ["SUM"]),
            helper.make_node("Cast", ["CORRID"], ["ID"], to=TensorProto.INT32),
            helper.make_node("Mul", ["ID", "END"], ["LAST"]),
            helper.make_node("Add", ["SUM", "LAST"], ["OUTPUT"]),
        ],
        [
            *((name, TensorProto.INT32, ["batch", 1]) for name in ("INPUT", "START", "END", "SUM_BEFORE")),
            ("CORRID", identifiers, ["batch", 1]),
        ],
        [(name, TensorProto.INT32, ["batch", 1]) for name in ("OUTPUT", "SUM")],
        {"ONE": np.ones((1, 1), np.int32)},
    )


def _control(name: str, kind: str, value: str = "int32_false_true: [ 0, 1 ]") -> str:
    return f'{{ name: "{name}" control [ {{ kind: CONTROL_SEQUENCE_{kind} {value} }} ] }}'


SEQUENCE = f"""sequence_batching {{
  max_sequence_idle_microseconds: 5000000
  control_input [ {_control("START", "START")}, {_control("READY", "READY")} ]
  direct {{ }}
}}"""
DYNA_SEQUENCE = f"""sequence_batching {{
  max_sequence_idle_microseconds: 5000000
  oldest {{ max_candidate_sequences: 8 max_queue_delay_microseconds: 50000 }}
  control_input [ {_control("START", "START")}, {_control("END", "END")}, {_control("CORRID", "CORRID", "data_type: TYPE_%s")} ]
  state [ {{ input_name: "SUM_BEFORE" output_name: "SUM" data_type: TYPE_INT32 dims: [ 1 ] }} ]
}}"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the models of Triton's quick start, as ONNX files."""
    root = tmp_path_factory.mktemp("examples")
    repository = root / "repository"
    for name, onnx_type, kind in (("simple", TensorProto.INT32, "INT32"), ("simple_string", TensorProto.STRING, "STRING")):
        text = _config(_tensors(kind, 16, "INPUT0", "INPUT1"), _tensors(kind, 16, "OUTPUT0", "OUTPUT1"), batch=8)
        _simple(server_models.write(repository, name, text), onnx_type)
    name, onnx_type, kind = IDENTITY
    identity = server_models.write(repository, name, _config(_tensors(kind, -1, "INPUT0"), _tensors(kind, -1, "OUTPUT0"), batch=8))
    server_models.save(
        identity,
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        [("INPUT0", onnx_type, ["batch", "n"])],
        [("OUTPUT0", onnx_type, ["batch", "n"])],
    )
    one = _config(_tensors("INT32", 1, "INPUT"), _tensors("INT32", 1, "OUTPUT"), batch=8)
    _sequence(server_models.write(repository, "simple_sequence", one + SEQUENCE))
    for name, kind in (("simple_dyna_sequence", "UINT64"), ("simple_string_dyna_sequence", "STRING")):
        _dyna_sequence(server_models.write(repository, name, one + DYNA_SEQUENCE % kind), getattr(TensorProto, kind))
    with embedded.start(repository, directory=root / "run") as running:
        yield running


LIBRARIES = [pytest.param(http, id="http"), pytest.param(grpc, id="grpc")]


@contextlib.contextmanager
def connected(library: Any, server: Running, **options: Any) -> Iterator[Any]:
    url = server.http_url if library is http else server.grpc_url
    with library.InferenceServerClient(url, **options) as connection:
        yield connection


def key(library: Any, server: Running) -> dict[str, str]:
    """The headers that a client of the embedded server needs for shared memory."""
    return dict(server.headers["http" if library is http else "grpc"])


def inputs(library: Any, kind: str, *arrays: np.ndarray) -> list[Any]:
    tensors = [library.InferInput(f"INPUT{i}", list(each.shape), kind) for i, each in enumerate(arrays)]
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor.set_data_from_numpy(array)
    return tensors


def requested(library: Any, *names: str) -> list[Any]:
    return [library.InferRequestedOutput(name) for name in names]


def require_sums(answer: Any, of: int = 1) -> None:
    np.testing.assert_array_equal(answer.as_numpy("OUTPUT0").astype(np.int32), np.repeat(IN0 + IN1, of, 0))
    np.testing.assert_array_equal(answer.as_numpy("OUTPUT1").astype(np.int32), np.repeat(IN0 - IN1, of, 0))


class TestInfer:
    @pytest.mark.parametrize("library", LIBRARIES)
    def test_sums_and_differences(self, library: Any, examples: Running) -> None:
        """simple_http_infer_client, simple_grpc_infer_client, reuse_infer_objects_client."""
        with connected(library, examples) as connection:
            given, wanted = inputs(library, "INT32", IN0, IN1), requested(library, "OUTPUT0", "OUTPUT1")
            for _ in range(3):  # the same objects again
                require_sums(connection.infer("simple", given, outputs=wanted))
            require_sums(connection.infer("simple", given))
            assert connection.infer("simple", given, outputs=wanted[:1]).as_numpy("OUTPUT1") is None

    @pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
    def test_compressed_bodies_and_json_numbers(self, algorithm: str, examples: Running) -> None:
        """simple_http_infer_client: one tensor as JSON and one as bytes, query parameters, compression both ways."""
        with connected(http, examples) as connection:
            given = inputs(http, "INT32", IN0, IN1)
            given[0].set_data_from_numpy(IN0, binary_data=False)
            wanted = [
                http.InferRequestedOutput("OUTPUT0", binary_data=True),
                http.InferRequestedOutput("OUTPUT1", binary_data=False),
            ]
            require_sums(
                connection.infer(
                    "simple",
                    given,
                    outputs=wanted,
                    query_params={"test_1": 1},
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                )
            )

    def test_arguments_of_the_channel(self, examples: Running) -> None:
        """simple_grpc_keepalive_client, simple_grpc_custom_args_client, compression of simple_grpc_infer_client."""
        keepalive = grpc.KeepAliveOptions(keepalive_time_ms=10_000, http2_max_pings_without_data=0)
        for options in ({"keepalive_options": keepalive}, {"channel_args": [("grpc.lb_policy_name", "pick_first")]}):
            with connected(grpc, examples, **options) as connection:
                require_sums(connection.infer("simple", inputs(grpc, "INT32", IN0, IN1), compression_algorithm="gzip"))

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_health_and_metadata(self, library: Any, examples: Running) -> None:
        """simple_http_health_metadata, simple_grpc_health_metadata."""
        with connected(library, examples) as connection:
            assert connection.is_server_live()
            assert connection.is_server_ready()
            assert connection.is_model_ready("simple")
            metadata = connection.get_model_metadata("simple")
            assert (metadata["name"] if library is http else metadata.name) == "simple"
            with pytest.raises(utils.InferenceServerException, match="unknown model: 'wrong_model_name'"):
                connection.get_model_metadata("wrong_model_name")

    def test_contents_in_the_message_instead_of_bytes(self, examples: Running) -> None:
        """grpc_explicit_int_content_client, grpc_explicit_byte_content_client, grpc_client: the stub without the client."""
        with contextlib.closing(grpc._client.grpc.insecure_channel(examples.grpc_url)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
            for model, kind, field, arrays in (
                ("simple", "INT32", "int_contents", (IN0, IN1)),
                ("simple_string", "BYTES", "bytes_contents", (TEXT, ONES)),
            ):
                request = service_pb2.ModelInferRequest(model_name=model)
                for i, array in enumerate(arrays):
                    tensor = request.inputs.add(name=f"INPUT{i}", datatype=kind, shape=[1, 16])
                    getattr(tensor.contents, field).extend(array.ravel().tolist())
                answer = stub.ModelInfer(request)
                found = [
                    np.frombuffer(raw, np.int32) if kind == "INT32" else utils.deserialize_bytes_tensor(raw).astype(np.int32)
                    for raw in answer.raw_output_contents
                ]
                assert [each.name for each in answer.outputs] == ["OUTPUT0", "OUTPUT1"]
                np.testing.assert_array_equal(found, [(IN0 + IN1)[0], (IN0 - IN1)[0]])


class TestText:
    @pytest.mark.parametrize("library", LIBRARIES)
    def test_numbers_as_text(self, library: Any, examples: Running) -> None:
        """simple_http_string_infer_client, simple_grpc_string_infer_client."""
        with connected(library, examples) as connection:
            require_sums(connection.infer("simple_string", inputs(library, "BYTES", TEXT, ONES)))

    @pytest.mark.parametrize("binary", [True, False])
    def test_identity_over_http(self, binary: bool, examples: Running) -> None:
        """simple_http_string_infer_client, `identity_inference`: objects, bytes with and without a zero at their end."""
        objects = np.array([str(each) for each in IN0.ravel()], dtype=object).reshape(1, 16)
        arrays = [objects, np.array(["zwölf", "", "x y"], dtype=object).reshape(1, 3)]
        if binary:
            arrays.append(np.array([[b"a\x00", b"b"]], dtype=object))
        with connected(http, examples) as connection:
            for array in arrays:
                tensor = http.InferInput("INPUT0", list(array.shape), "BYTES")
                tensor.set_data_from_numpy(array, binary_data=binary)
                wanted = [http.InferRequestedOutput("OUTPUT0", binary_data=binary)]
                found = connection.infer("simple_identity", [tensor], outputs=wanted).as_numpy("OUTPUT0")
                assert [each if isinstance(each, bytes) else str(each).encode() for each in found.ravel()] == [
                    each if isinstance(each, bytes) else each.encode() for each in array.ravel()
                ]


class TestAsynchronous:
    def test_two_requests_over_http(self, examples: Running) -> None:
        """simple_http_async_infer_client."""
        with connected(http, examples, concurrency=2) as connection:
            asked = [connection.async_infer("simple", inputs(http, "INT32", IN0, IN1)) for _ in range(2)]
            for each in asked:
                require_sums(each.get_result())

    def test_a_callback_over_grpc(self, examples: Running) -> None:
        """simple_grpc_async_infer_client, with a time limit of the client."""
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        with connected(grpc, examples) as connection:
            for _ in range(8):
                connection.async_infer(
                    "simple", inputs(grpc, "INT32", IN0, IN1), lambda result, error: answers.put((result, error)), client_timeout=30
                )
            for _ in range(8):
                result, error = answers.get(timeout=30)
                assert error is None, str(error)
                require_sums(result)

    def test_coroutines_over_grpc(self, examples: Running) -> None:
        """simple_grpc_aio_infer_client, simple_grpc_aio_sequence_stream_infer_client."""

        async def ask() -> None:
            async with grpc_aio.InferenceServerClient(examples.grpc_url) as connection:
                answers = await asyncio.gather(*(connection.infer("simple", inputs(grpc, "INT32", IN0, IN1)) for _ in range(4)))
                for each in answers:
                    require_sums(each)

                async def requests() -> Any:
                    for index, value in enumerate([0, *VALUES]):
                        yield {"model_name": "simple_sequence", **one_of_a_sequence(grpc, value, 77, index, len(VALUES))}

                found = []
                async for result, error in connection.stream_infer(requests()):
                    assert error is None, str(error)
                    found.append(int(result.as_numpy("OUTPUT")[0, 0]))
                assert found == [1, *VALUES]

        asyncio.run(ask())


def one_of_a_sequence(library: Any, value: int, identifier: int | str, index: int, last: int) -> dict[str, Any]:
    tensor = library.InferInput("INPUT", [1, 1], "INT32")
    tensor.set_data_from_numpy(np.array([[value]], np.int32))
    return {
        "inputs": [tensor],
        "outputs": requested(library, "OUTPUT"),
        "request_id": f"{identifier}_{index}",
        "sequence_id": identifier,
        "sequence_start": index == 0,
        "sequence_end": index == last,
    }


class TestSequences:
    @pytest.mark.parametrize("library", LIBRARIES)
    def test_two_sequences_one_request_after_the_other(self, library: Any, examples: Running) -> None:
        """simple_http_sequence_sync_infer_client, simple_grpc_sequence_sync_infer_client."""
        with connected(library, examples) as connection:
            for model, dyna in (("simple_sequence", False), ("simple_dyna_sequence", True)):
                for identifier, first, sign in ((1000, 0, 1), (1001, 100, -1)):
                    given = [first, *(sign * each for each in VALUES)]
                    found = [
                        int(
                            connection.infer(model, **one_of_a_sequence(library, value, identifier, index, len(VALUES))).as_numpy(
                                "OUTPUT"
                            )[0, 0]
                        )
                        for index, value in enumerate(given)
                    ]
                    assert found == expected(given, dyna=dyna, identifier=identifier)

    @pytest.mark.parametrize("dyna", [False, True])
    def test_sequences_that_are_mixed_in_one_stream(self, dyna: bool, examples: Running) -> None:
        """simple_grpc_sequence_stream_infer_client: two identifiers that are numbers and one that is text."""
        text = "1002" if dyna else str(uuid.uuid4())
        sequences = {1000: [0, *VALUES], 1001: [100, *(-each for each in VALUES)], text: [20, *(-each for each in VALUES)]}
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        found: dict[str, list[int]] = {str(identifier): [] for identifier in sequences}
        with connected(grpc, examples) as connection:
            connection.start_stream(lambda result, error: answers.put((result, error)))
            for identifier, given in sequences.items():
                for index, value in enumerate(given):
                    dyna_model = "simple_string_dyna_sequence" if isinstance(identifier, str) else "simple_dyna_sequence"
                    connection.async_stream_infer(
                        dyna_model if dyna else "simple_sequence",
                        **one_of_a_sequence(grpc, value, identifier, index, len(VALUES)),
                    )
            for _ in range(3 * (len(VALUES) + 1)):
                result, error = answers.get(timeout=30)
                assert error is None, str(error)
                found[result.get_response().id.rpartition("_")[0]].append(int(result.as_numpy("OUTPUT")[0, 0]))
            connection.stop_stream()
        for identifier, given in sequences.items():
            assert found[str(identifier)] == expected(given, dyna=dyna, identifier=identifier)

    def test_a_sequence_without_a_start_is_refused(self, examples: Running) -> None:
        with (
            connected(grpc, examples) as connection,
            pytest.raises(utils.InferenceServerException, match="must specify the START flag"),
        ):
            connection.infer("simple_sequence", **one_of_a_sequence(grpc, 1, 4000, 1, 3))


def expected(given: list[int], *, dyna: bool, identifier: int | str) -> list[int]:
    if not dyna:
        return [given[0] + 1, *given[1:]]
    sums = [sum(given[: count + 1]) for count in range(len(given))]
    return [*sums[:-1], sums[-1] + int(identifier)]


class TestSharedMemory:
    @pytest.fixture
    @staticmethod
    def regions() -> Iterator[Any]:
        """Make regions; they are gone after the test."""
        made = []

        def make(name: str, content: np.ndarray | None, size: int) -> Any:
            region = shared_memory.create_shared_memory_region(name, f"/tritonize-test-{uuid.uuid4().hex}", size)
            made.append(region)
            if content is not None:
                shared_memory.set_shared_memory_region(region, [content])
            return region

        yield make
        for each in made:
            shared_memory.destroy_shared_memory_region(each)
        assert shared_memory.mapped_shared_memory_regions() == []

    @pytest.mark.parametrize("library", LIBRARIES)
    @pytest.mark.parametrize("kind", ["INT32", "BYTES"])
    def test_inputs_and_outputs_in_regions(self, kind: str, library: Any, examples: Running, regions: Any) -> None:
        """simple_http_shm_client, simple_http_shm_string_client, simple_grpc_shm_client, simple_grpc_shm_string_client."""
        text = kind == "BYTES"
        arrays = [IN0, IN1] if not text else [utils.serialize_byte_tensor(each) for each in (TEXT, ONES)]
        sizes = [utils.serialized_byte_size(each) if text else each.nbytes for each in arrays]
        headers = key(library, examples)
        with connected(library, examples) as connection:
            connection.unregister_system_shared_memory(headers=headers)
            outputs = []
            for i in (0, 1):
                outputs.append(regions(f"output{i}", None, 200))
                given_region = regions(f"input{i}", arrays[i], sizes[i])
                connection.register_system_shared_memory(f"output{i}", outputs[i]._shm_key, 200, headers=headers)
                connection.register_system_shared_memory(f"input{i}", given_region._shm_key, sizes[i], headers=headers)
            given = [library.InferInput(f"INPUT{i}", [1, 16], kind) for i in (0, 1)]
            wanted = requested(library, "OUTPUT0", "OUTPUT1")
            for i in (0, 1):
                given[i].set_shared_memory(f"input{i}", sizes[i])
                wanted[i].set_shared_memory(f"output{i}", 200)
            answer = connection.infer("simple_string" if text else "simple", given, outputs=wanted, headers=headers)
            status = connection.get_system_shared_memory_status(headers=headers)
            assert len(status if library is http else status.regions) == 4
            for name, region, sums in zip(("OUTPUT0", "OUTPUT1"), outputs, (IN0 + IN1, IN0 - IN1), strict=True):
                output = answer.get_output(name)
                dtype, shape = (output["datatype"], output["shape"]) if library is http else (output.datatype, list(output.shape))
                found = shared_memory.get_contents_as_numpy(region, utils.triton_to_np_dtype(dtype), shape)
                np.testing.assert_array_equal(found.astype(np.int32), sums)
            connection.unregister_system_shared_memory(headers=headers)

    def test_an_output_that_does_not_fit_its_region_is_refused(self, examples: Running, regions: Any) -> None:
        headers = key(grpc, examples)
        with connected(grpc, examples) as connection:
            region = regions("small", None, 8)
            connection.register_system_shared_memory("small", region._shm_key, 8, headers=headers)
            wanted = requested(grpc, "OUTPUT0")
            wanted[0].set_shared_memory("small", 8)
            with pytest.raises(utils.InferenceServerException, match="OUTPUT0"):
                connection.infer("simple", inputs(grpc, "INT32", IN0, IN1), outputs=wanted, headers=headers)
            connection.unregister_system_shared_memory("small", headers=headers)
            require_sums(connection.infer("simple", inputs(grpc, "INT32", IN0, IN1)))


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a model of the name and the tensors of the documentation's; it returns its input."""
    root = tmp_path_factory.mktemp("heart")
    tensors = '{{ name: "{}" data_type: TYPE_FP32 dims: [ 1, 16, 24, 24 ] }}'
    path = server_models.write(
        root / "repository", "heart", _config(tensors.format("INPUT__0"), tensors.format("OUTPUT__0"), batch=2)
    )
    shape = ["batch", 1, 16, 24, 24]
    node = helper.make_node("Identity", ["INPUT__0"], ["OUTPUT__0"])
    server_models.save(path, [node], [("INPUT__0", TensorProto.FLOAT, shape)], [("OUTPUT__0", TensorProto.FLOAT, shape)])
    with embedded.start(root / "repository", directory=root / "server") as running:
        yield running


@pytest.mark.parametrize(
    ("page", "file"),
    [("get-started.md", "ask.py"), ("how-to/send-requests.md", "ask_grpc.py"), ("how-to/send-requests.md", "ask_http.py")],
)
def test_a_request_of_the_documentation_in_python(heart: Running, page: str, file: str, tmp_path: Path) -> None:
    (block,) = (each for each in documentation.blocks(Path("docs") / page) if each.file == file)
    script = tmp_path / file
    script.write_text(_with_ports(block.text, heart))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "(1, 1, 16, 24, 24)" in done.stdout


def test_a_request_of_the_documentation_with_curl(heart: Running, tmp_path: Path) -> None:
    blocks = documentation.blocks(Path("docs/how-to/send-requests.md"))
    (block,) = (each for each in blocks if each.language == "sh" and "curl" in each.text)
    command = ["bash", "-euo", "pipefail", "-c", _with_ports(block.text, heart)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads((tmp_path / "answer.json").read_text())["outputs"]
    assert (output["name"], output["shape"], len(output["data"])) == ("OUTPUT__0", [1, 1, 16, 24, 24], 9216)


def _with_ports(text: str, running: Running) -> str:
    assert "127.0.0.1:800" in text
    return text.replace("127.0.0.1:8000", running.http_url).replace("127.0.0.1:8001", running.grpc_url)
