"""The C sources of the native backend: no warning, no library but the C library's, and only Triton's functions visible."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT

SOURCES = CHECKOUT / "tritonize/backends/onnxruntime/native"
FLAGS = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared")

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler cc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("native") / "libtriton_onnxruntime.so"
    files = sorted(map(str, SOURCES.glob("*.c")))
    done = subprocess.run(["cc", *FLAGS, "-o", made, *files, "-ldl", "-lpthread"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return made


def readelf(library: Path, option: str) -> str:
    if not shutil.which("readelf"):
        pytest.skip("there is no readelf")
    return subprocess.run(["readelf", "--wide", option, library], capture_output=True, text=True, check=True).stdout


def test_the_library_needs_only_the_c_library(library: Path) -> None:
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(library, "--dynamic")))
    assert needed <= {"libc.so.6", "libdl.so.2", "libpthread.so.0"}


def test_only_the_functions_that_triton_and_the_probe_call_are_visible(library: Path) -> None:
    rows = [line.split() for line in readelf(library, "--dyn-syms").splitlines() if re.match(r"\s*\d+:", line)]
    defined = {row[7] for row in rows if len(row) > 7 and row[6] != "UND"}
    assert defined == {
        "TRITONBACKEND_Initialize",
        "TRITONBACKEND_Finalize",
        "TRITONBACKEND_GetBackendAttribute",
        "TRITONBACKEND_ModelInitialize",
        "TRITONBACKEND_ModelFinalize",
        "TRITONBACKEND_ModelInstanceInitialize",
        "TRITONBACKEND_ModelInstanceFinalize",
        "TRITONBACKEND_ModelInstanceExecute",
        "tritonize_probe",
    }


def test_every_function_of_triton_that_is_missing_outside_a_server_is_weak(library: Path) -> None:
    rows = [line.split() for line in readelf(library, "--dyn-syms").splitlines() if re.match(r"\s*\d+:", line)]
    foreign = {row[7]: row[4] for row in rows if len(row) > 7 and row[6] == "UND" and row[7].startswith("TRITON")}
    assert len(foreign) > 30
    assert set(foreign.values()) == {"WEAK"}
