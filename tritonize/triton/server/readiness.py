"""Wait until a started server is ready, and check over HTTP which models it loaded.

The server's responses decide, not its log, which a full disk can truncate. A request without a response is sent again, since the
machine may be busy.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.errors import MissingError, ServerError
from tritonize.core.messages import server as messages
from tritonize.process import processes
from tritonize.triton.load_failures import lookup
from tritonize.triton.protocol import IndexEntry
from tritonize.triton.server import gpu_access, log
from tritonize.triton.server.ports import ADDRESS

_POLL_INTERVAL_S = 0.02
_RESPONSE_S = 5.0


class PortTakenError(Exception):
    """Another program took one of the server's ports before the server bound it."""


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A server that was started and may not respond yet."""

    process: processes.Process
    address: str
    http_port: int
    grpc_port: int
    metrics_port: int | None
    """`None` if metrics are disabled. Metrics listen on 127.0.0.1, whatever `address` is."""
    name: str
    """The server's `--id`."""
    headers: Mapping[str, str]
    """The key for the repository index over HTTP. It is secret, so it is sent only to a port that the server itself listens on."""
    deadline: float
    """The time by which it must be ready, on the monotonic clock."""
    timeout_s: float
    """The same as seconds from its start."""
    listens_itself: bool = True
    """Whether `process` holds the ports; for a container docker does."""

    def wait(self) -> str:
        """Wait until the server responds under its name, which it does after it has tried to load every model.

        Returns:
            Its version.

        Raises:
            PortTakenError: it could not listen.
            ServerError: it ended, cannot serve, or takes too long.
        """
        while (version := self._version()) is None:
            self._require_time()
            time.sleep(_POLL_INTERVAL_S)
        return version

    def index(self) -> list[IndexEntry]:
        """Name, version, state and reason of every model version in its repository.

        Raises:
            ServerError: it ended, rejects the request, or takes too long.
        """
        while True:
            status, body = self._request(
                "POST", "/v2/repository/index", max(_RESPONSE_S, self.deadline - time.monotonic()), headers=self.headers
            )
            if status == http.client.OK:
                found: list[IndexEntry] = json.loads(body)
                return found
            if status:
                found_text = f"{status}: {body[:200].decode(errors='replace')}"
                raise ServerError.of(messages.NO_INDEX, where=str(self.process.log), found=found_text)
            self._require_time()
            time.sleep(_POLL_INTERVAL_S)

    def _require_time(self) -> None:
        if log.port_was_taken(self.process.log):
            raise PortTakenError
        if hung := log.hung(self.process.log):
            raise _not_loaded(hung)
        details = processes.log_tail(self.process.log)
        if (ended := self.process.poll()) is not None:
            raise ServerError.of(
                messages.ENDED_EARLY,
                where=str(self.process.log),
                found=_full_disk(self.process.log),
                details=log.problems(self.process.log) or details,
                how=ended.describe(),
            )
        if time.monotonic() > self.deadline:
            raise ServerError.of(messages.NOT_READY, where=str(self.process.log), details=details, seconds=f"{self.timeout_s:.0f}")

    def _version(self) -> str | None:
        """The version of this server, if it responds.

        Another program may listen on the port, and may even respond with the server's name, which every local user can read.
        Therefore the ports must also belong to the server's process.

        Raises:
            ServerError: the server reports that it is not live.
        """
        status, body = self._request("GET", "/v2", _RESPONSE_S)
        if status != http.client.OK or self.name.encode() not in body:
            return None
        if self.listens_itself and not {self.http_port, self.grpc_port} <= _listening(self.process.pid):
            return None
        status, _ = self._request("GET", "/v2/health/live", _RESPONSE_S)
        if status not in (0, http.client.OK):
            problems = log.problems(self.process.log)
            found = log.plain(problems[-1]) if problems else None
            raise ServerError.of(messages.NOT_ALIVE, where=str(self.process.log), found=found, details=problems)
        if not status or not (self.metrics_port is None or self._accepts(self.metrics_port)):
            return None
        return str(json.loads(body)["version"])

    def _accepts(self, port: int) -> bool:
        try:
            socket.create_connection((ADDRESS, port), timeout=_RESPONSE_S).close()
        except OSError:
            return False
        return True

    def _request(self, method: str, path: str, timeout_s: float, *, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of one HTTP request; the status is 0 without a response."""
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=timeout_s)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


def _listening(pid: int) -> set[int]:
    """The TCP ports that a process of this user listens on (proc(5): `/proc/PID/net/tcp`, state 0A)."""
    sockets = set()
    with contextlib.suppress(OSError):  # the process has ended
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # the file was closed meanwhile
                sockets.add(str(path.readlink()))
    ports = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def require_loaded(starting: Starting, repository: Path, models: Sequence[str] | None) -> None:
    """Raise with the reason for every model that was not loaded.

    Args:
        models: the models that must be loaded (all).

    Raises:
        MissingError: only plans were refused, because there is no GPU.
        ServerError: a model was refused.
    """
    file = starting.process.log
    index = starting.index()
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    reasons = {entry["name"]: log.plain(entry.get("reason", "")) for entry in index if entry["name"] not in ready}
    reasons |= log.refusals(file)
    required = models if models is not None else sorted({*(entry["name"] for entry in index), *reasons})
    refused = {
        name: reasons.get(name) or _absent(repository / name, file) for name in required if name not in ready or name in reasons
    }
    if not refused:
        return
    if all(gpu_access.needs_gpu(reason) for reason in refused.values()):
        raise MissingError.of(messages.NO_GPU, found=next(iter(refused.values())), models=", ".join(map(repr, refused)))
    raise _not_loaded(refused)


def _not_loaded(refused: Mapping[str, str]) -> ServerError:
    """The error for refused models: reason, cause and fix of each, as far as its message is known."""
    first, *others = refused
    known = lookup.explain(refused[first])
    where = f"{first}, {known.where}" if known else first
    cause, fix = (known.cause, known.fix) if known else ("", "")
    if not others:
        next_step = fix or "correct the model or its config.pbtxt"
        return ServerError.of(
            messages.MODEL_NOT_LOADED, where=where, found=refused[first], model=repr(first), cause=cause, next_step=next_step
        )
    details = [line for name in others for line in _explained(name, refused[name])]
    next_step = f"{first}: {fix}" if fix else "correct the models or their config.pbtxt"
    return ServerError.of(
        messages.MODELS_NOT_LOADED,
        where=where,
        found=refused[first],
        details=details,
        count=len(refused),
        cause=cause,
        next_step=next_step,
    )


def _explained(name: str, reason: str) -> list[str]:
    """The lines about one of several refused models."""
    known = lookup.explain(reason)
    return [f"{name}: {reason}", *([f"  cause: {known.cause}", f"  next: {known.fix} ({known.where})"] if known else [])]


def _absent(directory: Path, file: Path) -> str:
    if not directory.is_dir():
        return f"there is no directory {directory.name} in the model repository"
    return _full_disk(file) or "no reason is given"


def _full_disk(file: Path) -> str | None:
    """A note that the log with the reasons may be truncated, if its disk is full."""
    try:
        space = os.statvfs(file.parent)
    except OSError:
        return None
    if space.f_bavail:
        return None
    return f"no space is left in {file.parent}, so the server's log is incomplete"
