"""The native onnxruntime backend: what it accepts, how it batches, and that an error stays with its request."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.support import server_models
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.stages import TRANSPORTS
from tritonize.triton import client
from tritonize.triton.server import embedded, native_backend
from tritonize.triton.server.embedded import Running
from tritonize.triton.server.native_backend import NativeBackend

pytestmark = pytest.mark.server

ADD_SUB = server_models.ADD_SUB
PLAIN_ADD_SUB = ADD_SUB.replace("dynamic_batching { }", "")
RECORDER = Path(__file__).parents[1] / "support" / "recording_onnxruntime.c"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of models that only these tests ask."""
    root = tmp_path_factory.mktemp("backend")
    for name, text in FITTING.items():
        write(root / "repository", name, text)
    server_models.sequence_sum(server_models.write(root / "repository", "sequence", server_models.SEQUENCE_SUM))
    server_models.ragged_sum(server_models.write(root / "repository", "ragged", server_models.RAGGED_SUM))
    server_models.sums(server_models.write(root / "repository", "sums", server_models.SUMS))
    server_models.overridable(server_models.write(root / "repository", "overridable", server_models.OVERRIDABLE))
    with embedded.start(root / "repository", directory=root / "run") as running:
        yield running


def write(repository: Path, name: str, text: str) -> None:
    """A model with this configuration; the start of its name chooses the file."""
    path = server_models.write(repository, name, text)
    if name.startswith("scalar"):
        server_models.scalar(path)
    elif name.startswith("identity"):
        server_models.identity(path, server_models.TYPES["fp32"])
    else:
        server_models.add_sub(path)


def identity(x: str, y: str) -> str:
    return (
        f'backend: "onnxruntime" max_batch_size: 2 input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {x} ] }} ] '
        f'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {y} ] }} ] instance_group [ {{ kind: KIND_CPU }} ]'
    )


DIFF = ', { name: "DIFF" data_type: TYPE_FP32 dims: [ 3 ] }'
FITTING = {
    "add_sub": ADD_SUB,
    "scalar": server_models.SCALAR,
    "identity": server_models.identity_config("TYPE_FP32"),
    "some_outputs": ADD_SUB.replace(DIFF, ""),
    "identity_narrower_input": identity("7", "-1"),
    "whole_shape_without_batch": PLAIN_ADD_SUB.replace("max_batch_size: 4", "max_batch_size: 0").replace(
        "dims: [ 3 ]", "dims: [ -1, 3 ]"
    ),
    "reshaped": ADD_SUB.replace("dims: [ 3 ]", "dims: [ 3, 1 ] reshape { shape: [ 3 ] }"),
    **{
        f"graph_level_{level + 1}": ADD_SUB + f"optimization {{ graph {{ level: {level} }} }}"
        for level in (-1, 0, 1, 2)  # a model's name has no minus
    },
}


class TestContract:
    """What fits the model, by the rules of Triton's own backend; tests/e2e/test_refusals.py has what does not."""

    @pytest.mark.parametrize("name", [name for name in FITTING if not name.startswith(("scalar", "identity"))])
    def test_matching_configurations_are_accepted(self, name: str, made: Running) -> None:
        shape = (1, 3, 1) if name == "reshaped" else (1, 3)
        array = np.ones(shape, np.float32)
        with client.connect_to(made, "grpc") as connection:
            answer = connection.infer(name, {"A": array, "B": array})
        assert set(answer) == ({"SUM"} if name == "some_outputs" else {"SUM", "DIFF"})
        np.testing.assert_array_equal(answer["SUM"], 2 * array)

    def test_an_input_may_be_narrower_than_the_model(self, made: Running) -> None:
        array = np.ones((2, 7), np.float32)
        with client.connect_to(made, "grpc") as connection:
            np.testing.assert_array_equal(connection.infer("identity_narrower_input", {"X": array})["Y"], array)
            with pytest.raises(InferenceError):
                connection.infer("identity_narrower_input", {"X": array[:, :6]})


