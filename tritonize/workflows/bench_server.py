"""The server of a benchmark: start the embedded one on checked files, and read what it says and uses while load is sent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tritonize.bench import process_use
from tritonize.bench.process_use import Used
from tritonize.core import arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import RepositoryError
from tritonize.core.load_results import ServerTimes, Usage
from tritonize.core.messages import steps as step_wording
from tritonize.core.reports import Stage
from tritonize.core.server_choice import Start
from tritonize.core.stages import StageName
from tritonize.triton import inference, server_times, serving
from tritonize.triton.protocol import ModelStatistics
from tritonize.triton.server.embedded import Running
from tritonize.triton.target import Target
from tritonize.workflows import checked_copy, target_only

if TYPE_CHECKING:
    from tritonize.workflows.bench import Request, Subject


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the server said and used at one moment."""

    at: float
    statistics: ModelStatistics | None
    used: Used | None


class Observer:
    """Reads statistics over a connection of its own, and CPU and memory of an embedded server."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection = target.connect(target.any_transport)
        server = target.server
        self._pid = server.process.pid if isinstance(server, Running) and server.way != "docker" else None
        self.readable = True
        """Whether the server allowed reading its statistics, so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def read(self) -> Observed:
        """One reading."""
        statistics = None
        if self.readable:
            statistics = server_times.read(self._connection, self._target.model, self._target.version)
            self.readable = statistics is not None
        used = process_use.read(self._pid) if self._pid is not None else None
        return Observed(at=time.perf_counter(), statistics=statistics, used=used)


def times(first: Observed, last: Observed) -> ServerTimes | None:
    """The server's own times between two readings."""
    if first.statistics is None or last.statistics is None:
        return None
    return server_times.between(first.statistics, last.statistics)


def usage(observed: Sequence[Observed]) -> Usage | None:
    """CPU and memory over some readings; `None` without two."""
    read = [(each.at, each.used) for each in observed if each.used is not None]
    if len(read) < 2:
        return None
    (start, before), (end, after) = read[0], read[-1]
    return Usage(cores=(after.cpu_s - before.cpu_s) / (end - start), memory=max(used.memory for _, used in read))


@contextlib.contextmanager
def embedded(request: Request, subject: Subject, folder: Path) -> Iterator[ServerHandle]:
    """Start the embedded server on the version's checked files.

    Raises:
        MissingError, ServerError: it does not start, or refuses the model.
        RepositoryError: the version of a step of an ensemble changed.
    """
    checked = subject.checked
    if checked is None:
        raise ValueError("a golden file has no model to serve")
    changed = checked_copy.add_steps(
        request.repository or Path("model_repository"), checked.manifest, checked.root, folder=folder / "steps"
    )
    if changed:
        where = ", ".join(each.where for each in changed)
        raise RepositoryError.of(step_wording.STEP_DAMAGED, where=subject.model, step=where)
    probe = inference.as_served(arrays.load(subject.golden.samples.files, 0), subject.config, "input")
    request.on_stage(StageName.SERVER_START, None)
    started = time.perf_counter()
    with serving.serve(
        checked.root,
        models=[subject.model],
        probes={subject.model: probe},
        directory=folder / "server",
        complete="completed" in checked.manifest,
        start=Start(way=request.way, release=target_only.release_of(checked.manifest)),
        on_progress=request.on_progress,
    ) as server:
        seconds = time.perf_counter() - started
        request.on_stage(
            StageName.SERVER_START,
            Stage(name=StageName.SERVER_START, verdict="passed", seconds=seconds, note=serving.summary(server)),
        )
        yield server
