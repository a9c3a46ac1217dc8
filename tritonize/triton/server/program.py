"""The program that a server is started with: what differs between the ways to start one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonize.core.server_choice import Way
from tritonize.triton.server import environment, gpu_access
from tritonize.triton.server.installation import Progress

OWN = "its own"
"""The backends of a server that is not the embedded one, as a report names them."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is executed, before the options that every server gets."""

    way: Way
    command: tuple[str, ...]
    """The program; for `docker` the client."""
    options: tuple[str, ...] = ()
    """Options of this program alone."""
    variables: Mapping[str, str]
    """All environment variables of its process."""
    python: bool
    """Whether models need Triton's Python backend."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Names and versions that are known before it starts."""
    image: str = ""
    """The image of `docker`."""
    gpu: bool = False
    """Whether the server has access to a GPU."""
    hides_key: bool = True
    """Whether the key can be kept out of the process list. The command line of a container, and of a script, is there for all."""

    @property
    def is_own(self) -> bool:
        """Whether it is the embedded server, which has backends of tritonize and loads fewer fields than Triton's own do."""
        return self.way == "embedded"


def embedded(*, python: bool, gpu: Mapping[str, str], on_progress: Progress | None) -> Program:
    """The embedded server, installed first if needed.

    Args:
        python: whether a model needs Triton's Python backend.
        gpu: the variables that give it access to the GPU, or deny it.
        on_progress: receives a line about the current step.

    Raises:
        MissingError: it is not installed and cannot be.
    """
    installed = environment.ready(on_progress, python=python)
    own = installed.variables()
    paths = [each["LD_LIBRARY_PATH"] for each in (own, gpu) if "LD_LIBRARY_PATH" in each]
    known = {} if python else {"onnxruntime": installed.native.version}
    if installed.python:
        known["python"] = installed.python.version
    return Program(
        way="embedded",
        command=(str(installed.server),),
        options=(
            f"--backend-directory={installed.backends}",
            *installed.native.options(),
            # Plans use their own pinned memory in the backend's process; the server's pool would stay unused.
            "--pinned-memory-pool-byte-size=0",
        ),
        variables={**own, **gpu, **({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})},
        python=python,
        identity=known,
        gpu=gpu != gpu_access.without_gpu(),
    )


def backends(program: Program, logged: Mapping[str, str]) -> str:
    """The backends of a started server, as a report names them."""
    if not program.is_own:
        return OWN
    modules = [name for name in gpu_access.MODULES if name in logged]
    named = [f"tritonize {' and '.join(modules)} (Python-based)"] if modules else ["Triton's python"] if program.python else []
    if "onnxruntime" in logged or not program.python:
        named.insert(0, "tritonize onnxruntime (native)")
    return ", ".join(named)
