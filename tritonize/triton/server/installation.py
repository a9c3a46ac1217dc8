"""Run the commands that install the embedded server: pip, venv and checks of the result, with progress and clear errors."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tritonize.core import cache, errors
from tritonize.core.messages import server as messages
from tritonize.process import processes

_DEADLINE_S = 1800.0
_PROGRESS_INTERVAL_S = 2.0
_LOG_NAME = "install.log"
_PIP_OPTIONS = ("--no-input", "--disable-pip-version-check")
_PACKAGE_OPTIONS = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--retries=2", "--timeout=30")

Progress = Callable[[str], None]
Command = Sequence[str | Path]


def download(lock: Path, folder: Path, on_progress: Progress | None) -> Path:
    """Download the one wheel that a lock file names into a folder.

    Raises:
        MissingError: no package index can be reached, or pip fails.
    """
    command = [*_pip(folder, on_progress), "download", *_PIP_OPTIONS, *_PACKAGE_OPTIONS, "--dest", folder, "-r", lock]
    run(command, "download its packages", folder, on_progress=on_progress)
    (wheel,) = folder.glob("*.whl")
    return wheel


def create_environment(folder: Path, on_progress: Progress | None) -> Path:
    """Create a virtual environment with pip in a folder; returns its interpreter."""
    folder.mkdir(exist_ok=True)
    interpreter = getattr(sys, "_base_executable", None) or sys.executable  # a venv in a venv would lose its base
    run([interpreter, "-I", "-m", "venv", folder], "create its virtual environment", folder, on_progress=on_progress)
    return folder / "bin" / "python"


def install(lock: Path, python: Path, folder: Path, *, on_progress: Progress | None) -> None:
    """Install the packages of a lock file into the virtual environment of an interpreter."""
    command: Command = [python, "-I", "-m", "pip", "install", *_PIP_OPTIONS, *_PACKAGE_OPTIONS, "-r", lock]
    run(command, "install its packages", folder, on_progress=on_progress)


def run(
    command: Command,
    what: str,
    folder: Path,
    *,
    on_progress: Progress | None = None,
    deadline_s: float = _DEADLINE_S,
    exit_code: int = 0,
) -> None:
    """Run one command of the installation and report progress every two seconds.

    Args:
        command: the command and its arguments.
        what: what it does, for the error: "tritonize could not …".
        folder: what is being installed; the command's output goes into a log there.
        on_progress: receives the seconds and the size so far.
        deadline_s: seconds after which the command is ended.
        exit_code: the exit code of success.

    Raises:
        MissingError: the command fails.
        RepositoryError: the disk is full.
    """
    log = folder / _LOG_NAME
    began = time.monotonic()
    with processes.start(command, log=log, deadline_s=deadline_s) as process:
        while (ended := process.poll()) is None:
            try:
                process.wait(_PROGRESS_INTERVAL_S)
            except TimeoutError:
                if on_progress is not None:
                    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 2**20
                    on_progress(f"the server runtime: {time.monotonic() - began:.0f} s, {size:.0f} MB installed")
    if ended.exit_code != exit_code:
        raise _failure(what, ended, processes.log_tail(log))


def _pip(folder: Path, on_progress: Progress | None) -> list[str | Path]:
    """The command of a pip: this environment's, or where it has none, as after `uv venv`, that of a temporary environment."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    return [create_environment(folder / "pip", on_progress), "-I", "-m", "pip"]


def _failure(what: str, ended: processes.Ended, tail: Sequence[str]) -> errors.TritonizeError:
    text = "\n".join(tail)
    if "No space left on device" in text:
        return errors.full_disk(str(cache.directory()))
    unreachable = re.search(r"No matching distribution|ConnectionError|Connection broken|Max retries|timed out|resolution", text)
    message = messages.INDEX_UNREACHABLE if unreachable else messages.INSTALL_FAILED
    return errors.MissingError.of(message, found=f"the command {ended.describe()}", details=tail, step=what)
