"""Confine a process with what Linux offers an ordinary user; the guard applies it in the child before it executes the command.

The guard imports this file by path, under `python -I -S`, so it uses only the standard library. `apply` sets, in this order:
no new privileges; separate namespaces (user, network, processes, shared memory) if the kernel allows them; resource limits; no
capabilities; Landlock rules for files; and a seccomp filter that refuses sockets, tracing and the calls that could undo the other
measures. All of them also hold for every process that the command starts. If the kernel refuses a measure of the policy, `apply`
raises an OSError and the command does not run.

`guard_confine.py --probe` tries each measure in a child process and prints as JSON what this kernel supports.
"""

# ruff: noqa: PTH110, PTH112, PTH123

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import struct
import sys
from typing import Any, NoReturn  # Any: JSON data of the order and of the probe

_NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITIES = 64

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock's calls have the same numbers on every architecture
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}
"""Landlock ABI to its number of file rights; 2 adds renaming between folders, 3 truncating, 5 ioctl on devices."""
_EXECUTE, _WRITE, _READ, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = 1, 2, 4, 8, 16, 32
_MAKE_DIR, _MAKE_REGULAR, _REFER, _TRUNCATE, _IOCTL = 128, 256, 8192, 16384, 32768
_READING = _READ | _READ_DIR
_WRITING = _READING | _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR | _REFER | _TRUNCATE
"""Without the right to create links: tritonize reads files such as the log back, and would follow a link out of the folder."""
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL

_DENIED = {
    "x86_64": (
        0xC000003E,
        "41 101 165 166 167 168 169 175 176 246 248 249 250 272 298 303 304 308 310 311 313 320 321 323 438 "
        "425 426 427 155 161 428 429 430 431 432 442 179 163",
    ),
    "aarch64": (
        0xC00000B7,
        "198 117 40 39 224 225 142 105 106 104 217 218 219 97 241 264 265 268 270 271 273 294 280 282 438 "
        "425 426 427 41 51 428 429 430 431 432 442 60 89",
    ),
}
"""Machine to its audit number and the calls that fail with EPERM: socket, ptrace, mount, umount2, swapon, swapoff, reboot,
init_module, delete_module, kexec_load, add_key, request_key, keyctl, unshare, perf_event_open, name_to_handle_at,
open_by_handle_at, setns, process_vm_readv, process_vm_writev, finit_module, kexec_file_load, bpf, userfaultfd, pidfd_getfd,
io_uring_setup, io_uring_enter, io_uring_register (io_uring can create sockets too), pivot_root, chroot, open_tree, move_mount,
fsopen, fsconfig, fsmount, mount_setattr, quotactl, acct."""
_SIGNALS = {"x86_64": ((62, 234), (200, 129, 297, 424)), "aarch64": ((129, 131), (130, 138, 240, 424))}
"""Machine to (kill and tgkill, allowed only for the process itself) and (tkill, rt_sigqueueinfo, rt_tgsigqueueinfo and
pidfd_send_signal, which are refused)."""
_LIMIT = {"x86_64": 302, "aarch64": 261}
"""prlimit64, allowed only for the process itself (by its id or 0): a limit on processor time would end another process."""
_X32 = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def landlock_abi() -> int:
    """Return the version of Landlock; 0 if the kernel lacks it or has it switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def apply(policy: dict[str, Any]) -> None:
    """Confine this process and every program that it executes.

    Args:
        policy: `read`, `write`, `execute` and `devices` are lists of absolute paths; `namespaces` is whether to create separate
            namespaces; `limits` maps names of the module `resource` to numbers. See `isolation.Rules`.

    Raises:
        OSError: the kernel refuses a part of the policy.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no new privileges")
    if policy["namespaces"]:
        _own_namespaces()
    for name, value in policy["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
    _drop_capabilities()
    _restrict_files(policy)
    _filter_calls(os.getpid() if not policy["namespaces"] else None)


def _prctl(option: int, value: int, what: str) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), what)


def _drop_capabilities() -> None:
    """Drop all capabilities from the bounding set, so that no program executed later has any, not even as root."""
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            number = ctypes.get_errno()
            if number == errno.EINVAL:  # the kernel has no capability of this number
                return
            if os.geteuid() == 0:
                raise OSError(number, f"dropping capabilities: {os.strerror(number)}")
            return  # an ordinary user has no capabilities


