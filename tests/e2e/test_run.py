"""The main job, from the command line, with the real server."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.support.command import CHECKOUT, MODELS, tritonize
from tests.support.leaks import nothing_left

PLACE = Path("model_repository")
STAGES = {"http", "grpc", "shm", "again", "order", "padded", "concurrent"}
CLASSIFIER = ("--input", "INPUT__0:fp32:1x4")

PRIVATE = {"USER": "somebody-7c1d", "LOGNAME": "somebody-7c1d", "SECRET_VALUE": "value-9f2e"}
"""Environment of the run whose published files a test searches for these values."""


@pytest.fixture(scope="session")
def proven(model_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Where the classifier was run, and the report."""
    folder = tmp_path_factory.mktemp("proven")
    arguments = ("run", str(model_files / "classifier.pt"), *CLASSIFIER, "--max-batch-size", "4", "--json")
    done = tritonize(*arguments, cwd=folder, env=PRIVATE)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    return folder, report


@pytest.fixture
def published(proven) -> None:
    """The same version in a repository of the test's own."""
    shutil.copytree(proven[0] / PLACE, PLACE)


@pytest.mark.server
def test_a_torchscript_file_becomes_a_proven_version(proven, model_files, monkeypatch):
    home, published = proven
    monkeypatch.chdir(home)
    assert published["verdict"] == "passed"
    assert published["published"]
    folder = PLACE / "classifier" / "1"
    assert Path(published["location"]) == folder.absolute()
    assert sorted(path.name for path in (PLACE / "classifier").iterdir()) == ["1", "config.pbtxt"]
    assert sorted(path.name for path in folder.iterdir()) == ["evidence", "model.onnx"]
    asked = {(check["stage"], check["batch_size"]) for check in published["checks"]}
    sizes = (1, 2, 4)
    assert asked >= {(stage, size) for stage in ("onnxruntime", "http", "grpc", "shm", "concurrent") for size in sizes}
    every_sample = {sample for check in published["checks"] if check["stage"] == "shm" for sample in check["samples"]}
    assert every_sample == {0, 1, 2, 3, 4, 5}  # four drawn, zeros and ones
    assert published["proved_by"]["tritonserver"] == "2.51.0"
    assert [entry for entry in os.listdir() if "staging" in entry] == []
    nothing_left()

    manifest = json.loads((folder / "evidence" / "manifest.json").read_text())
    import hashlib

    assert manifest["source"]["sha256"]["classifier.pt"] == hashlib.sha256((model_files / "classifier.pt").read_bytes()).hexdigest()
    assert manifest["files"]["1/model.onnx"]["sha256"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert manifest["onnx"]["opset"] == 18
    assert manifest["onnx"]["ir_version"] == onnx.load(folder / "model.onnx").ir_version
    assert {"torch", "onnx", "onnxruntime", "numpy", "tritonclient", "tritonize"} <= set(manifest["versions"])
    assert manifest["proved_by"]["onnxruntime"]
    assert any("stock Triton" in note and "not run here" in note for note in manifest["notes"])
    assert {row["stage"] for row in manifest["verification"]} >= {"pytorch", "onnxruntime", "http", "grpc", "shm", "concurrent"}


@pytest.mark.server
def test_no_published_byte_names_this_machine(proven, model_files):
    home, _ = proven
    places = {str(home), str(model_files), str(CHECKOUT), os.environ["HOME"], tempfile.gettempdir(), *PRIVATE.values()}
    files = [path for path in (home / PLACE).rglob("*") if path.is_file()]
    assert {"model.onnx", "config.pbtxt", "manifest.json", "report.json", "report.txt", "report.html"} <= {
        each.name for each in files
    }
    machine = re.compile(rb"\b" + re.escape(platform.node().encode()) + rb"\b")
    for path in files:
        content = path.read_bytes()
        assert {place for place in places if place.encode() in content} == set(), path
        # A machine's name may be two letters, which numbers and pixels have by chance.
        words = re.sub(rb"[A-Za-z0-9+/=]{60,}", b"", _without_weights(path) if path.suffix == ".onnx" else content)
        assert path.suffix == ".npy" or not machine.search(words), path


def _without_weights(path: Path) -> bytes:
    model = onnx.load(path)
    del model.graph.initializer[:]
    return model.SerializeToString()


@pytest.mark.server
def test_the_next_run_publishes_the_next_version_and_changes_no_file(published, model_files):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in PLACE.rglob("*") if path.is_file()}
    same = tritonize("run", str(model_files / "classifier.pt"), *CLASSIFIER, "--max-batch-size", "4")
    assert (same.returncode, same.stderr) == (0, "")
    assert "UP TO DATE classifier version 1" in same.stdout
    done = tritonize("run", str(model_files / "classifier.pt"), *CLASSIFIER, "--max-batch-size", "4", "--force")
    assert done.returncode == 0, done.stderr
    assert "PASSED classifier version 2" in done.stdout
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before

    older = tritonize("verify", "--version", "1", "--json")
    assert older.returncode == 0, older.stderr
    assert json.loads(older.stdout)["reports"][0]["version"] == 1

    other = tritonize("run", str(model_files / "classifier.pt"), *CLASSIFIER, "--max-batch-size", "8")
    assert other.returncode == 6
    assert "differs from the published one" in " ".join(other.stderr.split())
    assert "max_batch_size: 4 -> 8" in other.stderr
    assert "Export to ONNX" not in other.stderr  # the error comes before the export
    built = tritonize("build", str(model_files / "classifier.pt"), *CLASSIFIER, "--max-batch-size", "8")
    assert built.returncode == 0, built.stderr
    assert "needs --replace-config" in " ".join(built.stdout.split())
    assert sorted(os.listdir(PLACE / "classifier")) == ["1", "2", "config.pbtxt"]


