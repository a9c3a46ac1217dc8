"""Send one load: clients in threads, a warm-up, then windows until the last three agree."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tritonize.bench import windows
from tritonize.bench.kept import BUDGET, Judge, Judged, Kept
from tritonize.bench.pace import Arrivals as Arrivals
from tritonize.bench.pace import Clock, ClosedLoop, OpenLoop, Pace, RealClock
from tritonize.bench.windows import Timed
from tritonize.core import progress
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.load_results import Kind, Window

T = TypeVar("T")

OPEN_CLIENTS = 32
"""Connections of an open loop. When all are busy, a request waits for one, and the waiting is part of its latency."""
LATE_S = 0.005
"""A request of an open loop that is sent so much after its time is late."""
MOST_ERRORS = 20
"""Errors of one client after which it sends no more."""
_LEAD_S = 0.05
"""Time from the start of the clients to the first request of an open loop."""

Connect = Callable[[], contextlib.AbstractContextManager[Callable[[int], Arrays]]]
"""Opens a connection; what it gives sends the request of a number and returns the response."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long a load runs, in seconds."""

    warm_up_s: float = 1.0
    window_s: float = 2.0
    most_windows: int = 10


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What load is sent."""

    kind: Kind
    level: float
    arrivals: Arrivals = "poisson"

    @property
    def steady(self) -> bool:
        """Whether every window should have the same number of requests: those of a Poisson process vary by themselves."""
        return self.kind == "concurrency" or self.arrivals == "constant"

    @property
    def clients(self) -> int:
        """Connections, each with a thread."""
        return int(self.level) if self.kind == "concurrency" else OPEN_CLIENTS


@dataclass(frozen=True, kw_only=True)
class Measured(Generic[T]):
    """What a load measured."""

    requests: tuple[Timed, ...]
    """Those that ended in `windows`."""
    windows: tuple[Window, ...]
    """The last ones, at most `windows.STABLE`."""
    stable: bool
    observed: tuple[T, ...]
    """What `observe` returned at the start and at the end of each of `windows`."""
    sent: int
    late: float
    judged: Judged
    errors: tuple[InferenceError | ServerError, ...]


@dataclass(kw_only=True)
class Client:
    """One client of a load."""

    kept: Kept
    timed: list[Timed] = field(default_factory=list)
    errors: list[InferenceError | ServerError] = field(default_factory=list)

    def run(self, send: Callable[[int], Arrays], clock: Clock, pace: Pace, *, numbers: range, first: int) -> None:
        """Send requests until the load ends, in turn, from request number `first` on."""
        turn = first
        while len(self.errors) < MOST_ERRORS:
            due = pace.due()
            if clock.wait(due - clock.now()):
                return
            number = numbers[turn % len(numbers)]
            turn += 1
            sent = clock.now()
            try:
                found = send(number)
            except (InferenceError, ServerError) as error:
                self.errors.append(error)
                continue
            # An open loop's request is due before it is sent; a closed loop's is due when it is sent.
            self.timed.append(Timed(due=min(due, sent), sent=sent, done=clock.now()))
            self.kept.add(number, found)


def run(
    shape: Shape,
    durations: Durations,
    connect: Connect,
    *,
    requests: int,
    judge: Judge,
    observe: Callable[[], T],
) -> Measured[T]:
    """Send a load and measure it.

    Args:
        requests: how many different requests there are; they are sent in turn.
        judge: compares the responses, after the load.
        observe: read at the border of windows, such as the server's statistics.
    """
    clock = RealClock()
    clients = [Client(kept=Kept(judge, budget=BUDGET // shape.clients)) for _ in range(shape.clients)]
    pace: Pace = ClosedLoop(clock)
    if shape.kind == "rate":
        pace = OpenLoop(shape.level, start=clock.now() + _LEAD_S, arrivals=shape.arrivals)

    def work(place: int) -> None:
        with connect() as send:
            clients[place].run(send, clock, pace, numbers=range(requests), first=place * 7)

    threads = [threading.Thread(target=work, args=(place,), name=f"client {place}", daemon=True) for place in range(shape.clients)]
    for thread in threads:
        thread.start()
    try:
        edges, observed = _watch(clock, clients, durations, observe=observe, steady=shape.steady)
    finally:
        clock.end()
        for thread in threads:
            thread.join()
    return _measured(shape, clients, edges, observed=observed)


def _watch(
    clock: Clock, clients: Sequence[Client], durations: Durations, *, observe: Callable[[], T], steady: bool
) -> tuple[list[float], list[T]]:
    """Wait for the windows; return their borders and what was observed there."""
    progress.report(text="warm-up")
    clock.wait(durations.warm_up_s)
    edges, observed = [clock.now()], [observe()]
    for number in range(durations.most_windows):
        progress.report(done=number, unit="window")  # how many there will be is not known
        clock.wait(durations.window_s)
        edges.append(clock.now())
        observed.append(observe())
        if len(edges) > windows.STABLE and windows.stable(_windows(_timed(clients), edges), rate=steady):
            break
        if all(len(each.errors) >= MOST_ERRORS for each in clients):
            break
    return edges, observed


def _timed(clients: Sequence[Client]) -> list[Timed]:
    return [each for client in clients for each in client.timed[:]]


def _windows(timed: Sequence[Timed], edges: Sequence[float]) -> list[Window]:
    last = edges[-windows.STABLE - 1 :]
    return [windows.window(timed, start, end) for start, end in itertools.pairwise(last)]


def _measured(shape: Shape, clients: Sequence[Client], edges: Sequence[float], *, observed: Sequence[T]) -> Measured[T]:
    timed, last = _timed(clients), edges[-windows.STABLE - 1 :]
    own, found = windows.within(timed, last[0], last[-1]), _windows(timed, edges)
    judged = Judged()
    for client in clients:
        one = client.kept.compare()
        judged.different += one.different
        judged.wrong += one.wrong
        judged.during += one.during
    late = sum(each.sent - each.due > LATE_S for each in own) / len(own) if own and shape.kind == "rate" else 0.0
    errors = tuple(error for client in clients for error in client.errors)
    return Measured(
        requests=tuple(own),
        windows=tuple(found),
        stable=windows.stable(found, rate=shape.steady) and not errors,
        observed=tuple(observed[-len(last) :]),
        sent=len(timed) + len(errors),
        late=late,
        judged=judged,
        errors=errors,
    )
