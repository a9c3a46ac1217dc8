"""Check what the embedded server needs from the machine, without installing or starting anything.

Nothing but the standard library is imported here: `scripts/preflight.py` runs this before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import errors
from tritonize.core.messages import server as messages
from tritonize.process import cleanup, processes

_GLIBC = (2, 35)  # the server's wheel is built for manylinux_2_35
_MACHINES = ("x86_64", "aarch64")
_PYTHON_MACHINE = "x86_64"
"""Triton's Python backend is installed from wheels that are locked for this processor alone."""
_PYTHONS = ((3, 11), (3, 12))
_SHARED_MEMORY_MIB = 128  # the Python backend uses a few MiB per instance and passes every tensor through shared memory
_LOADER_CACHE = Path("/etc/ld.so.cache")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The result of one check."""

    name: str
    """What was checked."""
    ok: bool
    found: str
    next_step: str | None = None
    """The command that corrects a failed check, if one is known."""
    absent: bool = False
    """Whether the part is not here although the check is `ok`: only some commands need it, or the first run installs it."""


@dataclass(frozen=True, kw_only=True)
class LibPython:
    """The shared library of this Python; the server's Python processes are linked to it."""

    path: Path
    on_loader_path: bool
    """Whether the dynamic loader finds it without LD_LIBRARY_PATH."""


def probe() -> list[Probe]:
    """Check everything that a server of ONNX models needs from this machine."""
    return [_platform(), _pip(), _ptrace()]


def probe_python() -> list[Probe]:
    """Check what Triton's Python backend needs beyond that, which runs plans and models that are Python code."""
    return [_python(), venv(), _libpython(), _shared_memory()]


def require(probes: Sequence[Probe]) -> None:
    """Raise for the first check that failed.

    Raises:
        MissingError: its next step is the command that installs what is missing.
    """
    for item in probes:
        if not item.ok:
            next_step = item.next_step or "tritonize doctor"
            raise errors.MissingError.of(messages.PREREQUISITE_MISSING, expected=item.name, found=item.found, next_step=next_step)


def require_ptrace() -> None:
    """Raise if ptrace is not permitted: without it, other users could read the server's key in its command line.

    Raises:
        MissingError: ptrace is not permitted.
    """
    command = [shutil.which("true") or sys.executable, "visible"]
    with processes.start(command, log=Path(os.devnull), hidden={1: "hidden"}) as process:
        process.wait()


def libpython() -> LibPython | None:
    """The shared library that belongs to this interpreter, or `None`.

    A library of another patch release does not count, such as the system's beside a Python that was built without one: the
    standard library's modules are incompatible with it.
    """
    name = f"libpython{_version()}.so.1.0"
    known = _loader_paths(name)
    own = [Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib") / name, Path(sys.base_prefix) / "lib" / name]
    for path in own:
        if path.is_file():
            return LibPython(path=path, on_loader_path=bool(known) and all(map(path.samefile, known)))
    fitting = [path for path in known if _release(path) == platform.python_version()]
    return LibPython(path=fitting[0], on_loader_path=len(known) == 1) if fitting else None


def _mismatched_library(name: str) -> str | None:
    """Describe an installed library of another patch release, if there is one."""
    others = [f"{path} of Python {release}" for path in _loader_paths(name) if (release := _release(path))]
    return f"{others[0]}, while this is {platform.python_version()}" if others else None


def _release(library: Path) -> str | None:
    """The version that a libpython reports, loaded in a separate process; `None` if it cannot be loaded."""
    code = "import ctypes, sys; f = ctypes.CDLL(sys.argv[1]).Py_GetVersion; f.restype = ctypes.c_char_p; print(f().decode())"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(library)], capture_output=True, text=True, check=False)
    return done.stdout.split()[0] if done.returncode == 0 else None


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _loader_paths(name: str) -> list[Path]:
    """The paths at which the dynamic loader finds a library; the loader's cache lists absolute paths between zero bytes."""
    try:
        content = _LOADER_CACHE.read_bytes()
    except OSError:
        return []
    paths = re.findall(rb"[^\0]*/" + re.escape(name.encode()) + rb"(?=\0)", content)
    return [path for path in map(Path, map(os.fsdecode, paths)) if path.is_file()]


def _apt(package: str) -> str | None:
    """The command that installs a system package, on a system with apt-get."""
    return f"apt-get install {package}" if shutil.which("apt-get") else None


def _ptrace() -> Probe:
    name = "a key for the server that other users cannot read"
    try:
        require_ptrace()
    except errors.MissingError as error:
        return Probe(name=name, ok=False, found=error.found or error.what, next_step=error.next_step)
    return Probe(name=name, ok=True, found="ptrace is permitted")


def _platform() -> Probe:
    libc, number = platform.libc_ver()
    found = f"{platform.system()} {platform.machine()}, {libc or 'another C library'} {number}".strip()
    version = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    ok = platform.system() == "Linux" and platform.machine() in _MACHINES and libc == "glibc" and version >= _GLIBC
    return Probe(
        name="Linux x86_64 or aarch64 with glibc 2.35 or newer",
        ok=ok,
        found=found,
        next_step=None if ok else "verify against a running Triton: tritonize verify --url http://host:8000",
    )


def _python() -> Probe:
    ok = sys.version_info[:2] in _PYTHONS and sys.implementation.name == "cpython" and platform.machine() == _PYTHON_MACHINE
    return Probe(
        name=f"CPython 3.11 or 3.12 on {_PYTHON_MACHINE}",  # the server's wheel has stubs for more, but NumPy 1.26 does not
        ok=ok,
        found=f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}",
        next_step=None if ok else f"serve plans with tritonize installed under Python 3.11 or 3.12 on {_PYTHON_MACHINE}",
    )


def _pip() -> Probe:
    if importlib.util.find_spec("pip") is not None:
        return Probe(name="pip, or Python's venv and ensurepip", ok=True, found="installed")
    return replace(venv(), name="pip, or Python's venv and ensurepip")


def venv() -> Probe:
    """Check that virtual environments with pip can be created."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    package = f"python{_version()}-venv"
    return Probe(
        name="Python's venv and ensurepip",
        ok=not missing,
        found=f"without {' and '.join(missing)}" if missing else "installed",
        next_step=(_apt(package) or f"install venv and ensurepip for Python {_version()}") if missing else None,
    )


def _libpython() -> Probe:
    library = libpython()
    name = f"libpython{_version()}.so.1.0"
    missing = _apt(f"libpython{_version()}") if sys.base_prefix == "/usr" else None
    return Probe(
        name=f"the shared library of Python, {name}",
        ok=library is not None,
        found=str(library.path) if library else _mismatched_library(name) or "not installed",
        next_step=None if library else missing or f"use a Python {_version()} that was built with --enable-shared",
    )


def _shared_memory() -> Probe:
    directory = cleanup.SHARED_MEMORY
    name = f"{_SHARED_MEMORY_MIB} MiB free in {directory}"
    try:
        free = shutil.disk_usage(directory).free // 2**20
        writable = os.access(directory, os.W_OK)
    except OSError as error:
        return Probe(name=name, ok=False, found=error.strerror or "missing", next_step=f"mount -t tmpfs tmpfs {directory}")
    ok = writable and free >= _SHARED_MEMORY_MIB
    found = f"{free:,} MiB free" if writable else "not writable"
    enlarge = f"mount -o remount,size=1g {directory}; in a container: docker run --shm-size=1g"
    return Probe(name=name, ok=ok, found=found, next_step=None if ok else enlarge)
