"""The virtual environment of the embedded server, built once and stored in the cache.

It is separate from the user's environment because the server's Python needs NumPy 1.26. Next to it is the backend directory that
Triton is started with: the wheel's Python backend and tritonize's backends.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import cache, errors, resources
from tritonize.core.messages import server as messages
from tritonize.process import processes
from tritonize.triton.server import prerequisites
from tritonize.triton.server.prerequisites import Probe

_LOCK = Path(__file__).with_name("requirements.lock")
_BACKENDS = resources.package() / "backends"
_INSTALL_COMMAND = "tritonize doctor --install-server"
_INSTALL_DEADLINE_S = 1800.0
_CHECK_DEADLINE_S = 120.0
_PROGRESS_INTERVAL_S = 2.0

# Run in the finished environment. It compares the version that libpython reports with the interpreter's, because a backend stub
# that combines libpython of one patch release with the standard library of another fails in unpredictable ways.
_CHECK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.Py_GetVersion.restype = ctypes.c_char_p
found = library.Py_GetVersion().decode().split()[0]
assert found == sys.version.split()[0], f"{sys.argv[1]} is of Python {found}, the interpreter is {sys.version.split()[0]}"
import numpy, onnxruntime
assert numpy.__version__.startswith("1."), numpy.__version__
"""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An installed server."""

    prefix: Path
    """The virtual environment."""
    server: Path
    """The tritonserver binary."""
    backends: Path
    """The value of `--backend-directory`."""
    library_path: Path | None
    """The folder of libpython, if the loader does not find it by itself."""
    versions: Mapping[str, str]
    """Package to installed version."""

    def variables(self) -> dict[str, str]:
        """All environment variables of the server's process; none of the user's Python settings are passed on."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "TZ") if name in os.environ}
        # The Python backend starts the first python3 on PATH.
        kept |= {"PATH": f"{self.prefix / 'bin'}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        return kept if self.library_path is None else {**kept, "LD_LIBRARY_PATH": str(self.library_path)}


def require_possible() -> None:
    """Fail early if the server is not installed and cannot be installed on this machine.

    Raises:
        MissingError: see `prerequisites.require`; this does not check whether packages can be downloaded.
    """
    if not cache.is_complete(_prefix()):
        prerequisites.require()
    prerequisites.require_ptrace()


def ready(on_progress: Progress | None = None) -> Environment:
    """The server's environment, installed first if needed.

    Raises:
        MissingError: a prerequisite is missing, or the packages could not be downloaded; no partial installation stays.
        RepositoryError: the disk is full.
    """
    require_possible()
    prefix = _prefix()
    cache.build_once(prefix, lambda staging: _install(staging, on_progress), check=_check, on_progress=on_progress)
    return _environment(prefix)


def install(on_progress: Progress | None = None) -> Environment:
    """Install the server's environment; an existing one is checked first and rebuilt if it does not work."""
    prefix = _prefix()
    if cache.is_complete(prefix):
        try:
            _check(prefix)
        except errors.MissingError:
            shutil.rmtree(prefix)
    return ready(on_progress)


def probe() -> list[Probe]:
    """Check the prerequisites and whether the server is installed. Raises nothing and changes nothing."""
    prefix = _prefix()
    complete = cache.is_complete(prefix)
    versions_found = f"{', '.join(f'{name} {version}' for name, version in locked().items())}, in {prefix}"
    installed = Probe(
        name="the embedded server",
        ok=complete,
        found=versions_found if complete else "not installed",
        next_step=None if complete else _INSTALL_COMMAND,
    )
    return [*prerequisites.probe(), installed]


def locked() -> dict[str, str]:
    """Package to locked version, for the packages that matter to results."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: version for name, version in pins if name in ("nvidia-pytriton", "onnxruntime", "numpy")}


def _prefix() -> Path:
    """The folder of this Python's environment; its name contains a hash of everything that its content depends on."""
    key = hashlib.sha256(_LOCK.read_bytes() + os.fsencode(sys.base_prefix)).hexdigest()[:12]
    return cache.directory() / "server" / f"python{platform.python_version()}-{key}"


def _environment(prefix: Path) -> Environment:
    triton = _packages(prefix) / "pytriton" / "tritonserver"
    library = prerequisites.libpython()
    if library is None:  # removed since the environment was built
        prerequisites.require()
    backends = prefix.with_name(f"{prefix.name}-backends-{_digest(_BACKENDS)}")
    cache.build_once(backends, lambda staging: _assemble(staging, triton))
    return Environment(
        prefix=prefix,
        server=triton / "bin" / "tritonserver",
        backends=backends,
        library_path=None if library is None or library.on_loader_path else library.path.parent,
        versions={**locked(), "python": platform.python_version()},
    )


def _packages(prefix: Path) -> Path:
    return prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*.py")):
        digest.update(path.relative_to(directory).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _assemble(staging: Path, triton: Path) -> None:
    """Assemble Triton's backend directory: the wheel's Python backend and tritonize's backends."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = staging / "python"
    python.mkdir()
    # Triton refuses a library that is a symlink. The stub finds its own libraries relative to its resolved path.
    shutil.copy2(triton / "backends" / "python" / "libtriton_python.so", python)
    shutil.copy2(triton / "backends" / "python" / "triton_python_backend_utils.py", python)
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    (python / stub.name).symlink_to(stub.resolve())  # whatever links led to it may be gone later
    for backend in _BACKENDS.iterdir():  # including `plans`, the code that two backends share
        if backend.is_dir() and backend.name != "__pycache__":
            shutil.copytree(backend, staging / backend.name, ignore=shutil.ignore_patterns("__pycache__"))


def _install(staging: Path, on_progress: Progress | None) -> None:
    interpreter = getattr(sys, "_base_executable", None) or sys.executable  # a venv in a venv would lose its base
    _run([interpreter, "-I", "-m", "venv", staging], "create its virtual environment", staging, on_progress=on_progress)
    pip: list[str | Path] = [staging / "bin" / "python", "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    options: list[str | Path] = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--retries=2", "--timeout=30", "-r", _LOCK]
    _run([*pip, *options], "install its packages", staging, on_progress=on_progress)


def _check(prefix: Path) -> None:
    """Run the environment's Python once; raises MissingError if it fails."""
    library = prerequisites.libpython()
    command: list[str | Path] = [prefix / "bin" / "python", "-I", "-c", _CHECK, str(library.path if library else "")]
    _run(command, "use it", prefix, on_progress=None, deadline_s=_CHECK_DEADLINE_S)


def _run(
    command: Sequence[str | Path],
    what: str,
    directory: Path,
    *,
    on_progress: Progress | None,
    deadline_s: float = _INSTALL_DEADLINE_S,
) -> None:
    """Run one command of the installation and report progress every two seconds."""
    log = directory / "install.log"
    began = time.monotonic()
    with processes.start(command, log=log, deadline_s=deadline_s) as process:
        while (ended := process.poll()) is None:
            try:
                process.wait(_PROGRESS_INTERVAL_S)
            except TimeoutError:
                if on_progress is not None:
                    size = sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir()) / 2**20
                    on_progress(f"the server runtime: {time.monotonic() - began:.0f} s, {size:.0f} MB installed")
    if ended.exit_code != 0:
        raise _failure(what, ended, processes.log_tail(log))


def _failure(what: str, ended: processes.Ended, tail: Sequence[str]) -> errors.TritonizeError:
    text = "\n".join(tail)
    if "No space left on device" in text:
        return errors.full_disk(str(cache.directory()))
    unreachable = re.search(r"No matching distribution|ConnectionError|Connection broken|Max retries|timed out|resolution", text)
    message = messages.INDEX_UNREACHABLE if unreachable else messages.INSTALL_FAILED
    return errors.MissingError.of(message, found=f"the command {ended.describe()}", details=tail, step=what)
