"""Models that never end, or need more memory than there is, on the real server: an error in bounded time, and no process left."""

from __future__ import annotations

import functools
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support import server_models
from tests.support.command import CHECKOUT, tritonize
from tests.support.leaks import nothing_left
from tests.support.waiting import processes_of
from tritonize.core.errors import InferenceError, ServerError
from tritonize.triton import client, serving
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running

pytestmark = pytest.mark.server
FLOAT = TensorProto.FLOAT
ONES = np.ones((1, 3), np.float32)


def _config(outputs: int) -> str:
    return f"""
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 3 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {outputs} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""


def _loop(step: str, axis: dict[str, int], *operands: str) -> list[object]:
    """A loop without a limit, whose condition stays true: its value becomes `step` of the value and the operands."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node(step, ["value", *operands], ["next"], **axis)],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("value", FLOAT, ["batch", "n"])],
        [value("on", TensorProto.BOOL, []), value("next", FLOAT, ["batch", "m"])],
    )
    return [helper.make_node("Loop", ["", "GO", "X"], ["LAST"], body=body)]


def endless(path: Path) -> Path:
    """Y is never computed."""
    nodes = [*_loop("Add", {}, "value"), helper.make_node("ReduceSum", ["LAST", "AXIS"], ["Y"], keepdims=1)]
    constants = {"GO": np.array(True), "AXIS": np.array([1], np.int64)}
    return server_models.save(path, nodes, [("X", FLOAT, ["batch", 3])], [("Y", FLOAT, ["batch", 1])], constants)


def growing(path: Path) -> Path:
    """Y is the sum of X and copies of it, whose number doubles without end."""
    nodes = [*_loop("Concat", {"axis": 1}, "value"), helper.make_node("ReduceSum", ["LAST", "AXIS"], ["Y"], keepdims=1)]
    constants = {"GO": np.array(True), "AXIS": np.array([1], np.int64)}
    return server_models.save(path, nodes, [("X", FLOAT, ["batch", 3])], [("Y", FLOAT, ["batch", 1])], constants)


def huge(path: Path) -> Path:
    """Y is the sum of 10^13 copies of X."""
    nodes = [helper.make_node("Expand", ["X", "SHAPE"], ["ALL"]), helper.make_node("ReduceSum", ["ALL", "AXES"], ["Y"], keepdims=0)]
    constants = {"SHAPE": np.array([10**7, 10**6, 1, 3], np.int64), "AXES": np.array([0, 1], np.int64)}
    return server_models.save(path, nodes, [("X", FLOAT, ["batch", 3])], [("Y", FLOAT, ["batch", 3])], constants)


MODELS = {"endless": (endless, 1), "growing": (growing, 1), "huge": (huge, 3)}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("endless")
    for name, (write, outputs) in MODELS.items():
        write(server_models.write(root / "repository", name, _config(outputs)))
    server_models.add_sub(server_models.write(root / "repository", "add_sub", server_models.ADD_SUB))
    with embedded.start(root / "repository", directory=root / "run") as running:
        yield running


def others_are_answered(server: Running) -> None:
    with client.connect_to(server, "grpc", timeout_s=20) as connection:
        assert connection.infer("add_sub", {"A": ONES, "B": ONES})["SUM"].tolist() == [[2, 2, 2]]


class TestServer:
    def test_more_memory_than_there_is_is_an_error(self, hostile: Running) -> None:
        with client.connect_to(hostile, "grpc", timeout_s=60) as connection:
            for _ in range(2):
                with pytest.raises(InferenceError, match="huge") as caught:
                    connection.infer("huge", {"X": ONES})
                assert "Failed to allocate memory for requested buffer of size 120000000000000" in str(caught.value.found)
        others_are_answered(hostile)

    def test_memory_that_grows_until_a_limit_is_an_error(self, hostile: Running) -> None:
        """The limit is that of the server's address space, as of a control group: the model gets an error, the server goes on."""
        pid = hostile.process.pid
        now = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.prlimit(pid, resource.RLIMIT_AS, (now + 2**30, resource.RLIM_INFINITY))
        try:
            with client.connect_to(hostile, "grpc", timeout_s=60) as connection:
                with pytest.raises(InferenceError, match="growing") as caught:
                    connection.infer("growing", {"X": ONES})
                assert "Failed to allocate memory" in str(caught.value.found)
            others_are_answered(hostile)
        finally:
            resource.prlimit(pid, resource.RLIMIT_AS, before)

    def test_a_request_that_never_ends_is_an_error_after_the_clients_timeout(self, hostile: Running) -> None:
        for transport in ("grpc", "shm"):
            with client.connect_to(hostile, transport, timeout_s=1) as connection:
                with pytest.raises(ServerError) as caught:
                    connection.infer("endless", {"X": ONES})
                assert (caught.value.code, caught.value.exit_code) == ("server-silent", 7)
            others_are_answered(hostile)


