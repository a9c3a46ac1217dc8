"""The Python-based onnxruntime backend: what it accepts, how it batches, and that an error stays with its request."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
from google.protobuf import json_format, text_format

from tests.support import server_models
from tritonize.core.errors import InferenceError, ServerError
from tritonize.triton import client
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running

BACKEND = Path(embedded.__file__).parents[2] / "backends" / "onnxruntime"


@pytest.fixture(scope="module")
def contract() -> Iterator[Any]:
    """The backend's own module, imported as the backend imports it."""
    sys.path.insert(0, str(BACKEND))
    try:
        import contract as module

        yield module
    finally:
        sys.path.remove(str(BACKEND))
        sys.modules.pop("contract", None)


def configuration(text: str) -> dict[str, Any]:
    """The data Triton gives a backend for a config.pbtxt."""
    from tritonclient.grpc import model_config_pb2

    message = text_format.Parse(text, model_config_pb2.ModelConfig())
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


class TestContract:
    """Names, types and dims of the configuration against the model, by the native backend's rules."""

    @pytest.fixture(scope="class")
    @staticmethod
    def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        folder = tmp_path_factory.mktemp("contract")
        return {
            "add_sub": server_models.add_sub(folder / "add_sub.onnx"),
            "scalar": server_models.scalar(folder / "scalar.onnx"),
            "identity": server_models.identity(folder / "identity.onnx", server_models.TYPES["fp32"]),
        }

    @pytest.fixture
    @staticmethod
    def check(contract: Any, files: dict[str, Path]) -> Any:
        def run(model: str, text: str) -> None:
            session = ort.InferenceSession(str(files[model]), providers=["CPUExecutionProvider"])
            contract.check(configuration(text), session)

        return run

    def test_matching_configurations_are_accepted(self, check: Any) -> None:
        check("add_sub", server_models.ADD_SUB)
        check("scalar", server_models.SCALAR)
        check("identity", server_models.identity_config("TYPE_FP32"))

    def test_a_configuration_may_name_a_subset_of_the_outputs(self, check: Any) -> None:
        check("add_sub", server_models.ADD_SUB.replace(', { name: "DIFF" data_type: TYPE_FP32 dims: [ 3 ] }', ""))

    def test_an_input_may_be_narrower_than_the_model(self, check: Any) -> None:
        output = 'output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] } ]'
        check("identity", f'max_batch_size: 2 input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 7 ] }} ] {output}')

    def test_an_output_may_not_be_narrower_than_the_model(self, check: Any) -> None:
        with pytest.raises(ValueError, match=r"output 'Y': the configuration says dims \[-1, 7\].*the model has \[-1, -1\]"):
            check(
                "identity",
                'max_batch_size: 2 input [ { name: "X" data_type: TYPE_FP32 dims: [ 7 ] } ] '
                'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 7 ] } ]',
            )

    def test_without_a_batch_dims_are_the_whole_shape(self, check: Any) -> None:
        text = server_models.ADD_SUB.replace("max_batch_size: 4", "max_batch_size: 0").replace("dims: [ 3 ]", "dims: [ -1, 3 ]")
        check("add_sub", text)

    def test_a_reshape_is_applied_before_the_comparison(self, check: Any) -> None:
        check("add_sub", server_models.ADD_SUB.replace("dims: [ 3 ]", "dims: [ 3, 1 ] reshape { shape: [ 3 ] }"))

    @pytest.mark.parametrize(
        ("old", "new", "text"),
        [
            ('name: "A"', 'name: "a"', "the configuration has inputs 'a', 'B', the model has 'A', 'B'; not in the model: 'a'"),
            (
                '{ name: "A" data_type: TYPE_FP32 dims: [ 3 ] }, ',
                "",
                "the configuration has inputs 'B', the model has 'A', 'B'; not in the configuration: 'A'",
            ),
            ('name: "A"', 'name: "B"', "a name appears twice"),
            ('name: "SUM"', 'name: "PRODUCT"', "output 'PRODUCT' is not in the model, which has 'SUM', 'DIFF'"),
            ("TYPE_FP32", "TYPE_FP16", "input 'A': the configuration says TYPE_FP16, the model has TYPE_FP32"),
            ('"DIFF" data_type: TYPE_FP32', '"DIFF" data_type: TYPE_INT8', "output 'DIFF': the configuration says TYPE_INT8"),
            (
                "dims: [ 3 ]",
                "dims: [ 4 ]",
                "input 'A': the configuration says dims [-1, 4] (the batch first), the model has [-1, 3]",
            ),
            ("dims: [ 3 ]", "dims: [ 3, 1 ]", "input 'A': the configuration says dims [-1, 3, 1]"),
            ("max_batch_size: 4", "max_batch_size: 0", "input 'A': the configuration says dims [3], the model has [-1, 3]"),
            (
                '"A" data_type: TYPE_FP32 dims: [ 3 ]',
                '"A" data_type: TYPE_FP32 dims: [ 3 ] optional: true',
                "the configuration has inputs 'B', the model has 'A', 'B'",
            ),
        ],
    )
    def test_a_configuration_that_contradicts_the_model_is_an_error(self, old: str, new: str, text: str, check: Any) -> None:
        assert old in server_models.ADD_SUB
        with pytest.raises(ValueError) as caught:
            check("add_sub", server_models.ADD_SUB.replace(old, new))
        assert text in str(caught.value)

    def test_a_scalar_cannot_be_batched(self, check: Any) -> None:
        with pytest.raises(ValueError, match="is a scalar in the model"):
            check(
                "scalar",
                'input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ] '
                'output [ { name: "TOTAL" data_type: TYPE_FP32 dims: [ 2 ] } ]',
            )

    @pytest.mark.parametrize(
        ("extra", "what"),
        [
            ("batch_input [ { kind: BATCH_ELEMENT_COUNT } ]", "batch_input and batch_output"),
            ("sequence_batching { state [ { input_name: 'A' } ] }", "sequence_batching.state"),
            ("optimization { execution_accelerators { cpu_execution_accelerator [ { name: 'openvino' } ] } }", "cpu_execution"),
        ],
    )
    def test_a_feature_of_the_native_backend_alone_is_rejected(self, extra: str, what: str, check: Any) -> None:
        text = server_models.ADD_SUB.replace("dynamic_batching { }", "") + extra
        with pytest.raises(ValueError, match="the embedded server does not support") as caught:
            check("add_sub", text)
        assert what in str(caught.value)


