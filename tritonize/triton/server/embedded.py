"""Start and stop the embedded server: a real Triton on this machine, managed by a context manager."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import errors, temporary
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError, UsageError
from tritonize.core.messages import server as messages
from tritonize.process import cleanup, processes
from tritonize.triton.server import access, environment, gpu_access, log, native_backend, python_environment, readiness, view
from tritonize.triton.server.ports import ADDRESS, Ports, choose

LOG_NAME = "tritonserver.log"
_ATTEMPTS = 3  # another process may take a free port before the server binds it
_EXIT_TIMEOUT_S = 5
_GRACE_S = 8.0  # longer than the exit timeout, during which the server completes pending requests
_LOADING_GRACE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Running(ServerHandle):
    """A running embedded server; it runs until its context ends."""

    process: processes.Process
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
        on_progress: receives a line about the current step.

    Raises:
        MissingError: the server is not installed and cannot be, or a plan is to be served and there is no GPU.
        UsageError: the repository does not exist.
        ServerError: a port is in use, the server ended, a model was refused, or startup took too long.
    """
    if not repository.is_dir():
        raise UsageError.of(messages.NO_REPOSITORY, where=str(repository))
    served = view.model_folders(repository, models)
    installed = _installed(served, on_progress)
    with errors.storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    launch = _Launch(
        installed=installed,
        repository=repository,
        models=models,
        served=served,
        directory=directory,
        ready_timeout_s=ready_timeout_s,
        on_gpu=gpu_access.serves_plans(repository, tuple(served)),
        plugins=tuple(plugins),
        explicit=explicit,
        complete=complete,
        all_loaded=all_loaded,
        variant=variant,
        versions=versions or {},
    )
    with _run_on_free_ports(launch, ports or Ports()) as running:
        yield running


def _installed(served: Mapping[str, Path], on_progress: Callable[[str], None] | None) -> environment.Environment:
    """The server's installation, after what an ended server's Python backend left in the temporary folder is removed."""
    installed = environment.ready(on_progress, python=python_environment.is_needed(served))
    if installed.python:
        cleanup.remove_backend_folders()
    return installed


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

    installed: environment.Environment
    repository: Path
    models: Sequence[str] | None
    served: Mapping[str, Path]
    """The folders of the models that are served, by model name."""
    directory: Path
    ready_timeout_s: float
    on_gpu: bool
    """Whether plans are served, so that the server needs access to the GPU."""
    plugins: tuple[Path, ...]
    explicit: bool
    complete: bool
    all_loaded: bool
    variant: str
    versions: Mapping[str, int]

    def gpu_variables(self) -> dict[str, str]:
        """The environment variables that give the server access to the GPU, or deny it."""
        if not self.on_gpu:
            return gpu_access.without_gpu()
        return gpu_access.variables(plugins=self.plugins, every_gpu=gpu_access.names_gpus(self.repository, tuple(self.served)))


@contextlib.contextmanager
def _run(launch: _Launch, ports: Ports) -> Iterator[Running]:
    """Run the server on exactly these ports, with every model loaded."""
    file = launch.directory / LOG_NAME
    file.unlink(missing_ok=True)
    prefix = f"tritonize-{uuid.uuid4().hex[:12]}-"
    key = access.new_key()
    with temporary.folder(plain=True) as private:
        with errors.storage_errors(private):
            set_aside = view.link_models(private, launch.served, gpu=launch.on_gpu, versions=launch.versions)
        process = _start(launch, _command(launch, private, ports, prefix=prefix), key, file=file, prefix=prefix)
        grace_s = _LOADING_GRACE_S
        try:
            starting = readiness.Starting(
                process=process,
                address=ports.reached_at,
                http_port=ports.http,
                grpc_port=ports.grpc,
                metrics_port=ports.metrics,
                name=prefix,
                headers=access.headers(key)["http"],
                deadline=time.monotonic() + launch.ready_timeout_s,
                timeout_s=launch.ready_timeout_s,
            )
            version = starting.wait()
            if launch.all_loaded:
                readiness.require_loaded(starting, launch.repository, launch.models)
            if launch.installed.python:
                cleanup.close_shared_memory(prefix)
            grace_s = _GRACE_S
            yield Running(
                http_url=f"{ports.reached_at}:{ports.http}",
                grpc_url=f"{ports.reached_at}:{ports.grpc}",
                metrics_url="" if ports.metrics is None else f"{ADDRESS}:{ports.metrics}",
                log=file,
                shm_prefix=prefix,
                identity=_identity(launch, version, log.versions(file)),
                headers=access.headers(key),
                set_aside=set_aside,
                process=process,
            )
        finally:
            # Unloading takes more than a second per model instance and frees only what the end of the process frees anyway.
            process.stop(grace_s, enough=lambda: log.is_unloading(file))


def _start(launch: _Launch, command: list[str], key: str, *, file: Path, prefix: str) -> processes.Process:
    gpu = launch.gpu_variables()
    own = launch.installed.variables()
    paths = [each["LD_LIBRARY_PATH"] for each in (own, gpu) if "LD_LIBRARY_PATH" in each]
    environ = own | gpu | ({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})
    options = access.arguments(key)
    with errors.storage_errors(file):
        return processes.start(
            [*command, *options],
            log=file,
            env=environ,
            cwd=launch.directory,
            shm_prefix=prefix,
            empty_folders=cleanup.BACKEND_FOLDERS if launch.installed.python else None,
            hidden=dict(enumerate(options.values(), start=len(command))),
        )


def _identity(launch: _Launch, version: str, logged: Mapping[str, str]) -> dict[str, str]:
    """Name and versions of the server; if the log is truncated, the version of ONNX Runtime is that of its library's name."""
    python, native = launch.installed.python, launch.installed.native
    modules = [name for name in gpu_access.MODULES if name in logged]
    known = {"tritonserver": version}
    backends = [f"tritonize {' and '.join(modules)} (Python-based)"] if modules else ["Triton's python"] if python else []
    if native_backend.NAME in logged or not python:
        backends.insert(0, "tritonize onnxruntime (native)")
        known[native_backend.NAME] = native.version
    if python:
        known["python"] = python.version
    return {**known, "backend": ", ".join(backends), **logged}


def _command(launch: _Launch, served: Path, ports: Ports, *, prefix: str) -> list[str]:
    python = [f"--backend-config=python,shm-region-prefix-name={prefix}"] if launch.installed.python else []
    control = ["--model-control-mode=explicit", "--load-model=*"] if launch.explicit else ["--model-control-mode=none"]
    metrics = ["--allow-metrics=false"]
    if ports.metrics is not None:
        metrics = ["--allow-metrics=true", f"--metrics-address={ADDRESS}", f"--metrics-port={ports.metrics}"]
    return [
        str(launch.installed.server),
        f"--id={prefix}",
        f"--model-repository={served}",
        *control,
        f"--backend-directory={launch.installed.backends}",
        *launch.installed.native.options(),
        *python,
        *([f"--model-config-name={launch.variant}"] if launch.variant else []),
        *([] if launch.complete else ["--disable-auto-complete-config"]),  # it would silently repair a wrong configuration
        "--exit-on-error=false",  # so that the log gives the reason for every refused model, not only for the first
        "--strict-readiness=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
        # Plans use their own pinned memory in the backend's process; the server's pool would stay unused.
        "--pinned-memory-pool-byte-size=0",
        f"--http-address={ports.address}",
        f"--http-port={ports.http}",
        f"--grpc-address={ports.address}",
        f"--grpc-port={ports.grpc}",
        *metrics,
    ]
