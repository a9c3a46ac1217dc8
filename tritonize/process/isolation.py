"""Determine what an isolated worker may read, write and execute; `guard_confine.py` makes the kernel enforce it.

A worker may read Python, the installed packages, the files that its request names and the user's code. It may write into its own
directory and into the folders of the files that its task writes. It has no network, cannot see or signal other processes, and gets
only environment variables that are known to hold no secrets. Everything else is refused, so a new task that needs more fails.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tritonize.core import onnx_protobuf, resources
from tritonize.core.errors import MissingError, UsageError
from tritonize.core.messages import security

PROGRAM = Path(__file__).with_name("guard_confine.py")
LEAST_LANDLOCK = 3
"""Older versions do not control `truncate`, so a worker could truncate files outside its folders."""

_SYSTEM = (
    "/usr /lib /lib64 /proc /sys/devices/system /sys/fs/cgroup /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime "
    "/etc/timezone /etc/mime.types /etc/ssl/openssl.cnf /etc/os-release"
)
_DEVICES = "/dev/null /dev/zero /dev/full /dev/random /dev/urandom"
_GPU_DEVICES = "/dev/nvidia*"
_LOADERS = ("/lib64/ld-*.so*", "/lib/ld-*.so*", "/usr/lib/ld-*.so*")
_VARIABLES = ("PATH", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "PYTHONHASHSEED", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_PREFIXES = ("LC_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "TORCH", "ORT_", "CUDA_", "NVIDIA_", "TRITONIZE_")

_READ_NAMES = (
    "location weights operators found expected node_map exported source onnx before after plan plugins libraries path directory "
    "files file"
)
_READ_KEYS = frozenset(_READ_NAMES.split())
_FREE_KEYS = frozenset({"kwargs", "fields", "roots", "scope", "modules"})
"""Keys with values of the user or with names; their values are not treated as paths."""
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 4096, "RLIMIT_FSIZE": 2**38, "RLIMIT_MSGQUEUE": 0}
_LIMITS_INSIDE = {"RLIMIT_NPROC": 4096}
"""The kernel counts processes per user, so this limit is set only in a user namespace."""


class Rules(TypedDict):
    """The policy that `guard_confine.apply` takes."""

    read: list[str]
    """Absolute paths of files and folders, as in the next three fields."""
    write: list[str]
    execute: list[str]
    devices: list[str]
    namespaces: bool
    """Whether to create separate namespaces."""
    limits: dict[str, int]
    """Name of a limit in the module `resource` to its value."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The access that a task needs in addition to reading the files that its request names; see `tasks.Task`."""

    writes: tuple[str, ...] = ()
    """Fields of the request that name files outside the worker's directory; the worker may write into their folders."""
    gpu: bool = False
    """Whether the worker may open the device files of the GPU."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What the kernel of this machine allows this user."""

    landlock: int
    """The version of Landlock; 0 if the kernel does not have it."""
    no_new_privs: str
    """Empty if it works, else the reason why it does not; likewise `seccomp` and `namespaces`."""
    seccomp: str
    namespaces: str
    """Namespaces of users, network, processes and shared memory. Isolation uses them if available, but does not require them."""

    def missing(self) -> tuple[str, ...]:
        """Return what isolation requires and this machine lacks; empty if workers can be isolated."""
        found = []
        if self.landlock < LEAST_LANDLOCK:
            have = f"version {self.landlock}" if self.landlock else "none"
            found.append(f"Landlock version {LEAST_LANDLOCK} or newer (Linux 6.2), here {have}")
        if self.no_new_privs:
            found.append(f"no_new_privs ({self.no_new_privs})")
        if self.seccomp:
            found.append(f"a seccomp filter ({self.seccomp})")
        return tuple(found)


_kernel: Kernel | None = None


def switch_on(kernel: Kernel) -> None:
    """Isolate every worker that this process starts from now on.

    Raises:
        MissingError: the machine lacks something that isolation requires.
    """
    global _kernel
    if missing := kernel.missing():
        raise MissingError.of(security.ISOLATION_MISSING, found="; ".join(missing))
    _kernel = kernel


def is_on() -> bool:
    """Whether workers are isolated."""
    return _kernel is not None