class TestParameters:
    """The parameters of the native backend become ONNX Runtime's options."""

    @staticmethod
    def config(**parameters: str) -> dict[str, Any]:
        return {"parameters": {name: {"string_value": value} for name, value in parameters.items()}}

    def test_defaults_are_those_of_onnx_runtime(self, contract: Any) -> None:
        ours, theirs = contract.session_options({}), ort.SessionOptions()
        for name in (
            "intra_op_num_threads",
            "inter_op_num_threads",
            "execution_mode",
            "graph_optimization_level",
            "enable_cpu_mem_arena",
            "enable_mem_pattern",
        ):
            assert getattr(ours, name) == getattr(theirs, name), name

    def test_every_parameter_becomes_an_option(self, contract: Any) -> None:
        options = contract.session_options(
            self.config(
                intra_op_thread_count="3",
                inter_op_thread_count="2",
                execution_mode="1",
                enable_mem_arena="false",
                enable_mem_pattern="0",
                **{"session.use_device_allocator_for_initializers": "1"},
            )
        )
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
        assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
        assert not options.enable_cpu_mem_arena
        assert not options.enable_mem_pattern
        assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"

    @pytest.mark.parametrize(
        ("level", "expected"), [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")]
    )
    def test_the_graph_level_becomes_an_optimization_level(self, level: int, expected: str, contract: Any) -> None:
        options = contract.session_options({"optimization": {"graph": {"level": level}}})
        assert options.graph_optimization_level.name == expected

    @pytest.mark.parametrize(
        ("name", "value"), [("execution_mode", "2"), ("intra_op_thread_count", "many"), ("enable_mem_arena", "perhaps")]
    )
    def test_an_invalid_parameter_is_an_error(self, name: str, value: str, contract: Any) -> None:
        with pytest.raises(ValueError, match=f"parameter {name}: expected .*, found '?{value}"):
            contract.session_options(self.config(**{name: value}))


@pytest.mark.server
class TestBatching:
    def test_requests_are_joined_and_each_gets_its_own_output(self, server: Running) -> None:
        """Eight requests at once, of one to three rows, become fewer runs of the model."""
        with client.connect_to(server, "grpc") as connection:
            before = connection.statistics("lookup")[0]

        def ask(number: int) -> None:
            with client.connect_to(server, "grpc") as connection:
                rows = np.array([[(number + row) % 10] for row in range(1 + number % 3)])
                np.testing.assert_array_equal(connection.infer("lookup", {"X": rows})["Y"], rows.astype(np.float32))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
        with client.connect_to(server, "grpc") as connection:
            until = time.monotonic() + 10
            while True:  # they are written after the response
                after = connection.statistics("lookup")[0]
                inferences = int(after.get("inference_count", 0)) - int(before.get("inference_count", 0))
                if inferences >= 15 or time.monotonic() > until:
                    break
                time.sleep(0.02)
        assert inferences == 15
        assert int(after["execution_count"]) - int(before.get("execution_count", 0)) < 8

    def test_a_request_that_fails_does_not_fail_its_neighbours(self, server: Running) -> None:
        def ask(index: int) -> np.ndarray | InferenceError:
            with client.connect_to(server, "grpc") as connection:
                try:
                    return connection.infer("lookup", {"X": np.array([[index]])})["Y"]
                except InferenceError as error:
                    return error

        indices = [1, 99, 2, 3, -77, 4]
        with ThreadPoolExecutor(len(indices)) as pool:
            answers = list(pool.map(ask, indices))
        for index, answer in zip(indices, answers, strict=True):
            if index in (99, -77):
                assert isinstance(answer, InferenceError)
                assert "indices element out of data bounds" in str(answer.found)
                assert str(index) in str(answer.found)
            else:
                np.testing.assert_array_equal(answer, [[index]])

    def test_requests_of_different_shapes_run_separately(self, server: Running) -> None:
        def ask(length: int) -> None:
            with client.connect_to(server, "grpc") as connection:
                array = np.full((1, length), length, ml_dtypes.bfloat16)
                np.testing.assert_array_equal(connection.infer("bf16", {"X": array})["Y"], array)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(ask, [1, 2, 3, 3, 2, 1]))

    def test_requests_of_one_batch_may_name_different_outputs(self, server: Running) -> None:
        array = np.ones((1, 3), np.float32)

        def ask(name: str) -> None:
            with client.connect_to(server, "grpc") as connection:
                answer = connection.infer("add_sub", {"A": array, "B": array}, outputs=[name])
                np.testing.assert_array_equal(answer[name], array * (2 if name == "SUM" else 0))
                assert set(answer) == {name}

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, ["SUM", "DIFF"] * 8))

    def test_bytes_that_are_not_utf_8_fail_only_their_request(self, server: Running) -> None:
        with client.connect_to(server, "grpc") as connection:
            with pytest.raises(InferenceError) as caught:
                connection.infer("identity_string", {"X": np.array([[b"\xff\xfe"]], dtype=object)})
            assert "input 'X': an element is not valid UTF-8" in str(caught.value.found)
            assert connection.infer("identity_string", {"X": np.array([[b"fine"]], dtype=object)})["Y"].tolist() == [[b"fine"]]


