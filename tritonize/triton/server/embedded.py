"""Start and stop a Triton server on this machine, managed by a context manager: the embedded one, or one of `ways`."""

from __future__ import annotations

import contextlib
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import errors, near_files, temporary
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError, UsageError
from tritonize.core.messages import server as messages
from tritonize.core.server_choice import Start, Way
from tritonize.process import cleanup, processes
from tritonize.triton.server import access, binary, command_line, docker, gpu_access, log, python_environment, readiness, view
from tritonize.triton.server import program as programs
from tritonize.triton.server.ports import ADDRESS, Ports, choose
from tritonize.triton.server.program import Program

LOG_NAME = "tritonserver.log"
_ATTEMPTS = 3  # another process may take a free port before the server binds it
_GRACE_S = 8.0  # longer than the exit timeout, during which the server completes pending requests
_LOADING_GRACE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Running(ServerHandle):
    """A server that tritonize started; it runs until its context ends."""

    process: processes.Process
    """The server's process; for docker that of the client."""
    way: Way = "embedded"
    key_is_hidden: bool = True
    """Whether other users of this machine cannot read the key in the process list."""
    metrics_url: str = ""
    """`host:port` of Prometheus metrics; empty if metrics are disabled."""

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the server ends.

        Raises:
            ServerError: it ended by itself.
            TimeoutError: it still runs after `timeout_s` seconds.
        """
        ended = self.process.wait(timeout_s)
        if ended.reason == "exited":
            details = log.problems(self.process.log)
            raise ServerError.of(messages.SERVER_ENDED, where=str(self.log), details=details, how=ended.describe())


@contextlib.contextmanager
def start(
    repository: Path,
    *,
    directory: Path,
    models: Sequence[str] | None = None,
    ports: Ports | None = None,
    ready_timeout_s: float = 600.0,
    plugins: Sequence[Path] = (),
    explicit: bool = False,
    complete: bool = False,
    all_loaded: bool = True,
    variant: str = "",
    versions: Mapping[str, int] | None = None,
    how: Start = Start(way="embedded"),  # noqa: B008 - frozen
    on_progress: Callable[[str], None] | None = None,
) -> Iterator[Running]:
    """Serve a model repository until the context ends; afterwards no process and no shared memory remains.

    Args:
        repository: the model repository.
        directory: the folder for the log, created if needed.
        models: the models to load (all).
        ports: the ports to listen on.
        ready_timeout_s: seconds within which all models must be loaded.
        plugins: paths of plugin libraries that plans need.
        explicit: whether models can be loaded and unloaded by requests with the server's key, which `benchmarks.soak` does.
        complete: whether the server completes configurations, as it does by default; here this is off by default.
        all_loaded: whether a model that the server refuses is an error.
        variant: name of the variant in `configs/` by which models are served that have one; their `config.pbtxt` without a name.
        versions: model name to a version that is served in any case, whatever version policy its configuration has.
        how: the way to start it, which is not `auto`.
        on_progress: receives a line about the current step.

    Raises:
        MissingError: the server is not installed and cannot be, or a plan is to be served and there is no GPU.
        UsageError: the repository does not exist.
        ServerError: a port is in use, the server ended, a model was refused, or startup took too long.
    """
    if not repository.is_dir():
        raise _no_repository(repository)
    served = view.model_folders(repository, models)
    asked = _Asked(how=how, repository=repository, served=served, plugins=tuple(plugins))
    program = _program(asked, on_progress)
    with errors.storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    launch = _Launch(
        program=program,
        repository=repository,
        models=models,
        served=served,
        directory=directory,
        ready_timeout_s=ready_timeout_s,
        explicit=explicit,
        complete=complete,
        all_loaded=all_loaded,
        variant=variant,
        versions=versions or {},
    )
    with _run_on_free_ports(launch, ports or Ports()) as running:
        yield running


def _no_repository(path: Path) -> UsageError:
    instead = near_files.missing(path, folder=True)
    where = shlex.quote(str(path))
    return UsageError.of(messages.NO_REPOSITORY, where=str(path), found=instead.found, meant=instead.meant, repository=where)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the choice of the program depends on."""

    how: Start
    repository: Path
    served: Mapping[str, Path]
    plugins: tuple[Path, ...]

    def gpu_variables(self) -> dict[str, str]:
        """The environment variables that give the embedded server access to the GPU, or deny it."""
        names = tuple(self.served)
        if not gpu_access.serves_plans(self.repository, names):
            return gpu_access.without_gpu()
        return gpu_access.variables(plugins=self.plugins, every_gpu=gpu_access.names_gpus(self.repository, names))


def _program(asked: _Asked, on_progress: Callable[[str], None] | None) -> Program:
    """The program to start. For the embedded server, what an ended one's Python backend left is removed first."""
    python = python_environment.is_needed(asked.served)
    if asked.how.way == "binary":
        return binary.program(python=python)
    if asked.how.way == "docker":
        gpu = gpu_access.serves_plans(asked.repository, tuple(asked.served)) or gpu_access.wants_gpu(asked.repository, asked.served)
        return docker.program(python=python, release=asked.how.release, gpu=gpu)
    found = programs.embedded(python=python, gpu=asked.gpu_variables(), on_progress=on_progress)
    if python:
        cleanup.remove_backend_folders()
    return found


