"""A `tritonserver` on PATH, as inside NVIDIA's image: whether there is one, its version, and the options that it knows."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tritonize.core import temporary
from tritonize.core.errors import MissingError
from tritonize.core.messages import server as messages
from tritonize.process import processes
from tritonize.triton.server import access, command_line, log
from tritonize.triton.server.ports import Ports
from tritonize.triton.server.prerequisites import Probe
from tritonize.triton.server.program import Program

NAME = "tritonserver"
_ELF = b"\x7fELF"
_DEADLINE_S = 60.0
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")


def find() -> Path | None:
    """The program, if PATH leads to one."""
    found = shutil.which(NAME)
    return Path(found) if found else None


def require_possible() -> Path:
    """The program, if a server can be started with it.

    Raises:
        MissingError: PATH leads to none, or it lacks an option that tritonize needs.
    """
    path = find()
    if path is None:
        raise MissingError.of(messages.NO_BINARY)
    if lacking := sorted(needed() - _known(path)):
        raise MissingError.of(messages.BINARY_TOO_OLD, where=str(path), found=f"no {', '.join(lacking)}")
    return path


def needed() -> set[str]:
    """The names of all options that a start can use."""
    wanted = command_line.Wanted(
        name="x", repository="x", ports=Ports(http=1, grpc=2, metrics=3), explicit=True, variant="x", python=True
    )
    every = command_line.options(wanted)
    every += command_line.options(command_line.Wanted(name="x", repository="x", ports=Ports(http=1, grpc=2)))
    return command_line.names([*every, *access.arguments("x").values()])


def program(*, python: bool) -> Program:
    """The program on PATH; see `require_possible`. Its backends and its configuration are its own."""
    path = require_possible()
    version = version_of(path)
    return Program(
        way="binary",
        command=(str(path),),
        variables=variables(os.environ),
        python=python,
        identity={NAME: version} if version else {},
        gpu=True,
        hides_key=_begins(path) == _ELF,
    )


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the server: this process's, without its Python, which is not the one of the server's Python backend."""
    kept = {name: value for name, value in environ.items() if name not in _OWN_VARIABLES}
    own = str(Path(sys.prefix) / "bin")
    if sys.prefix != sys.base_prefix:  # a virtual environment
        kept["PATH"] = os.pathsep.join(each for each in kept.get("PATH", os.defpath).split(os.pathsep) if each != own)
    return kept


def version_of(path: Path) -> str | None:
    """Its version. It is read from the table that the server prints before it fails to open a repository that does not exist."""
    options = [f"--{each}=false" for each in ("allow-http", "allow-grpc", "allow-metrics")]
    text = _output(path, "--model-repository=/nonexistent", *options)
    found = log.SERVER_VERSION.search(text)
    return found[1] if found else None


def probe() -> Probe:
    """Whether there is one, and what it is. Raises nothing; it is no prerequisite."""
    name = "a tritonserver on PATH (--server binary)"
    try:
        path = require_possible()
    except MissingError as error:
        found = f"{error.where}: {error.what} {error.found}" if error.where else "none: only NVIDIA's images contain one"
        return Probe(name=name, ok=True, found=found, absent=True)
    return Probe(name=name, ok=True, found=f"version {version_of(path) or 'unknown'}, {path}")


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_ELF))


def _known(path: Path) -> set[str]:
    return command_line.names(re.split(r"[\s<>=|,]+", _output(path, "--help")))


@functools.cache
def _output(path: Path, *arguments: str) -> str:
    """What the program prints; empty if it cannot be started."""
    with temporary.folder() as folder:
        try:
            with processes.start([path, *arguments], log=folder / "output", deadline_s=_DEADLINE_S) as process:
                process.wait()
        except MissingError:
            return ""
        return (folder / "output").read_text(encoding="utf-8", errors="replace")