def change_a_weight(folder: Path) -> None:
    model = onnx.load(folder / "1" / "model.onnx")
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] += 1.0
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "1" / "model.onnx")


def edit(old: str, new: str):
    def change(folder: Path) -> None:
        path = folder / "config.pbtxt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


@pytest.mark.server
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (change_a_weight, ["model.onnx: the file was changed", "OUTPUT__0", "elements are outside"]),
        (edit('"OUTPUT__0"', '"ANSWER"'), ["config.pbtxt: the file was changed", "ANSWER"]),
        (edit("dims: [ 4 ]", "dims: [ 5 ]"), ["config.pbtxt: the file was changed", "INPUT__0"]),
        (edit("TYPE_FP32", "TYPE_FP16"), ["config.pbtxt: the file was changed", "FP16"]),
        (edit("max_batch_size: 4", "max_batch_size: ?"), ["config.pbtxt", "4:17"]),
    ],
)
def test_verify_names_the_changed_file(published, damage, named):
    damage(PLACE / "classifier")
    bad = tritonize("verify", "--serve-anyway")
    assert bad.returncode in (1, 7), bad.stderr + bad.stdout
    told = " ".join((bad.stdout + bad.stderr).split())
    for word in named:
        assert word in told, told
    nothing_left()


@pytest.mark.slow
@pytest.mark.server
def test_a_factory_with_arguments_weights_and_labels_is_published(model_files):
    Path("zoo.py").write_text((MODELS / "zoo.py").read_text())
    Path("labels.txt").write_text("cat\ndog\nbird\n")
    Path("spec.yaml").write_text(
        f"""
schema: 1
target: {{triton: "26.06"}}
models:
  animals:
    source: zoo:classifier
    strategies: [legacy]
    kwargs: {{hidden: 16}}
    weights: {model_files / "weights.pt"}
    inputs: {{x: {{shape: [batch, 4]}}}}
    outputs: {{probabilities: {{labels: labels.txt}}}}
    max_batch_size: 3
  scores:
    source: zoo:scores
    strategies: [legacy]
    inputs: {{x: {{shape: [batch, 4]}}}}
    max_batch_size: 2
  sequence:
    source: zoo:sequence
    inputs: {{ids: {{dtype: int64, shape: [batch, length]}}}}
    axes: {{length: {{min: 1, opt: 4, max: 12}}}}
    max_batch_size: 2
  named:
    source: zoo:named
    strategies: [legacy]
    inputs: {{right: {{shape: [3, 2]}}, left: {{shape: [3, 2]}}}}
"""
    )
    done = tritonize("run", "spec.yaml", "--json", timeout=400)
    assert done.returncode == 0, done.stderr
    animals, scores, sequence, named = json.loads(done.stdout)["reports"]
    (labels,) = (PLACE / "animals").glob("labels_probabilities.*.txt")
    assert labels.read_text() == "cat\ndog\nbird\n"
    assert any("declared target is Triton 26.06" in note for note in animals["notes"])
    (one,) = [check for check in scores["checks"] if check["stage"] == "http" and check["batch_size"] == 2][:1]
    assert {tensor["name"]: tensor["found_shape"] for tensor in one["tensors"]} == {"OUTPUT__0": [2, 1], "OUTPUT__1": [2, 1]}
    shapes = {
        tuple(tensor["found_shape"]) for check in sequence["checks"] if check["stage"] == "grpc" for tensor in check["tensors"]
    }
    assert {shape[1] for shape in shapes} == {1, 4, 9, 12}  # the usual, the ends, and one in between
    assert {tensor["name"] for check in named["checks"] for tensor in check["tensors"]} == {"sum", "larger"}


def test_a_wrong_export_fails_and_is_kept_with_its_report():
    """A model that exports without a word, and wrong."""
    Path("wrong.py").write_text(
        "import torch\n"
        "class Wrong(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        if torch.compiler.is_exporting() or torch.jit.is_tracing():\n"
        "            return x * 2\n"
        "        return x * 3\n"
    )
    model = "{source: 'wrong:Wrong', strategies: [legacy], inputs: {x: {shape: [1, 4]}}}"
    Path("spec.yaml").write_text(f"schema: 1\nmodels: {{wrong: {model}}}\n")
    done = tritonize("run", "spec.yaml", "--json")
    assert done.returncode == 1, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert report["verdict"] == "failed"
    assert not PLACE.exists()
    staged = Path(report["location"])
    assert (staged / "evidence" / "report.json").is_file()
    assert json.loads((staged / "evidence" / "manifest.json").read_text())["verdict"] == "failed"
    assert [stage["verdict"] for stage in report["stages"] if stage["name"] == "server"] == ["not run"]


