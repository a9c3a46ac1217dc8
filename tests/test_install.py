"""What a new user does: the README's commands in a clean clone, and the wheel outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.leaks import nothing_left

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("install")]


def fresh(home: Path) -> dict[str, str]:
    """A new user's environment; how pip reaches its index is the machine's affair and stays."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "TRITONIZE_"))}
    return {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **kept}


def run(*command: str, cwd: Path, env: dict[str, str], timeout: float = 900) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def commands_of_the_readme() -> list[str]:
    """The lines of the README's blocks that are marked as tested."""
    blocks = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    assert blocks
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("installed", ["before", pytest.param("by make", marks=pytest.mark.slow)])
def test_the_readme_in_a_clean_clone(installed, tmp_path):
    """With the packages of this checkout, or with all that `make` installs by itself, which takes some minutes more."""
    env = fresh(tmp_path / "home")
    clone = tmp_path / "clone"
    run("git", "-c", "safe.directory=*", "clone", "--quiet", str(CHECKOUT), str(clone), cwd=tmp_path, env=env)
    # The example's network is trained shorter than a user's: what is asked here is that the way works.
    flags = [f"PYTHON={sys.executable}", "STEPS=60"]
    if installed == "before":
        (clone / ".venv").symlink_to(sys.prefix)
        env["PYTHONPATH"] = str(clone)  # the packages are the checkout's, tritonize is the clone's
        flags += ["-o", ".venv/.installed"]  # whatever its time: nothing is installed into it
    told = {}
    for line in commands_of_the_readme():
        told[line] = run(*line.split(), *(flags if line.startswith("make ") else []), cwd=clone, env=env)
    assert "PASSED heart version 1" in told["make demo"]
    assert (clone / "examples/heart/model_repository/heart/1/evidence/manifest.json").is_file()
    assert (clone / "model_repository/heart/1/model.onnx").is_file()
    assert "PASSED first version 2" in told[".venv/bin/tritonize run examples/first/first.yaml"]
    status = run("git", "status", "--porcelain", cwd=clone, env=env).splitlines()
    assert (clone / "asked/request.json").is_file()
    assert {line.split()[1] for line in status} - {".venv"} == {"asked/", "model_repository/first/2/", "model_repository/heart/"}
    nothing_left()


def test_the_wheel_outside_the_checkout(tmp_path, model_files):
    """With the packages that are here, which are all that the wheel asks for."""
    env = fresh(tmp_path / "home")
    run(sys.executable, "-m", "build", "--quiet", "--outdir", str(tmp_path), str(CHECKOUT), "--wheel", cwd=tmp_path, env=env)
    (wheel,) = tmp_path.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path, env=env)
    run(*pip, "install", "--quiet", "--no-deps", f"{wheel}[torch]", cwd=tmp_path, env=env)
    own, here = (
        run(each, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path, env=env).strip()
        for each in (str(python), sys.executable)
    )
    Path(own, "packages.pth").write_text(f"{here}\n")  # behind its own, and without what makes the checkout importable
    assert "No broken requirements" in run(*pip, "check", cwd=tmp_path, env=env)
    tritonize = str(python.with_name("tritonize"))
    told = run(tritonize, "run", str(model_files / "classifier.pt"), "--input", "INPUT__0:fp32:1x4", cwd=tmp_path, env=env)
    assert "PASSED classifier version 1" in told
    place = run(str(python), "-c", "import tritonize; print(tritonize.__file__)", cwd=tmp_path, env=env)
    assert str(tmp_path / "venv") in place
    run(tritonize, "verify", cwd=tmp_path, env=env)


def test_the_committed_version_is_true():
    """The example in model_repository/ verifies, as it lies in the checkout."""
    env = {**os.environ}
    told = run(
        str(Path(sys.executable).with_name("tritonize")), "verify", str(CHECKOUT / "model_repository"), cwd=Path.cwd(), env=env
    )
    assert "PASSED first version 1" in told
