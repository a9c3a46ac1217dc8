"""The native ONNX Runtime backend: tritonize's library, and the library of ONNX Runtime that it loads.

tritonize's library is compiled when tritonize is installed; ONNX Runtime comes from the onnxruntime package beside tritonize.
Before a server is started with a new pair of them, a process of its own calls every function that the backend uses.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import cache, errors, resources
from tritonize.core.messages import server as messages
from tritonize.process import processes
from tritonize.triton.server.prerequisites import Probe

NAME = "onnxruntime"
_FILE = resources.package() / "backends" / NAME / "native" / "libtriton_onnxruntime.so"
_PROBE_DEADLINE_S = 60.0
# `tritonize_probe` (probe.c) returns 0 with a version or 1 with a sentence; where it crashes, it writes the sentence to stderr.
_PROBE = """
import ctypes, os, sys
message = ctypes.create_string_buffer(4096)
failed = ctypes.CDLL(sys.argv[1]).tritonize_probe(os.fsencode(sys.argv[2]), message, len(message))
print(message.value.decode(errors="replace"))
sys.exit(failed)
"""


@dataclass(frozen=True, kw_only=True)
class NativeBackend:
    """The two libraries, as they are installed."""

    file: Path
    """tritonize's library."""
    onnxruntime: Path
    """ONNX Runtime's library."""
    version: str
    """Version of ONNX Runtime, by the name of its library."""

    def options(self) -> list[str]:
        """The server's options for this backend."""
        return [f"--backend-config={NAME},library={self.onnxruntime}"]

    def digest(self) -> str:
        """A digest of tritonize's library and of the identity of ONNX Runtime's, whose 35 MB are not read."""
        found = self.onnxruntime.stat()
        identity = f"{self.onnxruntime}\0{found.st_size}\0{found.st_mtime_ns}"
        return hashlib.sha256(self.file.read_bytes() + os.fsencode(identity)).hexdigest()[:12]


def find() -> NativeBackend:
    """The installed libraries.

    Raises:
        MissingError: one of them is not installed.
    """
    if not _FILE.is_file():
        raise errors.MissingError.of(messages.NATIVE_BACKEND_MISSING, where=str(_FILE))
    spec = importlib.util.find_spec(NAME)
    folders = [Path(each, "capi") for each in (spec.submodule_search_locations or ())] if spec else []
    libraries = sorted(path for folder in folders for path in folder.glob("libonnxruntime.so.*"))
    if not libraries:
        found = f"no libonnxruntime.so.* in {folders[0]}" if folders else "the package onnxruntime is not installed"
        raise errors.MissingError.of(messages.ONNXRUNTIME_LIBRARY_MISSING, found=found)
    library = libraries[-1].absolute()
    return NativeBackend(file=_FILE, onnxruntime=library, version=library.name.removeprefix("libonnxruntime.so."))


def install(folder: Path, native: NativeBackend) -> None:
    """Copy tritonize's library into a backend directory, after ONNX Runtime's passed the probe. Triton refuses a symbolic link.

    Raises:
        MissingError: ONNX Runtime's library does not work with the backend.
    """
    _require_usable(native, log=folder / "probe.log")
    (folder / NAME).mkdir()
    shutil.copy2(native.file, folder / NAME)


def directory(native: NativeBackend) -> Path:
    """The backend directory of a server that serves ONNX models alone; built on first use.

    Raises:
        MissingError: ONNX Runtime's library does not work with the backend.
        RepositoryError: the cache is not writable.
    """
    return cache.build_once(place(native), lambda staging: install(staging, native))


def place(native: NativeBackend) -> Path:
    """The path of that directory in the cache."""
    return cache.directory() / "server" / f"backends-onnxruntime-{native.version}-{native.digest()}"


def probe() -> Probe:
    """Whether the backend is installed. Raises nothing and changes nothing."""
    name = "the native backend for ONNX models"
    try:
        native = find()
    except errors.MissingError as error:
        return Probe(name=name, ok=False, found=error.found or error.what, next_step=error.next_step)
    return Probe(name=name, ok=True, found=f"installed, with ONNX Runtime {native.version}")


def _require_usable(native: NativeBackend, *, log: Path) -> None:
    command: list[str | Path] = [sys.executable, "-I", "-S", "-c", _PROBE, native.file, native.onnxruntime]
    with processes.start(command, log=log, deadline_s=_PROBE_DEADLINE_S) as process:
        ended = process.wait()
    if ended.exit_code != 0:
        tail = processes.log_tail(log)
        found = tail[-1] if tail else f"the process that tries it {ended.describe()}"
        raise errors.MissingError.of(messages.ONNXRUNTIME_UNUSABLE, where=str(native.onnxruntime), found=found, details=tail[:-1])