@pytest.mark.server
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Export", signal.SIGINT),
        ("Triton", signal.SIGTERM),
        ("Triton", signal.SIGKILL),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("Triton", signal.SIGINT), ("Export", signal.SIGTERM), ("Export", signal.SIGKILL))
        ),
    ],
)
def test_an_interrupted_run_leaves_no_process_and_no_version(model_files, number, moment):
    command = [str(Path(sys.executable).with_name("tritonize")), "run", str(model_files / "classifier.pt"), *CLASSIFIER]
    marks = {"Export": "Run PyTorch", "Triton": "Stage the version"}  # the line before the moment
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if marks[moment] in line:
                break
        time.sleep(0.6)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), rest
    if number != signal.SIGKILL:
        assert "Interrupted" in rest
        assert [entry for entry in os.listdir() if "staging" in entry] == []
    assert not PLACE.exists()
    nothing_left()


@pytest.mark.server
def test_the_python_api_runs_and_verifies(model_files, monkeypatch):
    import tritonize as api

    spec = api.Spec.model_validate(
        {
            "schema": 1,
            "models": {
                "m": {
                    "source": str(model_files / "volume.pt"),
                    "inputs": {"v": {"shape": ["batch", 1, 8, 8, 8]}},
                    "max_batch_size": 2,
                }
            },
        }
    )
    (report,) = api.run(spec)
    assert (report.verdict, report.published) == ("passed", True)
    (again,) = api.verify("model_repository")
    assert again.verdict == "passed"
    assert {check.stage for check in again.checks} == STAGES | {"new samples"}
    with pytest.raises(api.UsageError, match="no such version"):
        api.verify("model_repository", version=9)


def test_the_spec_is_checked_before_any_work():
    Path("bad.yaml").write_text("schema: 1\nmodels:\n  a/b:\n    sauce: x\n    inputs: {x: {dtype: fp33, shape: [1]}}\n")
    started = time.perf_counter()
    done = tritonize("run", "bad.yaml")
    assert done.returncode == 2
    assert {"line 3", "line 4", "line 5"} <= {word.split(":")[0].strip(" |") for word in done.stderr.splitlines()}
    assert time.perf_counter() - started < 5


def test_build_stops_at_a_staged_version(model_files):
    done = tritonize(
        "build", str(model_files / "volume.pt"), "-i", "INPUT__0:fp32:1x1x8x8x8", "-o", "features", "-o", "means", "--json"
    )
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert not report["published"]
    assert {check["stage"] for check in report["checks"]} == {"pytorch", "onnxruntime"}
    assert any("no proof of what a server answers" in note for note in report["notes"])
    names = [output.name for output in onnx.load(Path(report["location"]) / "model.onnx").graph.output]
    assert names == ["features", "means"]
    assert np.isfinite(report["checks"][0]["tensors"][0]["max_abs"])


@pytest.mark.server
def test_verify_uses_a_running_server_by_its_url(published, model_files):
    """`serve` in one process, `verify --url` in another: what a person does after a deployment."""
    command = [str(Path(sys.executable).with_name("tritonize")), "serve", "--http-port", "0", "--grpc-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert any(note.startswith("classifier version 1: ") for note in ready["checked"])
        try:
            both = tritonize("verify", "--url", f"http://{ready['http']}", "--url", f"grpc://{ready['grpc']}", "--json")
            (report,) = json.loads(both.stdout)["reports"]
            assert both.returncode == 0, both.stderr
            assert {check["stage"] for check in report["checks"]} == STAGES - {"shm"} | {
                "new samples"
            }  # without shm, which takes the server's key
            assert report["proved_by"]["tritonserver"] == "2.51.0"

            http = tritonize("verify", "--url", f"http://{ready['http']}", "--json")
            (report,) = json.loads(http.stdout)["reports"]
            assert {stage["name"]: stage["verdict"] for stage in report["stages"]}["grpc"] == "not run"
            assert http.returncode == 0, http.stderr

            later = tritonize("run", str(model_files / "scores.pt"), *CLASSIFIER, "--name", "other")
            assert later.returncode == 0, later.stderr  # published after the server was started, which serves what it knew
            absent = tritonize("verify", "-m", "other", "--url", f"http://{ready['http']}")
            assert absent.returncode == 1, absent.stderr
            assert "other version 1 on the server" in " ".join(absent.stdout.split())
        finally:
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "")
    gone = tritonize("verify", "--url", f"http://{ready['http']}")
    assert gone.returncode == 7
    assert "cannot be reached" in gone.stderr
    nothing_left()
