"""The command line as a user meets it: help, completion, exit codes, bad input."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import MODELS, invoke, tritonize
from tests.support.in_process import in_process  # noqa: F401 - a fixture
from tests.support.leaks import INPUT, nothing_left, refused, untouched
from tests.support.small_disk import mounted

CLEAN = {"PYTHONDONTWRITEBYTECODE": "1"}
HEAVY = ("torch", "onnx", "onnxruntime", "onnxslim", "tensorrt", "tritonclient", "grpc", "numpy", "pydantic", "jinja2")


def _cpu_seconds(*command: str) -> float:
    """Processor time of a command that is started five times: the least of them. It depends on the machine, less so on its load."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_help_costs_little_more_than_the_import_of_typer():
    """On a quiet machine that is 0.1 s of processor time, where the import of all commands was 0.27 s."""
    code = "import sys; sys.argv = ['tritonize', '--help']; from tritonize.cli import main; main()"
    assert _cpu_seconds(sys.executable, "-c", code) < 1.7 * _cpu_seconds(sys.executable, "-c", "import typer")


@pytest.mark.parametrize(
    "statement", ["import tritonize", "import tritonize.cli.app", "import tritonize.core.artifacts, tritonize.core.errors"]
)
def test_an_import_loads_no_heavy_package(statement):
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_api_imports_neither_torch_nor_onnx():
    heavy = ("torch", "onnx", "onnxruntime", "onnxslim", "tensorrt")
    code = f"import sys, tritonize.api; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    done = tritonize(env={"_TRITONIZE_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0
    assert "tritonize" in done.stdout
    words = {"_TRITONIZE_COMPLETE": f"complete_{shell}", "COMP_WORDS": "tritonize ver", "COMP_CWORD": "1"}
    typed = {"_TYPER_COMPLETE_ARGS": "tritonize ver", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "verify" in tritonize(env=words | typed).stdout


@pytest.fixture
def models(model_files: Path) -> set[str]:
    """Every model file and the module `zoo`, in the working folder; the names there."""
    for path in (*model_files.iterdir(), MODELS / "zoo.py"):
        shutil.copy(path, path.name)
    return set(os.listdir())


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "classifier.pt"], 2, ["inputs are not described", "x (tensor)", "--input x:fp32:"]),
        (["run", "empty.pt", *INPUT], 2, ["not a TorchScript file", "empty file"]),
        (["run", "pickle.pt", *INPUT], 2, ["not a TorchScript file", "tritonize loads no pickles", "torch.jit"]),
        (["run", "truncated.pt", *INPUT], 2, ["not a TorchScript file", "truncated"]),
        (["run", "classifier.pt", *INPUT, "--input", "INPUT__1:fp32:1x4"], 2, ["do not match the parameters of"]),
        (["run", "classifier.pt", *INPUT, "--output", "a", "--output", "b"], 2, ["different number of outputs"]),
        (["run", "classifier.pt", *INPUT, "--opset", "99"], 2, ["opset"]),
        (["run", "zoo:named", "--input", "left:fp32:1x4", "--input", "rigth:fp32:1x4"], 2, ["expected: left, right", "rigth"]),
        (["run", "zoo:nothing", *INPUT], 2, ["The factory does not exist"]),
        (["run", "nowhere:nothing", *INPUT], 2, ["cannot find the module 'nowhere'"]),
        (["run", "zoo:no_module", *INPUT], 2, ["did not return a torch.nn.Module", "int"]),
        (["run", "zoo:mixes_batch", *INPUT], 2, ["not batchable", "max_batch_size to 0"]),
        (["run", "zoo:sums_batch", *INPUT], 2, ["not batchable", "shape []"]),
        (["run", "classifier.pt", "--input", "INPUT__0:fp32:1x5"], 4, ["raised an error", "1x5 and 4x8", "INPUT__0: fp32 [1, 5]"]),
        (["run", "classifier.pt", "--input", "INPUT__0:int64:1x4"], 4, ["raised an error", "same dtype", "int64"]),
        (["run", "zoo:fails", *INPUT], 4, ["factory raised", "cannot find its file"]),
        (["run", "zoo:text", *INPUT], 4, ["output is not a tensor", "a str"]),
    ],
)  # fmt: skip
def test_bad_input_gets_one_error_and_leaves_no_files(models, arguments, code, words):
    refused(invoke(*arguments, env=CLEAN), code, words)
    untouched(models)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-command"], 2, ["No such command"]),
        (["run", "text.pt", *INPUT], 2, ["not a TorchScript file", "neither an archive nor a pickle"]),
        (["run", "zoo:raises", *INPUT], 4, ["dislikes (1, 4)", "zoo.py:"]),
        (["run", "zoo:exits", *INPUT], 4, ["exited with code 3 before"]),
    ],
)  # fmt: skip
def test_bad_input_of_the_installed_command_gets_one_error(models, arguments, code, words):
    """With the entry point and the workers in processes of their own."""
    refused(tritonize(*arguments, env=CLEAN), code, words)
    untouched(models)


