"""What the kernel gives an ordinary user to confine a process: applied by the guard in the child, before it becomes the command.

Run or imported by path, under `python -I -S`, with the standard library alone; see `guard.py`. In this order: no new privileges,
namespaces of its own (user, network, processes, shared memory) where the kernel allows them, limits, no capabilities, Landlock for
files, and last a seccomp filter that takes away sockets, tracing and the calls that could undo the rest. All of it holds for
everything that the command starts. What a policy requires and the kernel refuses is an `OSError`: nothing runs then.

As a program (`guard_confine.py --probe`) it prints as JSON what this kernel has; each is tried, in children of its own.
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
from typing import Any, NoReturn  # Any: JSON data of the order, and of the kernel's answers

_NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITIES = 64

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock's have one number everywhere
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI to how many rights over files it knows; 2 is renaming between folders, 3 is truncating, 5 is ioctl on devices."""
_EXECUTE, _WRITE, _READ, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = 1, 2, 4, 8, 16, 32
_MAKE_DIR, _MAKE_REGULAR, _REFER, _TRUNCATE, _IOCTL = 128, 256, 8192, 16384, 32768
_READING = _READ | _READ_DIR
_WRITING = _READING | _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR | _REFER | _TRUNCATE
"""Without links: the tool follows what it reads back, such as a log, and would be led elsewhere."""
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
"""Machine to its audit number and calls that answer EPERM: socket, ptrace, mount, umount2, swapon, swapoff, reboot, init_module,
delete_module, kexec_load, add_key, request_key, keyctl, unshare, perf_event_open, name_to_handle_at, open_by_handle_at, setns,
process_vm_readv, process_vm_writev, finit_module, kexec_file_load, bpf, userfaultfd, pidfd_getfd, io_uring_setup, io_uring_enter,
io_uring_register (which makes sockets too), pivot_root, chroot, open_tree, move_mount, fsopen, fsconfig, fsmount, mount_setattr,
quotactl, acct."""
_SIGNALS = {"x86_64": ((62, 234), (200, 129, 297, 424)), "aarch64": ((129, 131), (130, 138, 240, 424))}
"""kill and tgkill, which may name the process itself; tkill, rt_sigqueueinfo, rt_tgsigqueueinfo and pidfd_send_signal."""
_LIMIT = {"x86_64": 302, "aarch64": 261}
"""prlimit64, which may name the process itself or nobody: a limit of processor time would end another one like a signal."""
_X32 = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def landlock_abi() -> int:
    """Landlock's version; 0 where the kernel has none, or has it switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def apply(policy: dict[str, Any]) -> None:
    """Confine this process and whatever it becomes.

    Args:
        policy: `read`, `write`, `execute` and `devices`, lists of absolute paths; `namespaces`, whether to take them;
            `limits`, names of `resource` to numbers.

    Raises:
        OSError: the kernel refuses a part of it.
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
    """None survives the exec: what is not in the bounding set is not given to root either."""
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            number = ctypes.get_errno()
            if number == errno.EINVAL:  # there are no more
                return
            if os.geteuid() == 0:
                raise OSError(number, f"dropping capabilities: {os.strerror(number)}")
            return  # an ordinary user has none to lose


def _own_namespaces() -> None:
    """Go on in a child that is process 1 of its own namespace; the parent waits, and ends as the child ends."""
    user, group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEWUSER | _NEWNET | _NEWPID | _NEWIPC), "namespaces of its own")
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
    """The parent outside: pass the end on in both directions, and hold nothing open."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # process 1 would not hear SIGTERM
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
        raise OSError(errno.ENOSYS, "Landlock")
    known = (1 << max(count for least, count in _RIGHTS_BY_ABI.items() if least <= abi)) - 1
    # Rights over files; over TCP from ABI 4 on; signals and abstract sockets from ABI 6 on. No rule gives either of the last two.
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
    """One rule; a path that is not there needs none."""
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
    """A filter in the kernel's own small language (BPF): refuse these calls, and every call of another architecture.

    Args:
        own_pid: where other processes can be seen, the only one that may be sent a signal or given limits.
    """
    machine = platform.machine()
    if machine not in _DENIED:
        raise OSError(errno.ENOSYS, f"a seccomp filter for {machine}")
    audit, denied = _DENIED[machine]
    numbers = [int(number) for number in denied.split()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = (answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.EPERM), (answer, 0, 0, 0x80000000)
    program = [(load, 0, 0, 4), (equal, 1, 0, audit), kill, (load, 0, 0, 0)]
    if own_pid is not None:
        to_oneself, to_others = _SIGNALS[machine]
        numbers += to_others
        for number in to_oneself:
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
    """Try it in a child; empty where it works, else why not."""
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
