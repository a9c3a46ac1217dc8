"""What an isolated worker may read, write and execute; `guard_confine.py` makes the kernel hold it to that.

A worker reads Python, the installed packages, the files that its request names and the user's code; it writes into its own
directory, and where its request has it put a file. It has no network and no other process to see, and of the environment it gets
what names no secret. Whatever this policy does not know about is refused, so that a new task fails here before it opens anything.
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
"""Below it files outside could be cut off (`truncate`)."""

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
"""Values of the user's, or names; no path in them opens anything."""
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 4096, "RLIMIT_FSIZE": 2**38, "RLIMIT_MSGQUEUE": 0}
_LIMITS_INSIDE = {"RLIMIT_NPROC": 4096}
"""Counted per user, so that it can be set only where the user is one of a namespace."""


class Rules(TypedDict):
    """What `guard_confine.apply` takes."""

    read: list[str]
    """Absolute paths of files and folders; likewise the next three."""
    write: list[str]
    execute: list[str]
    devices: list[str]
    namespaces: bool
    """Whether it gets its own."""
    limits: dict[str, int]
    """Name in `resource` to bound."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a task needs beyond reading what its request names; see `tasks.Task`."""

    writes: tuple[str, ...] = ()
    """Keys of files that it puts outside its own directory: into their folders it may write."""
    gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What the kernel of this machine gives this user."""

    landlock: int
    """The version of Landlock; 0 without."""
    no_new_privs: str
    """Empty where it works, else why not; like the next two."""
    seccomp: str
    namespaces: str
    """Of users, network, processes and shared memory: a second wall where the kernel gives them, and not needed for the first."""

    def missing(self) -> tuple[str, ...]:
        """What isolation needs and this machine lacks; none where it can isolate."""
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
    """From now on every worker of this process is isolated.

    Raises:
        MissingError: the machine lacks something that isolation needs; the text says what.
    """
    global _kernel
    if missing := kernel.missing():
        raise MissingError.of(security.ISOLATION_MISSING, found="; ".join(missing))
    _kernel = kernel


def switch_off() -> None:
    """Workers of this process are as they were; for tests."""
    global _kernel
    _kernel = None


def policy(
    needs: Needs, request: Mapping[str, object], directory: Path, *, search_path: Sequence[Path]
) -> tuple[Rules, dict[str, str]] | None:
    """The policy for `guard_confine.apply` and the environment of one worker; `None` where isolation is off.

    Raises:
        UsageError: a folder of the user's code is the home directory or holds it, so that reading it would open the home.
    """
    if _kernel is None:
        return None
    private = directory / "tmp"
    private.mkdir(exist_ok=True)
    namespaces = not _kernel.namespaces
    gpu = glob.glob(_GPU_DEVICES) if needs.gpu else []  # noqa: PTH207 - of device files
    rules: Rules = {
        "read": [*_SYSTEM.split(), *_python(), *_code(request, search_path), *_handed(request), *map(str, _named(request, ""))],
        "write": [str(directory.absolute()), *_written(needs, request)],
        "execute": [str(Path(sys.executable).resolve()), *(each for pattern in _LOADERS for each in glob.glob(pattern))],  # noqa: PTH207
        "devices": [*_DEVICES.split(), *gpu],
        "namespaces": namespaces,
        "limits": _LIMITS | (_LIMITS_INSIDE if namespaces else {}),
    }
    return rules, _environment(private)


def _environment(private: Path) -> dict[str, str]:
    """Without what may be a secret; temporary files, caches and the home are the worker's own."""
    kept = {name: value for name, value in os.environ.items() if name in _VARIABLES or name.startswith(_PREFIXES)}
    own = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(private.absolute()))
    return {**kept, **own, "USER": "tritonize", "LOGNAME": "tritonize"}


def _opens_home(folder: Path) -> bool:
    return Path("~").expanduser().resolve().is_relative_to(folder.resolve())


def _python() -> Iterator[str]:
    """The interpreter, its library, every folder that packages are imported from, and tritonize itself."""
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    folders.update(entry for entry in sys.path if entry)
    folders.update((str(resources.package()), str(resources.templates())))
    yield from sorted(folder for folder in folders if Path(folder).exists() and not _opens_home(Path(folder)))


def _code(request: Mapping[str, object], search_path: Sequence[Path]) -> Iterator[str]:
    """The folders of the user's code, for a task that runs any."""
    model = request.get("model", request)
    runs_code = "function" in request or (isinstance(model, Mapping) and (model.get("operators") or model.get("kind") in _CODE))
    for folder in search_path if runs_code else ():
        if _opens_home(folder):
            raise UsageError.of(security.ISOLATION_OPENS_HOME, where=str(folder))
        yield str(folder.absolute())


_CODE = ("factory", "module")


def _handed(request: Mapping[str, object]) -> Iterator[str]:
    """The private folder of a module that the caller's own process gave: what it answered there lies beside it."""
    model = request.get("model", request)
    if isinstance(model, Mapping) and model.get("kind") == "module":
        yield str(Path(model["location"]).absolute().parent)


def _named(value: object, key: str) -> Iterator[Path]:
    """Every file and folder that a request names, and the data files of an ONNX file."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _FREE_KEYS:
                yield from _named(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner, key)
    elif isinstance(value, str) and key in _READ_KEYS and value and Path(value).exists():
        path = Path(value).absolute()
        if not _opens_home(path):
            yield path
        if path.suffix == ".onnx":
            yield from onnx_protobuf.data_files(path)


def _written(needs: Needs, request: Mapping[str, object]) -> Iterator[str]:
    for key in needs.writes:
        named = request.get(key)
        if isinstance(named, str) and named and not (key == "exported" and request.get("consume") is False):
            yield str(Path(named).absolute().parent)