@pytest.mark.server
class TestLoading:
    def test_default_model_filename_and_a_directory_of_that_name(self, tmp_path: Path) -> None:
        root = tmp_path / "repository"
        path = server_models.write(root, "named", server_models.ADD_SUB + 'default_model_filename: "other.onnx"')
        server_models.add_sub(path.with_name("other.onnx"))
        server_models.add_sub(server_models.write(root, "folder", server_models.ADD_SUB) / "model.onnx")
        with embedded.start(root, directory=tmp_path / "run") as running, client.connect_to(running, "grpc") as connection:
            array = np.ones((1, 3), np.float32)
            for name in ("named", "folder"):
                assert connection.infer(name, {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]

    def test_one_error_lists_every_rejected_model(self, tmp_path: Path) -> None:
        """Several invalid models: one error names each, with the value of the model and of the configuration."""
        root = tmp_path / "repository"
        server_models.add_sub(server_models.write(root, "dims", server_models.ADD_SUB.replace("[ 3 ]", "[ 5 ]")))
        server_models.write(root, "empty", server_models.ADD_SUB)
        server_models.write(root, "rubbish", server_models.ADD_SUB).write_bytes(b"this is no model")
        server_models.add_sub(server_models.write(root, "syntax", server_models.ADD_SUB.replace("max_batch_size", "max_bach_size")))
        server_models.add_sub(server_models.write(root, "fine", server_models.ADD_SUB))
        with pytest.raises(ServerError, match="not load 4 models") as caught, embedded.start(root, directory=tmp_path / "run"):
            pass
        text = str(caught.value)
        assert "input 'A': the configuration says dims [-1, 5] (the batch first), the model has [-1, 3]" in text
        assert "empty: there is no file model.onnx in version directory 1" in text
        assert "rubbish: " in text
        assert "Protobuf parsing failed" in text
        assert 'syntax: config.pbtxt, line 2, column 14: Message type "inference.ModelConfig" has no field named "max_bach' in text
        assert "At:" not in text
        assert "fine" not in text

    def test_a_model_process_that_dies_is_reported_and_the_others_continue(self, tmp_path: Path) -> None:
        """A crash inside ONNX Runtime ends one model's process, never the server."""
        root = tmp_path / "repository"
        for name in ("first", "second"):
            server_models.add_sub(server_models.write(root, name, server_models.ADD_SUB))
        array = np.ones((1, 3), np.float32)
        with embedded.start(root, directory=tmp_path / "run") as running, client.connect_to(running, "grpc") as connection:
            for entry in Path("/proc").glob("[0-9]*"):
                command = (entry / "cmdline").read_bytes() if (entry / "cmdline").exists() else b""
                if b"triton_python_backend_stub" in command and running.shm_prefix.encode() in command and b"first" in command:
                    os.kill(int(entry.name), signal.SIGKILL)
            time.sleep(0.2)
            with pytest.raises(InferenceError) as caught:
                connection.infer("first", {"A": array, "B": array})
            assert "not healthy" in str(caught.value.found)
            assert connection.infer("second", {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]
