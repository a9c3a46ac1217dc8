"""`tritonize verify --watch`: verify a deployment again and again. An error is the verdict of a round, not the end of the watch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tritonize.core import arrays, deadline, exit_codes
from tritonize.core.conclusion import conclude
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.core.reports import Report
from tritonize.core.results import PASSED
from tritonize.core.stages import TRANSPORTS, over
from tritonize.core.watch_rounds import Round, Row
from tritonize.triton import replicas as grouping
from tritonize.triton.replicas import Replica


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to verify, and how often."""

    ask: Callable[[Replica, Callable[[], None]], Sequence[Report]]
    """Verifies one replica, and calls its second argument for every inference request."""
    urls: Sequence[str]
    connection: ConnectionOptions
    models: Sequence[str]
    """The models that it verifies, for the rows of a replica that cannot be asked."""
    every_s: float
    """Seconds between the starts of two rounds. A round that takes longer is followed by the next one at once."""
    only_proven: bool = False
    limit: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """Limits the time of one round, and raises ServerError after it."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(kw_only=True)
class _Count:
    requests: int = 0

    def add(self) -> None:
        self.requests += 1


@dataclass(kw_only=True)
class _Asked:
    """The rows of one round so far."""

    rows: list[Row] = field(default_factory=list)
    replicas: set[str] = field(default_factory=set)

    def add(self, replica: str, rows: Iterator[Row]) -> None:
        self.rows += rows
        self.replicas.add(replica)


def rounds(request: Request) -> Iterator[Round]:
    """Verify all replicas once per round, without end. Names are resolved in every round, since replicas come and go.

    Raises:
        UsageError, RepositoryError, MissingError: the first round shows that nothing can be verified this way.
    """
    number = 0
    while True:
        number += 1
        started, began, count = request.clock(), datetime.now(UTC), _Count()
        rows = _asked(request, count, first=number == 1)
        arrays.release()
        yield Round(
            number=number,
            began=began,
            seconds=request.clock() - started,
            requests=count.requests,
            rows=rows,
            only_proven=request.only_proven,
        )
        request.sleep(max(0.0, started + request.every_s - request.clock()))


def _asked(request: Request, count: _Count, *, first: bool) -> tuple[Row, ...]:
    asked, found = _Asked(), grouping.replicas(request.urls, request.connection)
    try:
        with request.limit():
            for replica in found:
                try:
                    reports = request.ask(replica, count.add)
                    asked.add(replica.name, (row_of(each, replica.name) for each in reports))
                except TritonizeError as error:
                    if deadline.left() <= 0 or (first and not isinstance(error, ServerError | InferenceError)):
                        raise
                    asked.add(replica.name, _errors(request, replica, error))
    except ServerError as error:  # the time of the round is over
        for replica in found:
            if replica.name not in asked.replicas:
                asked.add(replica.name, _errors(request, replica, error))
    return tuple(asked.rows)


def _errors(request: Request, replica: Replica, error: TritonizeError) -> Iterator[Row]:
    for model in request.models:
        yield Row(
            model=model, version=None, replica=replica.name, verdict="error", exit_code=error.exit_code, why=_in_a_line(error)
        )


def _in_a_line(error: TritonizeError) -> str:
    return f"{error.what} ({error.found})" if error.found else error.what


def row_of(report: Report, replica: str) -> Row:
    """What a round keeps of a report: numbers, in place of every comparison."""
    passed = report.verdict in PASSED
    ratios: dict[str, float] = {}
    for gate in report.gates:
        if gate.gate == "noise floor" and gate.value is not None:
            ratios[gate.output] = max(gate.value, ratios.get(gate.output, 0.0))
    errors: dict[str, float] = {}
    for tensor in (tensor for check in report.checks for tensor in check.tensors):
        if tensor.max_abs is not None:
            errors[tensor.name] = max(tensor.max_abs, errors.get(tensor.name, 0.0))
    latencies = {
        transport: tuple(check.seconds for check in report.checks if check.stage is over(transport)) for transport in TRANSPORTS
    }
    return Row(
        model=report.model,
        version=report.version,
        replica=replica,
        verdict="error" if "error" in report.details else report.verdict,
        exit_code=exit_codes.of(report),
        why="" if passed else conclude(report).sentence,
        responses=len(report.checks),
        ratios=ratios,
        errors=errors,
        latencies_s={transport: values for transport, values in latencies.items() if values},
    )
