"""Pass arguments to a command that other users cannot read: through its memory instead of its command line.

Every user can read `/proc/PID/cmdline` as soon as a program is executed, but only its owner can read `/proc/PID/environ`. So the
guard executes the command with a placeholder in argv and with the real argument as the last variable of the environment. The
command is traced, so it stops before its first instruction. The guard then makes the placeholder's entry in argv point into that
variable, removes the variable from the environment that the command's children inherit, and stops tracing.

Only `guard.py` imports this module; like the guard, it uses only the standard library. It needs 64-bit Linux.
"""

# ruff: noqa: PTH123

from __future__ import annotations

import ctypes
import os
import signal

_VARIABLE = "_HIDDEN_{}"
_TRACE_ME, _PEEK, _POKE, _CONTINUE, _DETACH = 0, 2, 5, 7, 17
_WORD = 8
_START_STACK = 28 - 3  # field 28 of /proc/PID/stat (proc(5)), counted after the command's name: the address of argc

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class NotAllowedError(OSError):
    """The system does not allow this process to trace another one."""

    kind = "trace"


def _ptrace(request: int, pid: int, address: int = 0, value: int = 0) -> int:
    ctypes.set_errno(0)
    result = int(_libc.ptrace(request, pid, address, value))
    if result == -1 and (number := ctypes.get_errno()):
        raise NotAllowedError(number, f"ptrace: {os.strerror(number)}")
    return result & (1 << 64) - 1


def variables(hidden: dict[str, str]) -> dict[str, str]:
    """Return the variables that carry the hidden arguments; they must be the last ones of the environment.

    Args:
        hidden: the arguments by their index in argv.
    """
    return {_VARIABLE.format(index): text for index, text in hidden.items()}


def allow_tracing() -> None:
    """Let the parent trace this process; called in the child, just before it executes the command. Raises NotAllowedError."""
    _ptrace(_TRACE_ME, 0)


def put_in_place(pid: int, hidden: dict[str, str]) -> bool:
    """Wait until the child has executed the command, replace the placeholders, and stop tracing; called in the parent.

    Args:
        pid: the child.
        hidden: the arguments by their index in argv.

    Returns:
        Whether the command runs. If not, the child has ended and is reaped.

    Raises:
        OSError: an argument could not be replaced; the child is still stopped.
    """
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return False
        if os.WSTOPSIG(status) == signal.SIGTRAP:
            break
        _ptrace(_CONTINUE, pid, 0, os.WSTOPSIG(status))
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        arguments = int(file.read().rpartition(")")[2].split()[_START_STACK]) + _WORD
    environment = arguments + (_ptrace(_PEEK, pid, arguments - _WORD) + 1) * _WORD
    entries: list[int] = []
    while entry := _ptrace(_PEEK, pid, environment + len(entries) * _WORD):
        entries.append(entry)
    for place, index in enumerate(hidden, start=len(entries) - len(hidden)):
        name = _VARIABLE.format(index).encode() + b"="
        found = b"".join(_ptrace(_PEEK, pid, entries[place] + at).to_bytes(_WORD, "little") for at in (0, _WORD))
        if not found.startswith(name):
            raise OSError(0, "the hidden arguments are not the last variables of the environment")
        _ptrace(_POKE, pid, arguments + int(index) * _WORD, entries[place] + len(name))
        _ptrace(_POKE, pid, environment + place * _WORD, entries[0])  # a duplicate of the first entry, to keep the list's length
    _ptrace(_DETACH, pid)
    return True
