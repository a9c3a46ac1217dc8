"""Waiting until a server of ours answers, and asking it what it has loaded. The server's own answers decide, not its log.

A log can be cut short by a full disk, and a request can go unanswered on a busy machine; neither says anything of the server.
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
from tritonize.core.messages import server as wording
from tritonize.process import processes
from tritonize.triton.protocol import IndexEntry
from tritonize.triton.server import gpu_access, log

_POLL_INTERVAL_S = 0.02
_ANSWER_S = 5.0


class PortTakenError(Exception):
    """Another program took one of the server's ports before it could."""


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A server that was started and may not answer yet."""

    process: processes.Process
    address: str
    http_port: int
    grpc_port: int
    metrics_port: int | None
    """No metrics where it is `None`."""
    name: str
    """What it calls itself."""
    headers: Mapping[str, str]
    """What lets us ask for its index, over HTTP: secret, so they are sent to a port that is known to be the server's own."""
    until: float
    """When it must be ready, on the monotonic clock."""
    timeout_s: float
    """The same, from its start."""

    def wait(self) -> str:
        """Until the server answers under its name, which it does after it has tried to load every model.

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
        """Name, version, state and reason of everything in its repository.

        Raises:
            ServerError: it ended, refuses to answer, or takes too long.
        """
        while True:
            status, body = self._ask(
                "POST", "/v2/repository/index", max(_ANSWER_S, self.until - time.monotonic()), headers=self.headers
            )
            if status == http.client.OK:
                found: list[IndexEntry] = json.loads(body)
                return found
            if status:
                found_text = f"{status}: {body[:200].decode(errors='replace')}"
                raise ServerError.of(wording.NO_INDEX, where=str(self.process.log), found=found_text)
            self._require_time()
            time.sleep(_POLL_INTERVAL_S)

    def _require_time(self) -> None:
        if log.port_was_taken(self.process.log):
            raise PortTakenError
        details = processes.log_tail(self.process.log)
        if (ended := self.process.poll()) is not None:
            raise ServerError.of(
                wording.ENDED_EARLY,
                where=str(self.process.log),
                found=_full_disk(self.process.log),
                details=log.problems(self.process.log) or details,
                how=ended.describe(),
            )
        if time.monotonic() > self.until:
            raise ServerError.of(wording.NOT_READY, where=str(self.process.log), details=details, seconds=f"{self.timeout_s:.0f}")

    def _version(self) -> str | None:
        """The version of this server, if it answers.

        Another program may listen on its port until it gives up, and may even answer under its name, which everybody can read.

        Raises:
            ServerError: it answers that it is not alive.
        """
        status, body = self._ask("GET", "/v2", _ANSWER_S)
        if status != http.client.OK or self.name.encode() not in body:
            return None
        if not {self.http_port, self.grpc_port} <= _listening(self.process.pid):
            return None
        status, _ = self._ask("GET", "/v2/health/live", _ANSWER_S)
        if status not in (0, http.client.OK):
            problems = log.problems(self.process.log)
            found = log.plain(problems[-1]) if problems else None
            raise ServerError.of(wording.NOT_ALIVE, where=str(self.process.log), found=found, details=problems)
        if not status or not (self.metrics_port is None or self._accepts(self.metrics_port)):
            return None
        return str(json.loads(body)["version"])

    def _accepts(self, port: int) -> bool:
        try:
            socket.create_connection((self.address, port), timeout=_ANSWER_S).close()
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str, timeout_s: float, *, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of one plain request; the status is 0 where nobody answers."""
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=timeout_s)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


def _listening(pid: int) -> set[int]:
    """The TCP ports that a process of ours listens on (proc(5): `/proc/PID/net/tcp`, state 0A)."""
    sockets = set()
    with contextlib.suppress(OSError):  # it has ended
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # one that was closed meanwhile
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
    """Raise with the reason of every model that was not loaded; of the named ones, of all by default.

    Raises:
        MissingError: plans alone were refused, for want of a GPU.
        ServerError: a model was refused.
    """
    file = starting.process.log
    index = starting.index()
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    reasons = {entry["name"]: log.plain(entry.get("reason", "")) for entry in index if entry["name"] not in ready}
    reasons |= log.refusals(file)
    wanted = models if models is not None else sorted({*(entry["name"] for entry in index), *reasons})
    refused = {
        name: reasons.get(name) or _absent(repository / name, file) for name in wanted if name not in ready or name in reasons
    }
    if not refused:
        return
    first, *others = refused
    if all(gpu_access.needs_gpu(reason) for reason in refused.values()):
        raise MissingError.of(wording.NO_GPU, found=refused[first], models=", ".join(map(repr, refused)))
    message = wording.MODELS_REFUSED if others else wording.MODEL_REFUSED
    details = [f"{name}: {refused[name]}" for name in others]
    raise ServerError.of(message, where=first, found=refused[first], details=details, model=repr(first), count=len(refused))


def _absent(directory: Path, file: Path) -> str:
    if not directory.is_dir():
        return f"there is no directory {directory.name} in the model repository"
    return _full_disk(file) or "no reason is given"


def _full_disk(file: Path) -> str | None:
    """That the log, where reasons stand, may be cut short; nothing where there was room for it."""
    try:
        room = os.statvfs(file.parent)
    except OSError:
        return None
    if room.f_bavail:
        return None
    return f"no space is left in {file.parent}, so the server's log is incomplete"