class TestParameters:
    """The parameters of Triton's own backend become ONNX Runtime's options."""

    DEFAULTS = ("SetSessionGraphOptimizationLevel 99", "SetSessionExecutionMode 0", "EnableCpuMemArena", "EnableMemPattern")

    @pytest.fixture(scope="class")
    @staticmethod
    def recorder(tmp_path_factory: pytest.TempPathFactory) -> tuple[NativeBackend, Path]:
        """The backend with a library between it and ONNX Runtime, and the file in which that notes the calls."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("not run: there is no C compiler for the recorder")
        folder = tmp_path_factory.mktemp("recorder")
        installed = native_backend.find()
        library, notes = folder / installed.onnxruntime.name, folder / "notes"
        command = [compiler, "-std=c11", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(RECORDER)]
        subprocess.run([*command, f'-DREAL="{installed.onnxruntime}"', f'-DNOTES="{notes}"', "-ldl"], check=True, timeout=60)
        return dataclasses.replace(installed, onnxruntime=library), notes

    @pytest.fixture
    @staticmethod
    def calls(recorder: tuple[NativeBackend, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
        def run(text: str) -> list[str]:
            native, notes = recorder
            monkeypatch.setattr(native_backend, "find", lambda: native)
            server_models.add_sub(server_models.write(tmp_path / "repository", "add_sub", ADD_SUB + text))
            array = np.ones((1, 3), np.float32)
            with (
                embedded.start(tmp_path / "repository", directory=tmp_path / "run") as running,
                client.connect_to(running, "grpc") as connection,
            ):
                assert connection.infer("add_sub", {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]
            lines = [line.partition(" ") for line in notes.read_text().splitlines()]
            return [call for pid, _, call in lines if int(pid) == running.process.pid]

        return run

    @staticmethod
    def parameters(**values: str) -> str:
        return "".join(f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}\n' for name, value in values.items())

    def test_defaults_are_those_of_onnx_runtime(self, calls: object) -> None:
        assert callable(calls)
        assert set(calls("")) == set(self.DEFAULTS)

    def test_every_parameter_becomes_an_option(self, calls: object) -> None:
        assert callable(calls)
        text = self.parameters(
            intra_op_thread_count="3",
            inter_op_thread_count="2",
            execution_mode="1",
            enable_mem_arena="false",
            enable_mem_pattern="0",
            **{"session.use_device_allocator_for_initializers": "1"},
        )
        assert set(calls(text)) == {
            "SetSessionGraphOptimizationLevel 99",
            "SetIntraOpNumThreads 3",
            "SetInterOpNumThreads 2",
            "SetSessionExecutionMode 1",
            "DisableCpuMemArena",
            "DisableMemPattern",
            "AddSessionConfigEntry session.use_device_allocator_for_initializers=1",
        }

    def test_an_option_of_every_run_is_set(self, calls: object) -> None:
        assert callable(calls)
        entry = "memory.enable_memory_arena_shrinkage"
        assert set(calls(self.parameters(**{entry: "cpu:0"}))) == {*self.DEFAULTS, f"AddRunConfigEntry {entry}=cpu:0"}

    @pytest.mark.parametrize(("level", "expected"), [(-1, 1), (0, 99), (1, 2), (2, 0)])
    def test_the_graph_level_becomes_an_optimization_level(self, level: int, expected: int, calls: object) -> None:
        """Triton's numbers of the levels and ONNX Runtime's differ."""
        assert callable(calls)
        found = calls(f"optimization {{ graph {{ level: {level} }} }}")
        assert f"SetSessionGraphOptimizationLevel {expected}" in found

    def test_zero_threads_leave_the_choice_to_onnx_runtime(self, calls: object) -> None:
        assert callable(calls)
        assert set(calls(self.parameters(intra_op_thread_count="0", inter_op_thread_count="0"))) == set(self.DEFAULTS)


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

    def test_bytes_that_are_not_utf_8_pass_unchanged(self, server: Running) -> None:
        """Like in Triton's own backend: ONNX Runtime copies the bytes."""
        with client.connect_to(server, "grpc") as connection:
            for content in (b"\xff\xfe", b"a\0b", b""):
                array = np.array([[content]], dtype=object)
                assert connection.infer("identity_string", {"X": array})["Y"].tolist() == [[content]]

    def test_text_that_is_cut_short_fails_only_its_request(self, server: Running) -> None:
        """The length of an element is beyond the end of the data; the next request is right."""
        body = (
            b'{"inputs":[{"name":"X","shape":[1,1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]}',
            (100).to_bytes(4, "little") + b"ab",
        )
        with client.connect_to(server, "http") as connection:
            answer = connection._connection.request(
                "POST",
                "v2/models/identity_string/infer",
                body=list(body),
                headers={"Inference-Header-Content-Length": str(len(body[0]))},
                limit=10_000,
            )
            assert answer.status == 400
            assert connection.infer("identity_string", {"X": np.array([[b"fine"]], dtype=object)})["Y"].tolist() == [[b"fine"]]

    def test_an_empty_batch_is_refused(self, server: Running) -> None:
        """Triton's core refuses it, and the next request is right."""
        with client.connect_to(server, "grpc") as connection:
            empty = np.empty((0, 3), np.float32)
            with pytest.raises(InferenceError) as caught:
                connection.infer("add_sub", {"A": empty, "B": empty})
            assert "input byte size mismatch" in str(caught.value.found)
            array = np.ones((1, 3), np.float32)
            assert connection.infer("add_sub", {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]

    def test_a_batch_that_is_too_large_is_refused(self, server: Running) -> None:
        array = np.ones((5, 3), np.float32)
        with client.connect_to(server, "grpc") as connection, pytest.raises(InferenceError, match="add_sub") as caught:
            connection.infer("add_sub", {"A": array, "B": array})
        assert "batch-size must be <= 4" in str(caught.value.found)


class TestMemory:
    def test_a_request_has_the_same_bits_wherever_its_tensors_lie(self, made: Running) -> None:
        """In the body of an HTTP request a tensor begins where its header ends; kernels of ONNX Runtime add by alignment."""
        array = np.random.default_rng(0).normal(size=(3, 37)).astype(np.float32)
        found = []
        for transport in TRANSPORTS:
            with client.connect_to(made, transport) as connection:
                answers = [connection.infer("sums", {"X": array}) for _ in range(3)]
            np.testing.assert_allclose(answers[0]["SUM"], array.sum(1, keepdims=True), rtol=1e-5)
            found += [answer["SUM"].tobytes() + answer["EXP"].tobytes() for answer in answers]
        described = {"name": "X", "shape": [3, 37], "datatype": "FP32", "parameters": {"binary_data_size": array.nbytes}}
        with client.connect_to(made, "http") as connection:
            for length in range(1, 70):
                order = {"id": "x" * length, "inputs": [described], "parameters": {"binary_data_output": True}}
                header = json.dumps(order).encode()
                answer = connection._connection.request(
                    "POST",
                    "v2/models/sums/infer",
                    body=[header, array.tobytes()],
                    headers={"Inference-Header-Content-Length": str(len(header))},
                    limit=10_000,
                )
                assert answer.status == 200
                found.append(bytes(answer.body[-len(found[0]) :]))
        assert len(set(found)) == 1


class TestSpecialInputs:
    """Inputs that Triton's batchers add, and those that a request may leave out."""

    def test_a_sequence_keeps_its_state(self, made: Running) -> None:
        import tritonclient.grpc as grpc

        def ask(connection: grpc.InferenceServerClient, sequence: int, values: list[float]) -> list[float]:
            sums = []
            for index, value in enumerate(values):
                tensor = grpc.InferInput("X", [1, 1], "FP32")
                tensor.set_data_from_numpy(np.array([[value]], np.float32))
                answer = connection.infer(
                    "sequence",
                    [tensor],
                    sequence_id=sequence,
                    sequence_start=index == 0,
                    sequence_end=index + 1 == len(values),
                )
                sums.append(float(answer.as_numpy("SUM")[0, 0]))
            return sums

        with grpc.InferenceServerClient(made.grpc_url) as connection:
            assert ask(connection, 1, [1, 2, 3]) == [1, 3, 6]
            assert ask(connection, 1, [5, 5]) == [5, 10]  # a new start forgets
        with ThreadPoolExecutor(4) as pool:

            def together(sequence: int) -> list[float]:
                with grpc.InferenceServerClient(made.grpc_url) as connection:
                    return ask(connection, sequence, [sequence] * 5)

            for sequence, sums in zip(range(10, 14), pool.map(together, range(10, 14)), strict=True):
                assert sums == [sequence * count for count in range(1, 6)]

    def test_ragged_requests_are_joined_without_padding(self, made: Running) -> None:
        def ask(length: int) -> float:
            with client.connect_to(made, "grpc") as connection:
                return float(connection.infer("ragged", {"X": np.full((1, length), 2, np.float32)})["SUM"][0, 0])

        with client.connect_to(made, "grpc") as connection:
            before = int(connection.statistics("ragged")[0].get("execution_count", 0))
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(ask, [1, 5, 2, 7, 3, 1])) == [2, 10, 4, 14, 6, 2]
        with client.connect_to(made, "grpc") as connection:
            time.sleep(0.2)  # the count is written after the answer
            assert int(connection.statistics("ragged")[0]["execution_count"]) - before < 6

    def test_an_initializer_may_be_overridden(self, made: Running) -> None:
        array = np.ones((2, 3), np.float32)
        with client.connect_to(made, "grpc") as connection:
            for _ in range(2):
                np.testing.assert_array_equal(connection.infer("overridable", {"X": array})["Y"], array + np.array([10, 20, 30]))
                weights = np.array([1, 2, 3], np.float32)
                np.testing.assert_array_equal(connection.infer("overridable", {"X": array, "W": weights})["Y"], array + weights)


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

    def test_instances_with_sessions_of_their_own_and_a_shared_one_respond(self, tmp_path: Path) -> None:
        root = tmp_path / "repository"
        for name, extra in (
            ("own", ""),
            ("shared", 'parameters { key: "share_session_between_instances" value { string_value: "true" } }'),
        ):
            text = ADD_SUB.replace("count: 1", "count: 3") + extra
            server_models.add_sub(server_models.write(root, name, text))
        array = np.ones((1, 3), np.float32)
        with embedded.start(root, directory=tmp_path / "run") as running:

            def ask(number: int) -> np.ndarray:
                with client.connect_to(running, "grpc") as connection:
                    return connection.infer(("own", "shared")[number % 2], {"A": array, "B": array})["SUM"]

            with ThreadPoolExecutor(8) as pool:
                assert {tuple(found[0]) for found in pool.map(ask, range(40))} == {(2, 2, 2)}

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
