"""What a guard that was killed could not clean up: the rest of its session, and shared memory."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import stat
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel puts POSIX shared memory
_PATIENCE_S = 5.0
BACKEND_FOLDERS = "/tmp/python_env_*"  # noqa: S108 - the Python backend's own place
"""An empty folder that each server makes, and leaves where it is ended early."""


def end_session(session: int) -> None:
    """Kill every process of a session but its leader, and wait until they are gone."""
    until = time.monotonic() + _PATIENCE_S
    while (pids := [pid for pid in _running() if pid != session and _session_of(pid) == session]) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_shared_memory(prefix: str) -> None:
    """Remove this user's files in /dev/shm whose names start with the prefix; others can read the prefix and put theirs there."""
    user = os.getuid()
    for path in SHARED_MEMORY.glob(f"{glob.escape(prefix)}*"):
        if _owner(path) == user:
            with contextlib.suppress(OSError):  # it went meanwhile, or is another user's by now
                path.unlink()


def close_shared_memory(prefix: str) -> None:
    """Let only their owner read the files in /dev/shm whose names start with the prefix.

    Triton's Python backend makes them for all to read, whatever the umask, and the tensors of every request go through them. Who
    opened one before this, while models were being loaded, still reads it. Others can read the prefix too: a link that one put
    there is not followed, and what is another user's is left alone.
    """
    user = os.getuid()
    for path in SHARED_MEMORY.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = os.fstat(held)
                if stat.S_ISREG(found.st_mode) and found.st_uid == user:
                    os.fchmod(held, 0o600)
            finally:
                os.close(held)


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


def remove_backend_folders() -> None:
    """Remove the empty folders that Triton's Python backend left where a server and its guard were killed.

    Every server makes one, at this very place, for environments that are packed, which ours are not; and a server whose folder
    is gone aborts at its end. Whose a folder is cannot be seen, so as long as any server runs they all stay. The folders are
    listed first: one that is made after that, by a server that starts now, is not among them.
    """
    user = os.getuid()
    folders = [Path(folder) for folder in glob.glob(BACKEND_FOLDERS) if _owner(Path(folder)) == user]  # noqa: PTH207
    if any(_name_of(pid) == "tritonserver" for pid in _running()):
        return
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or somebody else removed it
            folder.rmdir()


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _name_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return None
