"""The embedded server: a real Triton on this machine, owned by a context manager from its start to its end."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonize import leftovers, processes
from tritonize.artifacts import ServerHandle
from tritonize.errors import MissingError, ServerError, UsageError
from tritonize.servers import environment, log, plans

ADDRESS = "127.0.0.1"
LOG_NAME = "tritonserver.log"
_BACKEND = "tritonize {} (Python-based)"
_POLL_INTERVAL_S = 0.02
_ATTEMPTS = 3  # a port that was free may be taken before the server binds it
_ANSWER_S = 1.0
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
    directory.mkdir(parents=True, exist_ok=True)
    wanted = ports or Ports()
    plan = _Plan(
        installed=installed,
        repository=repository,
        models=models,
        directory=directory,
        ready_timeout_s=ready_timeout_s,
        on_gpu=plans.wanted(repository, models),
        plugins=tuple(plugins),
    )
    for attempt in range(_ATTEMPTS):
        chosen = _choose(wanted)
        try:
            with _run(plan, chosen) as running:
                yield running
                return
        except _PortTakenError:
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
            return plans.hidden()
        return plans.variables(plugins=self.plugins, every_gpu=plans.choose_gpus(self.repository, self.models))


@contextlib.contextmanager
def _run(plan: _Plan, ports: Ports) -> Iterator[Running]:
    """The server on these very ports, with every model loaded."""
    file = plan.directory / LOG_NAME
    file.unlink(missing_ok=True)
    prefix = f"tritonize-{uuid.uuid4().hex[:12]}-"
    link = contextlib.ExitStack()
    command = _command(plan, link.enter_context(_plain_path(plan.repository)), ports, prefix)
    seen = plan.seen()
    own = plan.installed.variables()
    paths = [each["LD_LIBRARY_PATH"] for each in (own, seen) if "LD_LIBRARY_PATH" in each]
    environ = own | seen | ({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})
    process = processes.start(command, log=file, env=environ, cwd=plan.directory, shm_prefix=prefix)
    grace_s = _LOADING_GRACE_S
    try:
        _await(process, ports, prefix, plan.ready_timeout_s)
        _require_loaded(process, ports, plan.repository, plan.models)
        grace_s = _GRACE_S
        versions = {"python": plan.installed.versions["python"]} | log.versions(file)
        backends = [name for name in ("onnxruntime", *plans.MODULES) if name in versions] or ["onnxruntime"]
        yield Running(
            http_url=f"{ADDRESS}:{ports.http}",
            grpc_url=f"{ADDRESS}:{ports.grpc}",
            log=file,
            shm_prefix=prefix,
            identity={"tritonserver": "unknown", "backend": _BACKEND.format(" and ".join(backends))} | versions,
            process=process,
        )
    finally:
        # Unloading takes more than a second per model instance, and only frees what ends with the processes anyway.
        process.stop(grace_s, enough=lambda: log.is_unloading(file))
        leftovers.remove_backend_folders()
        link.close()


class _PortTakenError(Exception):
    pass


@contextlib.contextmanager
def _plain_path(repository: Path) -> Iterator[Path]:
    """The repository under a name that Triton's Python backend can take: it splits paths at blanks, and knows ASCII alone."""
    path = repository.absolute()
    if re.fullmatch(r"[A-Za-z0-9/._+-]+", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tritonize-") as folder:
        link = Path(folder) / "repository"
        if not re.fullmatch(r"[A-Za-z0-9/._+-]+", folder):
            raise ServerError(
                "The server cannot take a path with blanks or letters beyond ASCII.",
                where=str(path),
                next_step="set TMPDIR to a plain path, through which it is reached then",
            )
        link.symlink_to(path)
        yield link


def _command(plan: _Plan, repository: Path, ports: Ports, prefix: str) -> list[str]:
    chosen = []
    if plan.models is not None:
        chosen = ["--model-control-mode=explicit", *(f"--load-model={name}" for name in plan.models)]
    metrics = ["--allow-metrics=false"]
    if ports.metrics is not None:
        metrics = ["--allow-metrics=true", f"--metrics-address={ADDRESS}", f"--metrics-port={ports.metrics}"]
    return [
        str(plan.installed.server),
        f"--id={prefix}",
        f"--model-repository={repository}",
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
        *chosen,
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
            cause="another server listens there" if "in use" in str(error) else None,
            next_step="name another port; 0 takes a free one (--http-port 0 --grpc-port 0)",
        ) from error
    return int(listener.getsockname()[1])


def _in_use(ports: Ports) -> ServerError:
    found = f"HTTP {ports.http}, gRPC {ports.grpc}"
    return ServerError("The server could not listen on its ports.", found=found, next_step="name other ports, or none")


def _await(process: processes.Process, ports: Ports, name: str, timeout_s: float) -> None:
    """Until the server has tried to load every model and answers under its name."""
    until = time.monotonic() + timeout_s
    while True:
        if log.port_was_taken(process.log):
            raise _PortTakenError
        if (ended := process.poll()) is not None:
            raise ServerError(
                f"The server {ended.describe()} before it was ready.",
                where=str(process.log),
                next_step="read its log; tritonize doctor looks at what it needs",
                details=log.problems(process.log) or processes.log_tail(process.log),
            )
        if log.is_listening(process.log, metrics=ports.metrics is not None) and _answers(process, ports, name):
            return
        if time.monotonic() > until:
            raise ServerError(
                f"The server was not ready within {timeout_s:.0f} s.",
                where=str(process.log),
                cause="a model that takes long to load",
                details=processes.log_tail(process.log),
            )
        time.sleep(_POLL_INTERVAL_S)


def _answers(process: processes.Process, ports: Ports, name: str) -> bool:
    """Whether it is this server that answers: another one may listen where it says it does, a moment before it gives up.

    Raises:
        ServerError: it answers that it is not alive.
    """
    _, body = _ask(ports.http, "GET", "/v2")
    if name.encode() not in body:
        return False
    status, _ = _ask(ports.http, "GET", "/v2/health/live")
    if status != http.client.OK:
        problems = log.problems(process.log)
        found = log.plain(problems[-1]) if problems else None
        raise ServerError("The server could not begin to serve.", where=str(process.log), found=found, details=problems)
    return True


def _ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    """Status and body of one plain request; the status is 0 where nobody answers."""
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=_ANSWER_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _require_loaded(process: processes.Process, ports: Ports, repository: Path, models: Sequence[str] | None) -> None:
    """Raise with the reason of every model that was not loaded."""
    _, body = _ask(ports.http, "POST", "/v2/repository/index")
    index: list[dict[str, Any]] = json.loads(body or b"[]")
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    reasons = {entry["name"]: log.plain(entry.get("reason", "")) for entry in index if entry["name"] not in ready}
    reasons |= log.refusals(process.log)
    wanted = models if models is not None else sorted({*(entry["name"] for entry in index), *reasons})
    refused = {name: reasons.get(name) or _absent(repository / name) for name in wanted if name not in ready or name in reasons}
    if not refused:
        return
    first, *others = refused
    if all(plans.needs_gpu(reason) for reason in refused.values()):
        raise MissingError(
            f"There is no GPU here to serve the plan of {', '.join(map(repr, refused))} on.",
            found=refused[first],
            next_step="serve it on a machine with the plan's GPU; or ask its own server: tritonize verify --url http://host:8000",
        )
    raise ServerError(
        f"The server refused the model {first!r}." if not others else f"The server refused {len(refused)} models.",
        where=first,
        found=refused[first],
        next_step="correct the model or its config.pbtxt",
        details=[f"{name}: {refused[name]}" for name in others],
    )


def _absent(directory: Path) -> str:
    return "no reason is given" if directory.is_dir() else f"there is no directory {directory.name} in the model repository"
