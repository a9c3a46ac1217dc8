"""Ensembles with Python steps on the real server: the example, planted faults, and steps that misbehave."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import CHECKOUT, tritonize
from tests.support.leaks import nothing_left
from tritonize.triton import client
from tritonize.triton.server import embedded

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("pipelines")]  # one worker runs the example once for all
EXAMPLE = CHECKOUT / "examples/pipeline"


MODELS = ("decode", "classifier", "decide", "pictures", "tokenize")
"""The models of the example without the last two, whose kinds are among these; a slow test runs all of them."""


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict]]:
    """The folder in which the example ran, and the reports by model."""
    folder = tmp_path_factory.mktemp("pipeline")
    return folder, run_example(folder, MODELS)


def run_example(folder: Path, models: tuple[str, ...] = ()) -> dict[str, dict]:
    """Run the example in a folder; returns the reports by model."""
    for path in EXAMPLE.iterdir():
        shutil.copy(path, folder)
    chosen = [word for model in models for word in ("-m", model)]
    done = tritonize("run", "pipeline.yaml", *chosen, "--json", cwd=folder, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return {report["model"]: report for report in json.loads(done.stdout)["reports"]}


@pytest.fixture
def folder(ran: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in a folder of the test's own."""
    shutil.copytree(ran[0], tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


def test_the_example_is_proven_end_to_end_and_records_its_steps(ran: tuple[Path, dict[str, dict]]) -> None:
    home, reports = ran
    assert {name: report["verdict"] for name, report in reports.items()} == dict.fromkeys(reports, "passed")
    assert list(reports).index("pictures") > max(list(reports).index(name) for name in ("decode", "classifier", "decide"))
    compared = {check["stage"] for check in reports["pictures"]["checks"]}
    assert compared == {"pytorch", "http", "grpc", "shm", "again", "order", "padded", "concurrent"}
    assert any("own function" in note for note in reports["tokenize"]["notes"])
    assert any(floor["output"] == "probability" for floor in reports["pictures"]["floors"])  # of float64
    known = json.loads((home / "model_repository/pictures/1/evidence/manifest.json").read_text())
    assert set(known["steps"]) == {"decode", "classifier", "decide"}
    decode = json.loads((home / "model_repository/decode/1/evidence/manifest.json").read_text())
    assert known["steps"]["decode"]["files"]["1/image_steps.py"] == decode["files"]["1/image_steps.py"]["sha256"]
    files = {path.name for path in (home / "model_repository/decode/1").iterdir()}
    assert files == {"model.py", "image_steps.py", "evidence", "__pycache__"}
    assert (home / "model_repository/decode/1/__pycache__").is_file()  # no bytecode was written into the version
    assert {path.name for path in (home / "model_repository/pictures/1").iterdir()} == {"evidence"}


def test_a_request_that_fails_does_not_fail_its_neighbours(ran: tuple[Path, dict], tmp_path: Path) -> None:
    """The step gets text that is not UTF-8 in one request of a batch, and a good one in the other."""
    with (
        embedded.start(ran[0] / "model_repository", directory=tmp_path / "run", models=["tokenize"]) as server,
        client.connect_to(server, "grpc") as connection,
    ):
        bad, good = np.array([[b"\xff\xfe"]], object), np.array([[b"Not good"]], object)
        with pytest.raises(Exception, match=r"text_steps.py:tokenize: UnicodeEncodeError"):
            connection.infer("tokenize", {"text": bad})
        assert connection.infer("tokenize", {"text": good})["ids"].tolist() == [[2, 3, *[0] * 10]]


def test_a_wrong_step_is_found_by_the_comparison_of_the_whole_and_later_by_verify(folder: Path) -> None:
    """The step passes by itself, since its reference is the function itself; the whole differs from PyTorch."""
    change("shares.argmax(axis=1)", "shares.argmin(axis=1)")
    done = tritonize("run", "pipeline.yaml", "-m", "decide", "-m", "pictures", "--json", timeout=200)
    assert done.returncode == 1, done.stderr
    own, whole = json.loads(done.stdout)["reports"]
    assert (own["verdict"], whole["verdict"], whole["published"]) == ("passed", "failed", False)
    assert not Path("model_repository/pictures/2").exists()
    assert {tensor["name"] for check in whole["checks"] for tensor in check["tensors"] if not tensor["passed"]} == {"label"}

    found = tritonize("verify", "-m", "pictures")
    assert found.returncode == 1
    told = " ".join(found.stdout.split())
    assert "proven with another version of its step decide" in told
    assert "expected version 1 found version 2" in told
    served = tritonize("serve", "-m", "pictures", "--http-port", "0", "--grpc-port", "0")
    assert served.returncode == 1
    assert "another version of its step decide" in " ".join((served.stdout + served.stderr).split())


def change(old: str, new: str) -> None:
    steps = Path("image_steps.py")
    assert old in steps.read_text()
    steps.write_text(steps.read_text().replace(old, new))


@pytest.mark.slow
def test_the_whole_example_passes_and_an_ensemble_runs_again_after_its_step(tmp_path: Path, monkeypatch) -> None:
    reports = run_example(tmp_path)
    assert {name: report["verdict"] for name, report in reports.items()} == dict.fromkeys(reports, "passed")
    assert len(reports) == len(MODELS) + 2
    assert "concurrent" in {check["stage"] for check in reports["texts"]["checks"]}
    monkeypatch.chdir(tmp_path)
    change("float32(0.45)", "float32(0.4)")  # network.py takes the mean from there, so the whole is still right
    done = tritonize("run", "pipeline.yaml", "--json", timeout=200)
    assert done.returncode == 0, done.stderr
    reports = {report["model"]: report for report in json.loads(done.stdout)["reports"]}
    assert {name: report["version"] for name, report in reports.items() if not report["details"].get("up_to_date")} == {
        "classifier": 2,  # its file imports image_steps.py
        "decode": 2,
        "decide": 2,
        "pictures": 2,
        "mood": 2,
        "texts": 2,
    }
    assert reports["pictures"]["details"]["steps"]["decode"]["version"] == 2
    done = tritonize("diff", "pictures", "1", "2", "--json", timeout=200)
    assert done.returncode == 1, done.stderr  # another mean, so another probability
    found = json.loads(done.stdout)
    assert {each["output"]: each["mismatched_samples"] > 0 for each in found["drift"]} == {"label": False, "probability": True}
    assert all(each["k"].values() for each in found["drift"] if each["output"] == "probability")
    assert any("decode 1 -> 2" in note for note in found["notes"])


@pytest.mark.slow
def test_a_small_error_of_a_step_is_found_by_the_noise_floor(folder: Path) -> None:
    change("/ np.float32(255)", "/ np.float32(254)")
    done = tritonize("run", "pipeline.yaml", "-m", "decode", "-m", "pictures", "--json", timeout=200)
    assert done.returncode == 1, done.stderr
    whole = json.loads(done.stdout)["reports"][1]
    assert {gate["gate"] for gate in whole["gates"] if gate["verdict"] == "failed"} == {"noise floor"}


STEP = """
schema: 1
models:
  step:
    python: steps.py:f
    inputs: {x: {shape: [batch, 3]}}
    outputs: {y: {dtype: fp32, shape: [batch, 3]}}
    max_batch_size: 2
    samples: {count: 1}
    deadline_s: 6
  whole:
    source: net:Whole
    ensemble: [{model: step}]
    inputs: {x: {shape: [batch, 3]}}
    outputs: {y: {}}
    max_batch_size: 2
"""
SERVED = "import sys\nserved = 'triton_python_backend_utils' in sys.modules\n"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("def f(x): raise ValueError('no such picture')", 4, "found: ValueError: no such picture"),
        pytest.param("def f(x):\n    while True: pass", 4, "did not finish within 6.0 s", marks=pytest.mark.slow),
        ("import os\ndef f(x): os._exit(3)", 4, "exited with code 3"),
        ("def f(x): return x.astype('float64')", 2, "expected: y: fp32 [1, 3] found: fp64 [1, 3]"),
        pytest.param(
            f"{SERVED}def f(x):\n    while served: pass\n    return x",
            7,
            "does not answer its first request",
            marks=pytest.mark.slow,
        ),
        (f"{SERVED}import os\ndef f(x):\n    return os._exit(3) if served else x", 7, "its process in the server has died"),
    ],
)
def test_a_step_that_misbehaves_ends_in_an_error_within_its_deadline(body: str, code: int, text: str) -> None:
    Path("steps.py").write_text(body)
    Path("spec.yaml").write_text(STEP)
    started = time.monotonic()
    done = tritonize("run", "spec.yaml", "-m", "step", timeout=100)
    assert done.returncode == code, done.stderr
    assert text in " ".join(done.stderr.split())
    assert time.monotonic() - started < 45
    assert not Path("model_repository").exists()
    nothing_left()


