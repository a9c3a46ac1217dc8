"""What a run must not leave behind."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

WORDS = ("tritonserver", "triton_python_backend_stub", "tritonize/process/guard.py", "tritonize/process/worker_main.py")


def processes() -> list[str]:
    """Command lines of the processes that were started in the current test's folder."""
    here, found = str(Path.cwd()), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((folder / "cwd").resolve())
        except OSError:
            continue
        if any(word in command for word in WORDS) and (here in command or place.startswith(here)):
            found.append(command)
    return found


def shared_memory() -> list[str]:
    """Our files in /dev/shm whose process is gone."""
    return sorted(path.name for path in Path("/dev/shm").glob("tritonize-*"))


def nothing_left(within_s: float = 10.0) -> None:
    """Fail where a process of this test still runs after some seconds."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and processes():
        time.sleep(0.1)
    assert processes() == []


INPUT = ("--input", "INPUT__0:fp32:1x4")


def untouched(before: set[str]) -> None:
    """Check that the working folder has no new entries, and that no process that the test started still runs."""
    assert set(os.listdir()) == before
    nothing_left()


def refused(done: subprocess.CompletedProcess[str], code: int, words: list[str]) -> None:
    """One clear error and nothing else."""
    assert done.returncode == code, done.stderr
    told = " ".join(done.stderr.split())
    for word in words:
        assert word in told, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
