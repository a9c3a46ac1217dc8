"""The embedded server: a real Triton on this machine, owned by a context manager from its start to its end."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import errors, temporary
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError, UsageError
from tritonize.process import cleanup, processes
from tritonize.triton.server import access, environment, gpu_access, log, readiness, view

ADDRESS = "127.0.0.1"
LOG_NAME = "tritonserver.log"
_BACKEND = "tritonize {} (Python-based)"
_ATTEMPTS = 3  # a port that was free may be taken before the server binds it
_EXIT_TIMEOUT_S = 5
_GRACE_S = 8.0  # longer than the exit timeout, in which requests that others sent are still answered
_LOADING_GRACE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Running(ServerHandle):
    """A server of ours, alive as long as its context."""

    process: processes.Process

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait as long as the server runs.

        Raises:
            ServerError: it ended by itself.
            TimeoutError: it still runs after `timeout_s` seconds.
        """
        ended = self.process.wait(timeout_s)
        if ended.reason == "exited":
            raise ServerError(f"The server {ended.describe()}.", where=str(self.log), details=log.problems(self.process.log))


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the server listens on 127.0.0.1; 0 lets the system choose."""

    http: int = 0
    grpc: int = 0
    metrics: int | None = None
    """No metrics where it is `None`."""


@contextlib.contextmanager
def start(
    repository: Path,
    *,
    directory: Path,
    models: Sequence[str] | None = None,
    ports: Ports | None = None,
    ready_timeout_s: float = 600.0,
    plugins: Sequence[Path] = (),
    on_progress: Callable[[str], None] | None = None,
) -> Iterator[Running]:
    """Serve a model repository until the context ends; whatever ends it, no process and no shared memory is left.

    Args:
        repository: what `--model-repository` names.
        directory: where the log goes; made if it is not there.
        models: what to load; every model of the repository by default.
        ports: where to listen.
        ready_timeout_s: seconds until all models must be loaded.
        plugins: libraries with plugins that plans need, by their files.
        on_progress: told what is being waited for.

    Raises:
        MissingError: the server is not installed and cannot be, or a plan is to be served and there is no GPU.
        UsageError: there is no such repository.
        ServerError: a port is in use, the server ended, a model was refused, or it took too long.
    """
    if not repository.is_dir():
        raise UsageError("There is no such model repository.", where=str(repository))
    installed = environment.ready(on_progress)
    cleanup.remove_backend_folders()
    with errors.storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    wanted = ports or Ports()
    plan = _Plan(
        installed=installed,
        repository=repository,
        models=models,
        directory=directory,
        ready_timeout_s=ready_timeout_s,
        on_gpu=gpu_access.wanted(repository, models),
        plugins=tuple(plugins),
    )
    for attempt in range(_ATTEMPTS):
        chosen = _choose(wanted)
        try:
            with _run(plan, chosen) as running:
                yield running
                return
        except readiness.PortTakenError:
            if attempt + 1 == _ATTEMPTS or 0 not in (wanted.http, wanted.grpc, wanted.metrics):
                raise _in_use(chosen) from None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    installed: environment.Environment
    repository: Path
    models: Sequence[str] | None
    directory: Path
    ready_timeout_s: float
    on_gpu: bool
    """Whether plans are served, so that the server has to see the GPU."""
    plugins: tuple[Path, ...]

    def seen(self) -> dict[str, str]:
        """What the server sees beside its own environment."""
        if not self.on_gpu:
            return gpu_access.hidden()
        return gpu_access.variables(plugins=self.plugins, every_gpu=gpu_access.choose_gpus(self.repository, self.models))


@contextlib.contextmanager
def _run(plan: _Plan, ports: Ports) -> Iterator[Running]:
    """The server on these very ports, with every model loaded."""
    file = plan.directory / LOG_NAME
    file.unlink(missing_ok=True)
    prefix = f"tritonize-{uuid.uuid4().hex[:12]}-"
    key = access.new_key()
    with temporary.folder(plain=True) as private:
        with errors.storage_errors(private):
            served = view.lay_out(private, view.of_models(plan.repository, plan.models))
        process = _start(plan, _command(plan, served, ports, prefix=prefix), key, file=file, prefix=prefix)
        grace_s = _LOADING_GRACE_S
        try:
            starting = readiness.Starting(
                process=process,
                address=ADDRESS,
                http_port=ports.http,
                grpc_port=ports.grpc,
                metrics_port=ports.metrics,
                name=prefix,
                headers=access.headers(key)["http"],
                until=time.monotonic() + plan.ready_timeout_s,
                timeout_s=plan.ready_timeout_s,
            )
            version = starting.wait()
            readiness.require_loaded(starting, plan.repository, plan.models)
            cleanup.close_shared_memory(prefix)
            grace_s = _GRACE_S
            yield Running(
                http_url=f"{ADDRESS}:{ports.http}",
                grpc_url=f"{ADDRESS}:{ports.grpc}",
                log=file,
                shm_prefix=prefix,
                identity=_identity(plan, version, log.versions(file)),
                headers=access.headers(key),
                process=process,
            )
        finally:
            # Unloading takes more than a second per model instance, and only frees what ends with the processes anyway.
            process.stop(grace_s, enough=lambda: log.is_unloading(file))


def _start(plan: _Plan, command: list[str], key: str, *, file: Path, prefix: str) -> processes.Process:
    seen = plan.seen()
    own = plan.installed.variables()
    paths = [each["LD_LIBRARY_PATH"] for each in (own, seen) if "LD_LIBRARY_PATH" in each]
    environ = own | seen | ({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})
    options = access.arguments(key)
    with errors.storage_errors(file):
        return processes.start(
            [*command, *options],
            log=file,
            env=environ,
            cwd=plan.directory,
            shm_prefix=prefix,
            empty_folders=cleanup.BACKEND_FOLDERS,
            hidden=dict(enumerate(options.values(), start=len(command))),
        )


def _identity(plan: _Plan, version: str, logged: Mapping[str, str]) -> dict[str, str]:
    """What answers; a log that was cut short does not say which runtime, but that is the installed one."""
    backends = [name for name in ("onnxruntime", *gpu_access.MODULES) if name in logged] or ["onnxruntime"]
    known = {"onnxruntime": plan.installed.versions["onnxruntime"]} if backends == ["onnxruntime"] else {}
    return {
        "tritonserver": version,
        "backend": _BACKEND.format(" and ".join(backends)),
        "python": plan.installed.versions["python"],
        **known,
        **logged,
    }


def _command(plan: _Plan, served: Path, ports: Ports, *, prefix: str) -> list[str]:
    metrics = ["--allow-metrics=false"]
    if ports.metrics is not None:
        metrics = ["--allow-metrics=true", f"--metrics-address={ADDRESS}", f"--metrics-port={ports.metrics}"]
    return [
        str(plan.installed.server),
        f"--id={prefix}",
        f"--model-repository={served}",
        "--model-control-mode=none",
        f"--backend-directory={plan.installed.backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--disable-auto-complete-config",  # it would repair a wrong configuration in silence
        "--exit-on-error=false",  # so that the reason for every bad model can be read, not for the first alone
        "--strict-readiness=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
        # Plans have pinned memory of their own, in the backend's process; the server's pool would lie there unused.
        "--pinned-memory-pool-byte-size=0",
        f"--http-address={ADDRESS}",
        f"--http-port={ports.http}",
        f"--grpc-address={ADDRESS}",
        f"--grpc-port={ports.grpc}",
        *metrics,
    ]


def _choose(wanted: Ports) -> Ports:
    """Free ports where none is given, and those that are given if they are free.

    Raises:
        ServerError: one is in use; the text names it.
    """
    with contextlib.ExitStack() as held:  # all at once, so that they differ
        http_port = _bind(wanted.http, "HTTP", held)
        grpc_port = _bind(wanted.grpc, "gRPC", held)
        metrics_port = None if wanted.metrics is None else _bind(wanted.metrics, "metrics", held)
    return Ports(http=http_port, grpc=grpc_port, metrics=metrics_port)


def _bind(port: int, what: str, held: contextlib.ExitStack) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not matter
    try:
        listener.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        raise ServerError(
            f"The {what} port {port} cannot be used.",
            where=f"{ADDRESS}:{port}",
            found=str(error).lower(),
            cause="another server listens there" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else None,
            next_step="name another port; 0 takes a free one (--http-port 0 --grpc-port 0)",
        ) from error
    return int(listener.getsockname()[1])


def _in_use(ports: Ports) -> ServerError:
    found = f"HTTP {ports.http}, gRPC {ports.grpc}"
    return ServerError("The server could not listen on its ports.", found=found, next_step="name other ports, or none")