SWAPPED = """
schema: 1
models:
  step:
    python: steps.py:f
    inputs: {a: {shape: [batch, 3]}, b: {shape: [batch, 3]}}
    outputs: {y: {dtype: fp32, shape: [batch, 3]}}
    max_batch_size: 2
  whole:
    source: net:Whole
    ensemble: [{model: step, inputs: {a: right, b: left}}]
    inputs: {left: {shape: [batch, 3]}, right: {shape: [batch, 3]}}
    outputs: {y: {}}
    max_batch_size: 2
"""


@pytest.mark.slow
def test_swapped_tensors_are_found() -> None:
    Path("net.py").write_text(
        "import torch\nclass Whole(torch.nn.Module):\n    def forward(self, left, right): return left - right"
    )
    Path("steps.py").write_text("def f(a, b): return a - b")
    Path("spec.yaml").write_text(SWAPPED)
    done = tritonize("run", "spec.yaml")
    assert done.returncode == 1, done.stderr
    assert "PASSED step version 1" in done.stdout
    assert "FAILED whole version 1" in done.stdout
    assert "comparisons outside the tolerance, first output y" in " ".join(done.stdout.split())
    assert sorted(path.name for path in Path("model_repository").iterdir()) == ["step"]


def test_a_whole_with_an_unproven_step_does_not_run() -> None:
    Path("steps.py").write_text(f"{SERVED}def f(a, b): return a - b + 1 if served else a - b")  # wrong on the server only
    Path("spec.yaml").write_text(SWAPPED)
    done = tritonize("run", "spec.yaml")
    assert done.returncode == 1, done.stderr
    assert "FAILED step version 1" in done.stdout
    assert "NOT RUN whole: server: its step 'step' was not published" in " ".join(done.stdout.split())
    assert not Path("model_repository").exists()
    built = tritonize("build", "spec.yaml", "-m", "whole")
    assert built.returncode == 3, built.stderr
    assert "is compared when it is served" in " ".join(built.stdout.split())