def test_a_model_that_hangs_ends_at_its_deadline():
    shutil.copy(MODELS / "zoo.py", "zoo.py")
    Path("s.yaml").write_text("schema: 1\nmodels: {m: {source: 'zoo:hangs', inputs: {x: {shape: [1, 4]}}, deadline_s: 5}}\n")
    before = set(os.listdir())
    started = time.perf_counter()
    done = tritonize("run", "s.yaml", env=CLEAN)
    assert done.returncode == 4
    assert "did not finish within 5" in " ".join(done.stderr.split())
    assert time.perf_counter() - started < 20
    untouched(before)


def test_a_missing_server_without_network_is_exit_code_3(model_files, tmp_path):
    offline = {"TRITONIZE_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    offline |= {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PIP_NO_CACHE_DIR": "1"}
    before = set(os.listdir())
    done = tritonize("run", str(model_files / "classifier.pt"), *INPUT, env=offline)
    assert done.returncode == 3, done.stderr
    assert "no package index can be reached" in " ".join(done.stderr.split())
    assert "tritonize doctor --install-server" in done.stderr
    left = [str(path) for path in (tmp_path / "cache").rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert left == []
    untouched(before | {"cache"})
    looked = tritonize("doctor", env=offline)
    assert looked.returncode == 0, looked.stdout
    assert "– the embedded server: not installed: the first run installs it" in looked.stdout
    assert "– Triton's Python backend, for plans and Python models alone: not installed" in " ".join(looked.stdout.split())
    assert max(len(line) for line in looked.stdout.splitlines() if "/" not in line) <= 80
    assert "the package tensorrt_rtx, for plans alone: " in looked.stdout


def test_a_missing_torch_is_exit_code_3(model_files, tmp_path):
    """In an interpreter that sees every package but torch."""
    code = (
        "import sys, importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest);"
        "sys.argv = ['tritonize', 'run', sys.argv[1], '--input', 'INPUT__0:fp32:1x4'];"
        "from tritonize.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_files / "classifier.pt")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert 'pip install "tritonize[torch]"' in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path):
    """A disk of 300 KiB."""
    folder = tmp_path / "small"
    if not mounted(folder, "300k"):
        pytest.skip("not run: mounting a small disk takes rights that this user lacks")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_exit_code_6_and_leaves_no_files(full_disk, model_files):
    before = list(full_disk.rglob("*"))
    done = tritonize(
        "run", str(model_files / "volume.pt"), "--input", "INPUT__0:fp32:1x1x32x32x32", "--repository", str(full_disk / "models")
    )
    assert done.returncode == 6, done.stderr
    assert "not enough free disk space for the samples" in " ".join(
        done.stderr.split()
    )  # for the samples, whose size is known before they are drawn
    assert str(full_disk) in done.stderr
    assert list(full_disk.rglob("*")) == before
    nothing_left()


@pytest.mark.parametrize("stage", ["reference", "export", "onnxruntime"])
def test_a_disk_that_fills_up_later_is_exit_code_6(stage, tmp_path, model_files):
    """Workers write as well: the limit is met by another stage each time."""
    sizes = {"reference": "700k", "export": "2600k", "onnxruntime": "3300k"}
    folder = tmp_path / "small"
    if not mounted(folder, sizes[stage]):
        pytest.skip("not run: mounting a small disk takes rights that this user lacks")
    try:
        done = tritonize(
            "run", str(model_files / "volume.pt"), "--input", "INPUT__0:fp32:1x1x32x32x32", "--repository", str(folder / "models")
        )
        assert done.returncode == 6, done.stderr
        assert "space is left on the disk" in done.stderr
        assert list(folder.rglob("*")) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_bug_is_exit_code_70_with_versions():
    code = (
        "import sys, tritonize.cli.app as a; sys.argv = ['tritonize', 'x'];"
        "a.app.command('x')(lambda: 1 / 0); from tritonize.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "This is a bug in tritonize: ZeroDivisionError" in done.stderr
    assert "onnxruntime" in done.stderr
    assert "Traceback" in done.stderr
