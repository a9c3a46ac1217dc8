"""What a new user does: the commands of README and documentation in a clean clone, and the wheel outside the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import tritonize as package
from tests.support import documentation
from tests.support.command import CHECKOUT
from tests.support.leaks import nothing_left

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("install")]

NATIVE = "tritonize/backends/onnxruntime/native"
LIBRARY = f"{NATIVE}/libtriton_onnxruntime.so"


def fresh(home: Path) -> dict[str, str]:
    """A new user's environment; how pip reaches its index is the machine's affair and stays."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "TRITONIZE_"))}
    return {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **kept}


def run(*command: str, cwd: Path, env: dict[str, str], timeout: float = 900) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


QUICK = ("tested",)
EVERY = ("tested", "tested in test-slow")
README = Path("README.md")


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that are files."""
    for block in documentation.blocks(page):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")


def run_page(page: Path, clone: Path, *, marks: tuple[str, ...], make_flags: str, env: dict[str, str]) -> str:
    """Run the tested blocks of a page in the clone, or with its own files in a folder of its own; what they print."""
    commands = [block.text for block in documentation.blocks(page) if block.language == "sh" and block.mark in marks]
    folder = clone
    if commands and any(block.file for block in documentation.blocks(page)):
        folder = clone.parent / "pages" / page.stem
        folder.mkdir(parents=True)
        write_files(page, folder)
    script = f'make() {{ command make "$@" {make_flags}; }}\n'
    return "".join(run("bash", "-euo", "pipefail", "-c", script + each, cwd=folder, env=env) for each in commands)


@pytest.mark.parametrize(
    ("packages", "marks"),
    [("here", QUICK), pytest.param("here", EVERY, marks=pytest.mark.slow), pytest.param("by make", EVERY, marks=pytest.mark.slow)],
    ids=["quick blocks", "every block", "the README by make"],
)
def test_the_commands_of_the_documentation_run_in_a_clean_clone(packages, marks, tmp_path):
    """With the packages of this checkout, or the README with all that `make` installs by itself, which takes some minutes more."""
    env = fresh(tmp_path / "home")
    clone = tmp_path / "clone"
    run("git", "-c", "safe.directory=*", "clone", "--quiet", str(CHECKOUT), str(clone), cwd=tmp_path, env=env)
    # The example's network is trained for a shorter time than a user's, since only the commands are tested.
    flags = f"PYTHON={sys.executable} STEPS=60"
    pages = [README]
    if packages == "here":
        pages = documentation.pages()
        (clone / ".venv").symlink_to(sys.prefix)
        env["PYTHONPATH"] = str(clone)  # the packages are the checkout's, tritonize is the clone's
        flags += " -o .venv/.installed"  # regardless of its time: nothing is installed into it
        shutil.copy2(CHECKOUT / LIBRARY, clone / LIBRARY)  # what installing the clone would compile
    env["PATH"] = f"{clone / '.venv/bin'}:{env['PATH']}"
    printed = {page: run_page(page, clone, marks=marks, make_flags=flags, env=env) for page in pages}
    assert "PASSED first version 2" in printed[README]
    assert (clone / "model_repository/first/2/model.onnx").is_file()
    if marks == EVERY:
        assert "PASSED heart version 1" in printed[README]
        assert (clone / "examples/heart/model_repository/heart/1/evidence/manifest.json").is_file()
        assert (clone / "model_repository/heart/1/model.onnx").is_file()
    status = run("git", "status", "--porcelain", cwd=clone, env=env).splitlines()
    assert {line.split()[1] for line in status} - {".venv"} == set()  # git ignores what the commands leave
    nothing_left()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    env = fresh(folder / "home")
    run(sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(CHECKOUT), cwd=folder, env=env)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def tracked(*folders: str) -> set[str]:
    """The files below some folders that git tracks."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", *folders], cwd=CHECKOUT, capture_output=True, check=True
    )
    return {name for name in listed.stdout.decode().split("\0") if name}


def test_the_wheel_has_the_package_its_templates_and_the_native_backend_only(distributions):
    names = set(zipfile.ZipFile(distributions[0]).namelist())
    ours = {name for name in names if ".dist-info/" not in name}
    code = tracked("tritonize") - tracked(NATIVE)
    templates = {f"tritonize/{name}" for name in tracked("templates")}
    assert ours == code | templates | {LIBRARY}
    about = {name.split("/", 1)[1] for name in names - ours}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_has_the_files_to_build_and_test_the_package(distributions):
    with tarfile.open(distributions[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert names - {"PKG-INFO", ".gitignore"} == tracked(*wanted) | {"pyproject.toml"}


def test_the_wheel_is_for_the_glibc_that_its_library_needs(distributions):
    assert distributions[0].name.endswith("-py3-none-manylinux_2_28_x86_64.whl")
    library = zipfile.ZipFile(distributions[0]).read(LIBRARY)
    versions = {tuple(map(int, each.split(b"."))) for each in re.findall(rb"GLIBC_([0-9.]+)\0", library)}
    assert (2, 17) <= max(versions) <= (2, 28)
    assert str(CHECKOUT).encode() not in library


@pytest.mark.slow
def test_a_wheel_for_aarch64_is_cross_compiled(tmp_path):
    env = {**fresh(tmp_path / "home"), "TRITONIZE_MACHINE": "aarch64"}
    run(sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", str(tmp_path), str(CHECKOUT), cwd=tmp_path, env=env)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-manylinux_2_28_aarch64.whl")
    library = zipfile.ZipFile(wheel).read(LIBRARY)
    assert library[:6] == b"\x7fELF\x02\x01"  # 64 bits, little-endian
    assert int.from_bytes(library[18:20], "little") == 183  # EM_AARCH64 of elf.h
    versions = {tuple(map(int, each.split(b"."))) for each in re.findall(rb"GLIBC_([0-9.]+)\0", library)}
    assert (2, 17) <= max(versions) <= (2, 28)  # 2.17 is the first with aarch64
    assert all(name in library for name in (b"TRITONBACKEND_ModelInstanceExecute\0", b"tritonize_probe\0"))


@pytest.mark.slow
def test_a_second_build_makes_the_same_bytes(distributions, tmp_path):
    """From the sdist, in another folder."""
    wheel, sdist = distributions
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(sdist)),
        cwd=tmp_path,
        env=fresh(tmp_path / "home"),
    )
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_version_is_defined_in_one_place(distributions):
    assert distributions[0].name.startswith(f"tritonize-{package.__version__}-")
    assert importlib.metadata.version("tritonize") == package.__version__


def test_the_wheel_works_outside_the_checkout(tmp_path, model_files, distributions):
    """With the packages that are here, which are all that the wheel asks for."""
    env = fresh(tmp_path / "home")
    wheel, _ = distributions
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


def test_the_committed_example_version_verifies():
    """The example in model_repository/ of the checkout verifies."""
    env = {**os.environ}
    told = run(
        str(Path(sys.executable).with_name("tritonize")), "verify", str(CHECKOUT / "model_repository"), cwd=Path.cwd(), env=env
    )
    assert "PASSED first version 1" in told