@contextlib.contextmanager
def _run_on_free_ports(launch: _Launch, requested: Ports) -> Iterator[Running]:
    """Run the server, on other ports if another process takes a free one before the server binds it."""
    for attempt in range(_ATTEMPTS):
        chosen = choose(requested)
        try:
            with _run(launch, chosen) as running:
                yield running
                return
        except readiness.PortTakenError:
            if attempt + 1 == _ATTEMPTS or 0 not in (requested.http, requested.grpc, requested.metrics):
                taken = f"HTTP {chosen.http}, gRPC {chosen.grpc}"
                raise ServerError.of(messages.PORTS_IN_USE, where=requested.address, found=taken) from None


@dataclass(frozen=True, kw_only=True)
class _Launch:
    """Everything that one start of the server depends on, except the ports."""

    program: Program
    repository: Path
    models: Sequence[str] | None
    served: Mapping[str, Path]
    """The folders of the models that are served, by model name."""
    directory: Path
    ready_timeout_s: float
    explicit: bool
    complete: bool
    all_loaded: bool
    variant: str
    versions: Mapping[str, int]


@contextlib.contextmanager
def _run(launch: _Launch, ports: Ports) -> Iterator[Running]:
    """Run the server on exactly these ports, with every model loaded."""
    file = launch.directory / LOG_NAME
    file.unlink(missing_ok=True)
    name, program = f"tritonize-{uuid.uuid4().hex[:12]}-", launch.program
    key = access.new_key()
    with temporary.folder(plain=True) as private:
        links = private / "links"
        with errors.storage_errors(private):
            links.mkdir()
            set_aside = view.link_models(links, launch.served, gpu=program.gpu, versions=launch.versions, whole=not program.is_own)
            command = _command(launch, private, ports, name=name)
        process = _start(launch, command, key, name=name)
        grace_s = _LOADING_GRACE_S
        try:
            starting = readiness.Starting(
                process=process,
                address=ports.reached_at,
                http_port=ports.http,
                grpc_port=ports.grpc,
                metrics_port=ports.metrics,
                name=name,
                headers=access.headers(key)["http"],
                deadline=time.monotonic() + launch.ready_timeout_s,
                timeout_s=launch.ready_timeout_s,
                listens_itself=program.way != "docker",
            )
            version = starting.wait()
            if launch.all_loaded:
                readiness.require_loaded(starting, launch.repository, launch.models)
            if program.python and program.way != "docker":
                cleanup.close_shared_memory(name)
            grace_s = _GRACE_S
            yield Running(
                http_url=f"{ports.reached_at}:{ports.http}",
                grpc_url=f"{ports.reached_at}:{ports.grpc}",
                metrics_url="" if ports.metrics is None else f"{ADDRESS}:{ports.metrics}",
                log=file,
                shm_prefix=name,
                local=program.way != "docker",
                identity=_identity(program, version, log.versions(file)),
                headers=access.headers(key),
                set_aside=set_aside,
                process=process,
                way=program.way,
                key_is_hidden=program.hides_key,
            )
        finally:
            # Unloading takes more than a second per model instance and frees only what the end of the process frees anyway.
            process.stop(grace_s, enough=lambda: log.is_unloading(file))
            if program.way == "docker":
                docker.kill(name)


def _start(launch: _Launch, command: list[str], key: str, *, name: str) -> processes.Process:
    options, program = access.arguments(key), launch.program
    with errors.storage_errors(launch.directory):
        return processes.start(
            [*command, *(options if program.hides_key else options.values())],
            log=launch.directory / LOG_NAME,
            env=program.variables,
            cwd=launch.directory,
            shm_prefix=name,
            empty_folders=cleanup.BACKEND_FOLDERS if program.python and program.way != "docker" else None,
            hidden=dict(enumerate(options.values(), start=len(command))) if program.hides_key else None,
        )


def _identity(program: Program, version: str, logged: Mapping[str, str]) -> dict[str, str]:
    """Name and versions of the server; what its log says is more precise than what was known before."""
    known = {"tritonserver": version, **{name: each for name, each in program.identity.items() if name != "tritonserver"}}
    started = {} if program.is_own else {"program": program.image or program.command[0]}
    return {**known, "backend": programs.backends(program, logged), **started, **logged}


def _command(launch: _Launch, private: Path, ports: Ports, *, name: str) -> list[str]:
    """The command line of the server, without the options of its access control."""
    program, links = launch.program, private / "links"
    begin, repository, listening, metrics = [*program.command], str(links), ports, ADDRESS
    if program.way == "docker":
        files = docker.lay_out(links, private / "models")
        begin = docker.run(program, name, folder=private / "models", files=files, published=ports)
        inside = docker.INSIDE if ports.metrics is not None else replace(docker.INSIDE, metrics=None)
        repository, listening, metrics = docker.REPOSITORY, inside, inside.address
    wanted = command_line.Wanted(
        name=name,
        repository=repository,
        ports=listening,
        metrics_address=metrics,
        explicit=launch.explicit,
        variant=launch.variant,
        complete=launch.complete,
        python=program.python,
    )
    return [*begin, *program.options, *command_line.options(wanted)]
