"""The virtual environment of Triton's Python backend, for plans and for models that are Python code; ONNX models do not need it.

It is installed when such a model is served. It is separate from the user's environment because this backend needs NumPy 1.26.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import bounded_files, cache, resources
from tritonize.triton.server import gpu_access, installation, native_backend, prerequisites
from tritonize.triton.server.installation import Progress
from tritonize.triton.server.native_backend import NativeBackend
from tritonize.triton.server.prerequisites import Probe

_LOCK = Path(__file__).with_name("python_requirements.lock")
_BACKENDS = resources.package() / "backends"
_PLAN_BACKENDS = (*gpu_access.MODULES, "plans")
"""Folders of tritonize's backends that Triton's Python backend runs; `plans` is the code that the others share."""
_CHECK_DEADLINE_S = 120.0
_PYTHON_MODEL = re.compile(r"""^[^#\n]*\bbackend\s*:\s*["']python["']""", re.MULTILINE)
_NAMED_BACKEND = re.compile(r"""^[^#\n]*\b(?:backend|platform)\s*:\s*["'][^"'\n]+["']""", re.MULTILINE)

# Run in the finished environment. It compares the version that libpython reports with the interpreter's, because a backend stub
# that combines libpython of one patch release with the standard library of another fails in unpredictable ways.
_CHECK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.Py_GetVersion.restype = ctypes.c_char_p
found = library.Py_GetVersion().decode().split()[0]
assert found == sys.version.split()[0], f"{sys.argv[1]} is of Python {found}, the interpreter is {sys.version.split()[0]}"
import numpy
assert numpy.__version__.startswith("1."), numpy.__version__
"""


@dataclass(frozen=True, kw_only=True)
class PythonEnvironment:
    """An installed environment of the Python backend."""

    prefix: Path
    """The virtual environment."""
    library_path: Path | None
    """The folder of libpython, if the loader does not find it by itself."""
    version: str
    """Version of its Python."""

    def variables(self) -> dict[str, str]:
        """The environment variables that lead the server to it; the Python backend starts the first python3 on PATH."""
        found = {"PATH": f"{self.prefix / 'bin'}:/usr/local/bin:/usr/bin:/bin"}
        return found if self.library_path is None else {**found, "LD_LIBRARY_PATH": str(self.library_path)}


def is_needed(folders: Mapping[str, Path]) -> bool:
    """Whether one of the models is a plan or Python code.

    Args:
        folders: model name to its folder in the repository.
    """
    return any(map(_needs_python, folders.values()))


def _needs_python(folder: Path) -> bool:
    text = ""
    with contextlib.suppress(OSError, ValueError):  # the server reports what is wrong with it
        text = bounded_files.text(folder / "config.pbtxt")
    if _PYTHON_MODEL.search(text) or gpu_access.is_plan(text):
        return True
    # Triton chooses the backend by the name of the file if the configuration names none.
    return not _NAMED_BACKEND.search(text) and any(folder.glob("*/model.py"))


def require_possible() -> None:
    """Fail early if the environment is not installed and cannot be installed on this machine.

    Raises:
        MissingError: a prerequisite is missing; this does not check whether packages can be downloaded.
    """
    if not cache.is_complete(place()):
        prerequisites.require(prerequisites.probe_python())


def ready(on_progress: Progress | None = None) -> PythonEnvironment:
    """The environment, installed first if needed.

    Raises:
        MissingError: a prerequisite is missing, or the packages could not be downloaded; no partial installation stays.
        RepositoryError: the disk is full.
    """
    require_possible()
    prefix = place()
    cache.build_once(prefix, lambda staging: _install(staging, on_progress), check=_check, on_progress=on_progress)
    library = prerequisites.libpython()
    if library is None:  # removed since the environment was built
        prerequisites.require(prerequisites.probe_python())
    return PythonEnvironment(
        prefix=prefix,
        library_path=None if library is None or library.on_loader_path else library.path.parent,
        version=platform.python_version(),
    )


def directory(native: NativeBackend, triton: Path) -> Path:
    """The backend directory of a server with Python: the wheel's Python backend and all backends of tritonize; built on first use.

    Args:
        native: the native backend.
        triton: the folder of the server's files.

    Raises:
        MissingError: ONNX Runtime's library does not work with the native backend.
        RepositoryError: the cache is not writable.
    """
    path = backends_place(native, triton)
    return cache.build_once(path, lambda staging: _assemble(staging, native, triton))


def backends_place(native: NativeBackend, triton: Path) -> Path:
    """The path of the backend directory of a server that runs Python too; its name has a hash of what its content depends on."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(f"{native.digest()}{_digest()}{triton.resolve()}".encode(errors="surrogateescape")).hexdigest()[:12]
    return cache.directory() / "server" / f"backends-python{version}-{key}"


def probe() -> Probe:
    """Whether the environment is installed or can be; it is no prerequisite, because ONNX models do not need it."""
    prefix = place()
    missing = [item for item in prerequisites.probe_python() if not item.ok]
    if complete := cache.is_complete(prefix):
        found = f"installed in {prefix}"
    elif missing:
        steps = "".join(f" ({item.next_step})" for item in missing[:1] if item.next_step)
        found = f"not possible: {missing[0].name}: {missing[0].found}{steps}"
    else:
        found = "not installed: the first run that needs it installs it"
    return Probe(name="Triton's Python backend, for plans and Python models alone", ok=True, found=found, absent=not complete)


def place() -> Path:
    """The folder of this Python's environment; its name contains a hash of everything that its content depends on."""
    key = hashlib.sha256(_LOCK.read_bytes() + os.fsencode(sys.base_prefix)).hexdigest()[:12]
    return cache.directory() / "server" / f"python{platform.python_version()}-{key}"


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for name in _PLAN_BACKENDS for path in (_BACKENDS / name).rglob("*.py")):
        digest.update(path.relative_to(_BACKENDS).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _assemble(staging: Path, native: NativeBackend, triton: Path) -> None:
    native_backend.install(staging, native)
    python = staging / "python"
    python.mkdir()
    # Triton refuses a library that is a symlink. The stub finds its own libraries relative to its resolved path.
    shutil.copy2(triton / "backends" / "python" / "libtriton_python.so", python)
    shutil.copy2(triton / "backends" / "python" / "triton_python_backend_utils.py", python)
    stub = triton / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    (python / stub.name).symlink_to(stub.resolve())  # whatever links led to it may be gone later
    for name in _PLAN_BACKENDS:
        shutil.copytree(_BACKENDS / name, staging / name, ignore=shutil.ignore_patterns("__pycache__"))


def _install(staging: Path, on_progress: Progress | None) -> None:
    python = installation.create_environment(staging, on_progress)
    installation.install(_LOCK, python, staging, on_progress=on_progress)


def _check(prefix: Path) -> None:
    """Run the environment's Python once; raises MissingError if it fails."""
    library = prerequisites.libpython()
    command: list[str | Path] = [prefix / "bin" / "python", "-I", "-c", _CHECK, str(library.path if library else "")]
    installation.run(command, "use it", prefix, deadline_s=_CHECK_DEADLINE_S)
