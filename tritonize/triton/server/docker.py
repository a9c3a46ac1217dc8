"""NVIDIA's image with `docker run`: the command line, as data.

tritonize is tested without docker: the command line is compared with the options of a real server, and a stand-in for docker runs
the server on the paths and ports that it names. No test has started NVIDIA's image.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tritonize.core import temporary
from tritonize.core.errors import MissingError
from tritonize.core.messages import server as messages
from tritonize.core.server_choice import IMAGE
from tritonize.process import processes
from tritonize.triton.server.ports import EVERY_ADDRESS, Ports
from tritonize.triton.server.prerequisites import Probe
from tritonize.triton.server.program import Program

NAME = "docker"
RELEASE = "24.10"
"""The release of NVIDIA's image with the version of the embedded server, 2.51."""
REPOSITORY = "/models"
"""Where the container sees the model repository."""
INSIDE = Ports(http=8000, grpc=8001, metrics=8002, address=EVERY_ADDRESS)
"""Where the server listens in the container; docker publishes these ports on the host's address alone."""
_SHARED_MEMORY = "1g"
"""Docker's default of 64 MiB fails at tensors of 24 MiB in Triton's Python backend."""
_DEADLINE_S = 20.0
_VERSION = re.compile(r"\d[\w.+~-]*")


def require_possible() -> str:
    """The version of docker's daemon.

    Raises:
        MissingError: docker is not installed, or its daemon does not answer this user.
    """
    if shutil.which(NAME) is None:
        raise MissingError.of(messages.NO_DOCKER, found="no docker on PATH")
    code, text = _run("version", "--format", "{{.Server.Version}}")
    line = text.strip().splitlines()[-1] if text.strip() else "no answer"
    if code != 0 or not _VERSION.fullmatch(line):
        raise MissingError.of(messages.NO_DOCKER, found=line[:200])
    return line


def program(*, python: bool, release: str, gpu: bool) -> Program:
    """`docker run` of NVIDIA's image of a release; see `require_possible`."""
    require_possible()
    return Program(
        way="docker", command=(NAME,), variables=dict(os.environ), python=python, image=image(release), gpu=gpu, hides_key=False
    )


def image(release: str) -> str:
    """The image of a release such as `26.06`."""
    return f"{IMAGE}:{release or RELEASE}-py3"


def run(program: Program, name: str, *, folder: Path, files: Mapping[str, Path], published: Ports) -> list[str]:
    """The command line before the server's own options: of `docker run`, the image, and `tritonserver`.

    The container gets no capability, a root file system that it cannot write, and each file of the repository by itself,
    read-only, so that it sees nothing else of this machine.

    Args:
        program: as `program` returned it.
        name: the name of the container.
        folder: a folder with the directories of the repository and an empty file in the place of each of `files`.
        files: path relative to the repository to the file with the content.
        published: the ports of this machine.
    """
    pairs = [(published.http, INSIDE.http, published.address), (published.grpc, INSIDE.grpc, published.address)]
    if published.metrics is not None and INSIDE.metrics is not None:
        pairs.append((published.metrics, INSIDE.metrics, "127.0.0.1"))
    mounts = [_mount(folder, REPOSITORY), *(_mount(path, f"{REPOSITORY}/{place}") for place, path in sorted(files.items()))]
    return [
        *program.command,
        "run",
        "--rm",
        f"--name={name}",
        *(f"--publish={address}:{outside}:{inside}" for outside, inside, address in pairs),
        f"--shm-size={_SHARED_MEMORY}",
        *(["--gpus=all"] if program.gpu else []),
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--user={os.getuid()}:{os.getgid()}",
        "--read-only",
        "--tmpfs=/tmp",
        *(f"--mount={mount}" for mount in mounts),
        program.image,
        "tritonserver",
    ]


def lay_out(links: Path, folder: Path) -> dict[str, Path]:
    """Make the directories of a repository of links, and an empty file in the place of each file.

    Args:
        links: the repository, whose links lead to files anywhere on this machine.
        folder: an empty folder.

    Returns:
        Path relative to the repository to the file that a link leads to. Evidence is left out.
    """
    files = {}
    for place, directories, names in os.walk(links, followlinks=True):
        directories[:] = [each for each in directories if each != "evidence"]
        relative = Path(place).relative_to(links)
        (folder / relative).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / relative / name).touch()
            files[(relative / name).as_posix()] = (Path(place) / name).resolve()
    return files


def kill(name: str) -> None:
    """End a container that may still run; docker removes it by itself."""
    with contextlib.suppress(MissingError):
        _run("kill", name)


def probe() -> Probe:
    """Whether docker can be used, and for what. Raises nothing; it is no prerequisite."""
    name = "docker (--server docker)"
    try:
        version = require_possible()
    except MissingError as error:
        return Probe(name=name, ok=True, found=f"not usable: {error.found}", absent=True)
    return Probe(name=name, ok=True, found=f"version {version}; {image('')} by default; never tried by tritonize's tests")


def _mount(source: Path, target: str) -> str:
    """A read-only bind mount; docker reads the fields as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}", "readonly"])
    return text.getvalue()


def _run(*arguments: str) -> tuple[int | None, str]:
    """Exit code and output of a command of docker."""
    with temporary.folder() as folder:
        output = folder / "output"
        with processes.start([NAME, *arguments], log=output, deadline_s=_DEADLINE_S) as process:
            ended = process.wait()
        return ended.exit_code, output.read_text(encoding="utf-8", errors="replace")
