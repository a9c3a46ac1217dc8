"""An argument that no other user can read: put into a program's memory as it starts, and never into its command line.

Any user reads `/proc/PID/cmdline`, from the moment a program is executed; `/proc/PID/environ` only its owner. So the command is
executed with a placeholder, and with the real argument as the last variable of its environment. It stops before its first
instruction, since it is traced. There the placeholder's entry in argv is made to point into that variable, the variable is taken
out of the list that the command's own children inherit, and the command is let go, no longer traced.

Like `guard.py`, which alone imports this, it uses the standard library alone. Linux, 64 bits.
"""

# ruff: noqa: PTH123

from __future__ import annotations

import ctypes
import os
import signal

_VARIABLE = "_HIDDEN_{}"
_TRACE_ME, _PEEK, _POKE, _CONTINUE, _DETACH = 0, 2, 5, 7, 17
_WORD = 8
_START_STACK = 28 - 3  # field of /proc/PID/stat (proc(5)), counted behind the name and its bracket: where argc lies

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class NotAllowedError(OSError):
    """The system does not let this process trace another one."""

    kind = "trace"


def _ptrace(request: int, pid: int, address: int = 0, value: int = 0) -> int:
    ctypes.set_errno(0)
    answer = int(_libc.ptrace(request, pid, address, value))
    if answer == -1 and (number := ctypes.get_errno()):
        raise NotAllowedError(number, f"ptrace: {os.strerror(number)}")
    return answer & (1 << 64) - 1


def variables(hidden: dict[str, str]) -> dict[str, str]:
    """What the environment has to end with.

    Args:
        hidden: the arguments, by their index in argv.
    """
    return {_VARIABLE.format(index): text for index, text in hidden.items()}


def be_traced() -> None:
    """In the child, just before it executes the command. Raises OSError where the system does not allow it."""
    _ptrace(_TRACE_ME, 0)


def put_in_place(pid: int, hidden: dict[str, str]) -> bool:
    """In the parent: wait until the child has executed the command, exchange the arguments, let it go.

    Returns:
        Whether it runs; otherwise it has ended, and was waited for.

    Raises:
        OSError: an argument could not be exchanged; the child still waits.
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
            raise OSError(0, "the environment is in another order than it was given in")
        _ptrace(_POKE, pid, arguments + int(index) * _WORD, entries[place] + len(name))
        _ptrace(_POKE, pid, environment + place * _WORD, entries[0])  # a second time, so that the list keeps its length
    _ptrace(_DETACH, pid)
    return True
