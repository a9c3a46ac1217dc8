"""Clean up after a guard that was killed: processes of its session, shared memory, and folders of Triton's Python backend."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel puts POSIX shared memory
_PATIENCE_S = 5.0
BACKEND_FOLDERS = "/tmp/python_env_*"  # noqa: S108 - Triton's Python backend creates them there
"""Each server creates such an empty folder, and leaves it behind if it is ended early."""


def end_session(session: int) -> None:
    """Kill all processes of a session except its leader, and wait up to 5 s until they have ended."""
    until = time.monotonic() + _PATIENCE_S
    while (pids := [pid for pid in _running() if pid != session and _session_of(pid) == session]) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_shared_memory(prefix: str) -> None:
    """Remove the files in /dev/shm whose names start with the prefix and that belong to this user.

    Other users can read the prefix and create files with it; these stay.
    """
    user = os.getuid()
    for path in SHARED_MEMORY.glob(f"{glob.escape(prefix)}*"):
        if _owner(path) == user:
            with contextlib.suppress(OSError):  # removed in the meantime, or replaced by a file of another user
                path.unlink()


def close_shared_memory(prefix: str) -> None:
    """Make the files in /dev/shm whose names start with the prefix readable only by their owner.

    Triton's Python backend creates them readable by all users, regardless of the umask, and passes the tensors of every request
    through them. A process that opened a file before this call, while the models were loading, can still read it. Other users can
    read the prefix too, so links are not followed and files of other users stay unchanged.
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
    """Return the ids of all processes except zombies."""
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
    """Remove the empty folders that Triton's Python backend left behind when a server and its guard were killed.

    Every server creates such a folder for packed environments, which tritonize does not use, and aborts at its end if the folder
    is missing. A folder does not name its server, so no folder is removed while any server runs. The folders are listed before
    the processes, so that the folder of a server that starts in between is not removed.
    """
    user = os.getuid()
    folders = [Path(folder) for folder in glob.glob(BACKEND_FOLDERS) if _owner(Path(folder)) == user]  # noqa: PTH207
    if any(_name_of(pid) == "tritonserver" for pid in _running()):
        return
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or removed in the meantime
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


def open_files() -> frozenset[str]:
    """The files and folders that processes of this user have open, mapped, or as their program or working folder."""
    return frozenset(name for pid in _running() for name in _files_of(pid))


def uses(path: Path, files: frozenset[str]) -> bool:
    """Whether one of these files is the path, or lies below it."""
    inside = f"{os.path.realpath(path)}/"
    return any(f"{name}/".startswith(inside) for name in files)


def _files_of(pid: int) -> Iterator[str]:
    """The files of a process as far as this user may see them: those of another user's process raise, and are not ours to know."""
    home = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        yield from (str((home / name).readlink()) for name in ("exe", "cwd"))
    with contextlib.suppress(OSError):
        for entry in (home / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(entry.readlink())
    with contextlib.suppress(OSError):
        for line in (home / "maps").read_text(errors="surrogateescape").splitlines():
            yield line.partition("/")[1] + line.partition("/")[2]
