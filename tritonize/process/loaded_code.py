"""Record which files a worker's result depends on: Python files, files that the user's code read, and installed packages.

The worker calls `watch` before its task and `found` after it; `workers.run_worker` passes the answer on to `collecting`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/lib/", "/usr/share/", "/lib/")
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - a worker's start: without pathlib
_MOST_BYTES = 1 << 30
"""Bytes of files that the user's code read, up to which they are hashed."""
_SITES = ("site-packages", "dist-packages")


class Answer(TypedDict):
    """What `found` returns, as JSON data."""

    files: dict[str, str]
    """Absolute path of each file outside of installed packages to its SHA-256; empty if it is too large or cannot be read."""
    modules: dict[str, str]
    """Absolute path of those that are modules to their path below their entry of `sys.path`; empty if it is unknown."""
    packages: list[str]
    """Names in `site-packages` from which modules were loaded."""


@dataclass(kw_only=True)
class Loaded:
    """The files of all workers together."""

    files: dict[str, str] = field(default_factory=dict)
    """See `Answer.files`. A file that differed between two workers has an empty SHA-256."""
    modules: dict[str, str] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)


_collectors: list[Loaded] = []


@contextlib.contextmanager
def collecting() -> Iterator[Loaded]:
    """Collect the answers of all workers that end in this context."""
    loaded = Loaded()
    _collectors.append(loaded)
    try:
        yield loaded
    finally:
        _collectors.remove(loaded)


def add(answer: Answer) -> None:
    """Add a worker's answer to each open collection."""
    for each in _collectors:
        for path, sha256 in answer["files"].items():
            each.files[path] = sha256 if each.files.get(path, sha256) == sha256 else ""
        each.modules |= answer["modules"]
        each.packages.update(answer["packages"])


_opened: set[str] = set()


def watch() -> None:
    """Note every file that Python code opens for reading, from now to the end of the process."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open":
            return
        path, _, flags = arguments
        if isinstance(path, str) and isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY:
            _opened.add(os.path.abspath(path))  # noqa: PTH100

    sys.addaudithook(hook)


def found(known: Sequence[str]) -> Answer:
    """Return what this process loaded so far.

    Args:
        known: absolute files and folders (with a slash at the end) of the worker's request, which do not count.
    """
    standard = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
    sites = [f"{entry}/" for entry in sys.path if entry.endswith(_SITES)]
    files: dict[str, str] = {}
    modules: dict[str, str] = {}
    packages: set[str] = set()
    for name, path in _modules():
        site = next((each for each in sites if path.startswith(each)), None)
        if site is not None:
            packages.add(path[len(site) :].partition("/")[0].partition(".")[0])
        elif not path.startswith((*standard, f"{_OWN}/")):
            files[path] = _sha256(path)
            modules[path] = _below(name, path)
    left = _MOST_BYTES
    for path in sorted(_opened):
        if _counts(path, (*standard, *sites, *known)) and path not in files:
            left -= os.path.getsize(path)  # noqa: PTH202
            files[path] = _sha256(path) if left >= 0 else ""
    return Answer(files=files, modules=modules, packages=sorted(packages))


def _modules() -> Iterator[tuple[str, str]]:
    """Yield name and absolute file of every loaded module that has a file."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__dict__", {}).get("__file__")  # not by attribute: a module may define `__getattr__`
        if isinstance(path, str) and os.path.isfile(path):  # noqa: PTH113
            yield name, os.path.abspath(path)  # noqa: PTH100


def _below(name: str, path: str) -> str:
    """Return a module's path below the entry of `sys.path` that it was imported from; empty if there is no such entry."""
    parts = name.replace(".", "/")
    for ending in (f"/{parts}.py", f"/{parts}/__init__.py"):
        if path.endswith(ending) and path[: -len(ending)] in {os.path.abspath(entry or ".") for entry in sys.path}:  # noqa: PTH100
            return ending[1:]
    return ""


def _counts(path: str, others: Sequence[str]) -> bool:
    """Whether a file that was opened may be an input of the user's: no part of the system, of Python or of this job."""
    under = (*others, *_SYSTEM, f"{sys.prefix}/", f"{sys.base_prefix}/", f"{_OWN}/")
    folders = tuple(each for each in under if each.endswith("/"))
    code = path.endswith((".pyc", ".pyo"))
    return not code and path not in under and not path.startswith(folders) and os.path.isfile(path)  # noqa: PTH113


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def known_places(request: object) -> Iterator[str]:
    """Yield every file and folder that a request, which is JSON data, names itself; a factory's arguments may name others."""
    if isinstance(request, str):
        if request.count("/") > 1 and request.startswith("/") and os.path.exists(request):  # noqa: PTH110
            yield f"{request.rstrip('/')}/" if os.path.isdir(request) else request  # noqa: PTH112
    elif isinstance(request, Mapping):
        for key, each in request.items():
            if key != "kwargs":
                yield from known_places(each)
    elif isinstance(request, list):
        for each in request:
            yield from known_places(each)