def _own_namespaces() -> None:
    """Continue in a child that is process 1 of a new namespace; the parent waits and ends in the same way as the child."""
    user, group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEWUSER | _NEWNET | _NEWPID | _NEWIPC), "separate namespaces")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    parent = os.getpid()
    child = os.fork()
    if child:
        _await(child)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, "ending with its parent")
    if os.path.exists(f"/proc/{parent}") and os.getppid() not in (0, parent):
        os._exit(1)


def _await(child: int) -> NoReturn:
    """In the parent, outside of the namespaces: forward SIGTERM to the child, wait for it, and end with its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # process 1 of a namespace ignores SIGTERM
    signal.set_wakeup_fd(-1)
    os.closerange(3, 256)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _restrict_files(policy: dict[str, Any]) -> None:
    abi = landlock_abi()
    if abi < 1:
        raise OSError(errno.ENOSYS, "no Landlock")
    known = (1 << max(count for least, count in _RIGHTS_BY_ABI.items() if least <= abi)) - 1
    # Rights for files; for TCP since ABI 4; for signals and abstract sockets since ABI 6. No rule grants the last two.
    fields = [known, *([3] if abi >= 4 else []), *([3] if abi >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "Landlock")
    for kind, rights in (
        ("read", _READING),
        ("write", _WRITING),
        ("execute", _READING | _EXECUTE),
        ("devices", _READING | _WRITE | _IOCTL),
    ):
        for path in policy[kind]:
            _allow(ruleset, path, rights & known)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add one rule; a path that does not exist is skipped."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, place)
    _checked(_libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"Landlock: {path}")
    os.close(place)


def _filter_calls(own_pid: int | None) -> None:
    """Install a seccomp filter (a BPF program) that refuses the calls of `_DENIED` and kills on calls of other architectures.

    Args:
        own_pid: the only process that may receive signals and limits; `None` if a process namespace hides the others.

    Raises:
        OSError: the machine's architecture is not supported, or the kernel refuses the filter.
    """
    machine = platform.machine()
    if machine not in _DENIED:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {machine}")
    audit, denied = _DENIED[machine]
    numbers = [int(number) for number in denied.split()]
    load, equal, at_least, result = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = (result, 0, 0, 0x7FFF0000), (result, 0, 0, 0x00050000 | errno.EPERM), (result, 0, 0, 0x80000000)
    program = [(load, 0, 0, 4), (equal, 1, 0, audit), kill, (load, 0, 0, 0)]
    if own_pid is not None:
        own_only, refused = _SIGNALS[machine]
        numbers += refused
        for number in own_only:
            program += [(equal, 0, 4, number), (load, 0, 0, 16), (equal, 0, 1, own_pid), allow, refuse]
        program += [(equal, 0, 5, _LIMIT[machine]), (load, 0, 0, 16), (equal, 1, 0, 0), (equal, 0, 1, own_pid), allow, refuse]
    count = len(numbers)
    program.append((at_least, count + 1, 0, _X32))
    program += [(equal, count - index, 0, number) for index, number in enumerate(numbers)]
    program += [allow, refuse]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filters = struct.pack("@HP", len(program), ctypes.addressof(code))
    _checked(_libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), filters, 0, 0), "seccomp")


def _works(part: Any) -> str:
    """Try a measure in a child process; return an empty text if it works, else the reason."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            part()
        except OSError as error:
            os.write(writer, (error.strerror or str(error)).encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 4096).decode(errors="replace")
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return text if status else ""


def _probe() -> dict[str, Any]:
    def filtered() -> None:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no new privileges")
        _filter_calls(os.getpid())

    return {
        "landlock": landlock_abi(),
        "no_new_privs": _works(lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no new privileges")),
        "seccomp": _works(filtered),
        "namespaces": _works(_own_namespaces),
    }


if __name__ == "__main__" and sys.argv[1:] == ["--probe"]:
    print(json.dumps(_probe()))  # noqa: T201 - read by `isolation.probe`
