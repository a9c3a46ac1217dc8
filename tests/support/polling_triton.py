"""A real Triton as a deployment starts it: it polls a repository in an object store, or loads models by requests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.triton.server import environment


@dataclass(frozen=True, kw_only=True)
class Polling:
    """A running server."""

    http: str
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def polling(repository: str, folder: Path, *, env: Mapping[str, str], poll_s: int = 1) -> Iterator[Polling]:
    """Serve `s3://http://127.0.0.1:PORT/bucket/models` and look for changes every `poll_s` seconds."""
    options = [f"--model-repository={repository}", "--model-control-mode=poll", f"--repository-poll-secs={poll_s}"]
    with _started(options, folder, env=env) as (http, _):
        yield Polling(http=f"http://{http}", log=folder / "triton.log")


@contextlib.contextmanager
def explicit(repository: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve an empty repository as a user does who loads models by requests; addresses over HTTP and gRPC."""
    options = [f"--model-repository={repository}", "--model-control-mode=explicit"]
    with _started(options, folder, env={}, python=True) as addresses:
        yield addresses


@contextlib.contextmanager
def _started(options: list[str], folder: Path, *, env: Mapping[str, str], python: bool = False) -> Iterator[tuple[str, str]]:
    installed = environment.ready(python=python)
    http, grpc = _free_port(), _free_port()
    log = folder / "triton.log"
    command = [
        str(installed.server),
        *options,
        f"--backend-directory={installed.backends}",
        *installed.native.options(),
        "--exit-on-error=false",
        "--strict-readiness=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=2",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
    ]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env={**installed.variables(), **env}, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/live", timeout=1).close()
                break
            assert server.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
            time.sleep(0.05)
        yield f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
    finally:
        server.kill()
        server.wait()