def test_a_server_whose_model_runs_without_end_is_stopped(tmp_path: Path) -> None:
    """Over HTTP the request goes on in the server, whatever its client does; the end of the context ends both."""
    endless(server_models.write(tmp_path / "repository", "endless", _config(1)))
    with embedded.start(tmp_path / "repository", directory=tmp_path / "run") as running:
        with client.connect_to(running, "http", timeout_s=1) as connection, pytest.raises(ServerError):
            connection.infer("endless", {"X": ONES})
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert processes_of(running.shm_prefix) == []


def test_a_model_that_does_not_answer_its_first_request_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(server_models.write(tmp_path / "repository", "endless", _config(1)))
    monkeypatch.setattr(serving.client, "connect_to", functools.partial(client.connect_to, timeout_s=2))
    with (
        pytest.raises(ServerError, match="'endless' is loaded but does not answer its first request") as caught,
        serving.serve(tmp_path / "repository", directory=tmp_path / "run"),
    ):
        pass
    assert (caught.value.code, caught.value.exit_code, caught.value.where) == ("server-model-unanswered", 7, "endless version 1")
    assert "did not send a complete response within 2 s" in str(caught.value.found)
    assert processes_of(str(tmp_path)) == []


@pytest.mark.slow
class TestCommands:
    SPEC = """
schema: 1
models:
  twice:
    source: twice.onnx
    custom_op_libraries: ['{library}']
    inputs: {{X: {{shape: [batch, 3]}}}}
    max_batch_size: 2
"""

    @pytest.fixture
    @staticmethod
    def library(tmp_path: Path) -> Path:
        """A library whose operator works everywhere, and the model and the spec that use it."""
        made = tmp_path / "libtwice.so"
        TestCommands.compile(made)
        graph = helper.make_graph(
            [helper.make_node("Twice", ["X"], ["Y"], domain="test.shop")],
            "graph",
            [helper.make_tensor_value_info("X", FLOAT, ["batch", 3])],
            [helper.make_tensor_value_info("Y", FLOAT, ["batch", 3])],
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("test.shop", 1)]
        Path("twice.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
        Path("s.yaml").write_text(TestCommands.SPEC.format(library=made))
        return made

    @staticmethod
    def compile(library: Path, *options: str) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("not run: there is no C compiler for the library of operators")
        source = CHECKOUT / "tests/support/custom_operators.c"
        subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", str(library), str(source)], check=True, timeout=60)

    @pytest.mark.parametrize(
        ("statement", "said"),
        [("for(;;);", "did not finish within 25 s"), ("abort()", "was killed by SIGABRT"), ("raise(9)", "was killed by SIGKILL")],
    )
    def test_a_run_ends_by_its_deadline_and_leaves_no_process(self, statement: str, said: str, library: Path) -> None:
        """What loops for ever in the server, what crashes it, and what the kernel ends for its memory."""
        self.compile(library, "-include", "signal.h", f"-DIN_SERVER={statement}")
        began = time.monotonic()
        done = tritonize("run", "s.yaml", "--deadline", "25", timeout=120)
        assert (done.returncode, time.monotonic() - began < 60) == (7, True), done.stdout + done.stderr
        assert said in " ".join((done.stdout + done.stderr).split())
        nothing_left()
        assert not Path("model_repository/twice/1").exists()

    @pytest.mark.parametrize("statement", ["for(;;);", "abort()"])
    def test_a_verification_ends_by_its_deadline_and_leaves_no_process(self, statement: str, library: Path) -> None:
        """The library of a published version changes, which no file of the version tells."""
        done = tritonize("run", "s.yaml", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.compile(library, f"-DIN_SERVER={statement}")
        began = time.monotonic()
        done = tritonize("verify", "--deadline", "15", timeout=120)
        assert (done.returncode, time.monotonic() - began < 45) == (7, True), done.stdout + done.stderr
        nothing_left()

    @pytest.mark.parametrize(
        ("write", "arguments", "said"),
        [
            (endless, ("--deadline", "20"), "did not finish within 20 s"),
            (huge, (), "Failed to allocate memory"),
            (growing, ("--deadline", "100"), "too much memory"),
        ],
    )
    def test_a_run_of_the_model_alone_ends_before_the_server(self, write: object, arguments: tuple[str, ...], said: str) -> None:
        assert callable(write)
        write(Path("model.onnx"))
        Path("s.yaml").write_text("schema: 1\nmodels: {m: {source: model.onnx, memory_mib: 1500, inputs: {X: {shape: [1, 3]}}}}\n")
        done = tritonize("run", "s.yaml", *arguments, timeout=200)
        assert done.returncode not in (0, 1, 70), done.stdout + done.stderr
        assert said in " ".join((done.stdout + done.stderr).split())
        nothing_left()

    def test_serve_fails_where_its_own_first_request_crashes_the_server(self, library: Path) -> None:
        done = tritonize("run", "s.yaml", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.compile(library, "-DIN_SERVER=abort()")
        done = tritonize("serve", "--http-port", "0", "--grpc-port", "0", timeout=120)
        assert done.returncode == 7, done.stdout + done.stderr
        assert "was killed by SIGABRT" in " ".join((done.stdout + done.stderr).split())
        nothing_left()
