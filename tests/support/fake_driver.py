"""The stand-ins for NVIDIA's driver and for TensorRT that tests without a GPU use; see `fake_gpu/` for what they prove."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fake_gpu"


def compiled(directory: Path) -> Path:
    """The stand-in for the driver as `libcuda.so.1` in a folder; without a C compiler the test is skipped with that reason."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("not run: there is no C compiler for the driver's stand-in")
    library = directory / "libcuda.so.1"
    source = str(FOLDER / "libcuda.c")
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]  # no soname, so that no other library in this process loads it
    subprocess.run([*command, "-o", str(library), source, "-lpthread"], check=True, timeout=60)
    return library


def environment(library: Path) -> dict[str, str]:
    """What a process needs to find both stand-ins in place of the real ones; the server itself does not see the driver's."""
    return {"LD_LIBRARY_PATH": str(library.parent), "TRITONIZE_LIBCUDA": str(library), "PYTHONPATH": str(FOLDER)}
