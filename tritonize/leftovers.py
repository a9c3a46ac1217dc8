"""What a guard that was killed could not clean up: the rest of its session, and shared memory."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel puts POSIX shared memory
_PATIENCE_S = 5.0


def end_session(session: int) -> None:
    """Kill every process of a session but its leader, and wait until they are gone."""
    until = time.monotonic() + _PATIENCE_S
    while (pids := [pid for pid in _running() if pid != session and _session_of(pid) == session]) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_shared_memory(prefix: str) -> None:
    """Remove every file in /dev/shm whose name starts with the prefix."""
    for path in SHARED_MEMORY.glob(f"{glob.escape(prefix)}*"):
        path.unlink(missing_ok=True)


def _running() -> list[int]:
    """Every process that is not merely waiting to be reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def backend_folders() -> set[Path]:
    """The folders that Triton's Python backend makes, at this very place, for environments that are packed; ours are not."""
    return set(Path("/tmp").glob("python_env_*"))  # noqa: S108 - the backend's own place


def remove_backend_folders(before: set[Path]) -> None:
    """Remove those that were not there before and are empty: a server that is ended early leaves its own.

    One of another server that started meanwhile may be among them; it has no more need of it while it is empty.
    """
    for folder in backend_folders() - before:
        with contextlib.suppress(OSError):
            folder.rmdir()