def switch_off() -> None:
    """Stop isolating workers; for tests."""
    global _kernel
    _kernel = None


def policy(
    needs: Needs, request: Mapping[str, object], directory: Path, *, search_path: Sequence[Path]
) -> tuple[Rules, dict[str, str]] | None:
    """Return the policy for `guard_confine.apply` and the environment of one worker; `None` if isolation is off.

    Args:
        needs: the access that the task declares.
        request: the request as JSON data.
        directory: the worker's directory.
        search_path: folders with the user's code.

    Raises:
        UsageError: a folder of the user's code is or contains the home directory, which the worker could then read.
    """
    if _kernel is None:
        return None
    private = directory / "tmp"
    private.mkdir(exist_ok=True)
    namespaces = not _kernel.namespaces
    gpu = glob.glob(_GPU_DEVICES) if needs.gpu else []  # noqa: PTH207 - of device files
    rules: Rules = {
        "read": [
            *_SYSTEM.split(),
            *_python(),
            *_code_folders(request, search_path),
            *_module_folder(request),
            *map(str, _named_files(request, "")),
        ],
        "write": [str(directory.absolute()), *_written_folders(needs, request)],
        "execute": [str(Path(sys.executable).resolve()), *(each for pattern in _LOADERS for each in glob.glob(pattern))],  # noqa: PTH207
        "devices": [*_DEVICES.split(), *gpu],
        "namespaces": namespaces,
        "limits": _LIMITS | (_LIMITS_INSIDE if namespaces else {}),
    }
    return rules, _environment(private)


def _environment(private: Path) -> dict[str, str]:
    """Return the variables that hold no secrets, with a private folder for temporary files, caches and the home directory."""
    kept = {name: value for name, value in os.environ.items() if name in _VARIABLES or name.startswith(_PREFIXES)}
    own = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(private.absolute()))
    return {**kept, **own, "USER": "tritonize", "LOGNAME": "tritonize"}


def _opens_home(folder: Path) -> bool:
    return Path("~").expanduser().resolve().is_relative_to(folder.resolve())


def _python() -> Iterator[str]:
    """Yield the folders of the interpreter, its library, all installed packages and tritonize."""
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    folders.update(entry for entry in sys.path if entry)
    folders.update((str(resources.package()), str(resources.templates())))
    yield from sorted(folder for folder in folders if Path(folder).exists() and not _opens_home(Path(folder)))


def _code_folders(request: Mapping[str, object], search_path: Sequence[Path]) -> Iterator[str]:
    """Yield the folders of the user's code if the task runs any of it."""
    for folder in search_path if runs_user_code(request) else ():
        if _opens_home(folder):
            raise UsageError.of(security.ISOLATION_OPENS_HOME, where=str(folder))
        yield str(folder.absolute())


def runs_user_code(request: Mapping[str, object]) -> bool:
    """Whether the task of a request (as JSON data) runs Python code of the user: a factory, a module, operators or a function."""
    model = request.get("model", request)
    return "function" in request or (isinstance(model, Mapping) and bool(model.get("operators") or model.get("kind") in _CODE))


_CODE = ("factory", "module")


def _module_folder(request: Mapping[str, object]) -> Iterator[str]:
    """Yield the folder of a module that was passed to the Python API; it also holds the module's outputs in that process."""
    model = request.get("model", request)
    if isinstance(model, Mapping) and model.get("kind") == "module":
        yield str(Path(model["location"]).absolute().parent)


def _named_files(value: object, key: str) -> Iterator[Path]:
    """Yield every file and folder that a request names, and the data files of ONNX files."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _FREE_KEYS:
                yield from _named_files(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named_files(inner, key)
    elif isinstance(value, str) and key in _READ_KEYS and value and Path(value).exists():
        path = Path(value).absolute()
        if not _opens_home(path):
            yield path
        if path.suffix == ".onnx":
            yield from onnx_protobuf.data_files(path)


def _written_folders(needs: Needs, request: Mapping[str, object]) -> Iterator[str]:
    """Yield the folders of the files that the task writes outside the worker's directory."""
    for key in needs.writes:
        named = request.get(key)
        if isinstance(named, str) and named and not (key == "exported" and request.get("consume") is False):
            yield str(Path(named).absolute().parent)
