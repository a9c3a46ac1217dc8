"""Progress of a running command on stderr: one line per finished stage and, on a terminal, a line for the stage that runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tritonize.cli import terminal
from tritonize.cli.terminal import Style, say
from tritonize.core import progress, wrapping
from tritonize.core.progress import Progress
from tritonize.core.stages import action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonize.core.reports import Report, Stage
    from tritonize.core.results import Verdict
    from tritonize.core.stages import Label

_MARKS = {"passed": ("✓", Style.GOOD), "failed": ("✗", Style.BAD), "not run": ("–", Style.OPEN)}
_REFRESH_S = 0.25
"""Seconds between two looks at the stage that runs; on a terminal its line is written again if it has changed."""
_PLAIN_S = (10.0, 30.0, 60.0)
"""Where no line can be erased: seconds after which a stage that still runs gets a line, and then once per the last."""
_EVEN = ("sample", "draw")
"""What takes about the same time each, so that the rest can be estimated; batches and requests differ in size."""
_ESTIMATED_FROM_S = 2.0
"""No estimate before this time, since the first item contains what happens only once."""


class _Running:
    """The stage that runs: since when, and how far it is."""

    def __init__(self, title: str, now: float) -> None:
        self.title = title
        self._since = now
        self._step = ""
        self._counting: tuple[str, str, int] | None = None
        self._first = self._last = (0, now)
        self._plain_at = 0

    def report(self, each: Progress, now: float) -> None:
        counting = (each.text, each.unit, each.total)
        self._last = each.done, now
        if counting != self._counting:
            self._counting, self._first = counting, self._last
        self._step = str(each)

    def say(self, text: str) -> None:
        self._step, self._counting = text, None

    def seconds(self, now: float) -> float:
        return now - self._since

    def is_plain_line_due(self, now: float) -> bool:
        """Whether a line that stays is due; true once for each of `_PLAIN_S`."""
        last = len(_PLAIN_S) - 1
        due = _PLAIN_S[self._plain_at] if self._plain_at <= last else _PLAIN_S[last] * (self._plain_at - last + 1)
        if self.seconds(now) < due:
            return False
        self._plain_at += 1
        return True

    def line(self, now: float) -> str:
        """`Run PyTorch    12.3 s  sample 2 of 4, about 9 s left`, in the columns of a finished stage."""
        left = self._left(now)
        step = f"{self._step}, about {_duration(left)} left" if left else self._step
        return f" {self.title:<22}{self.seconds(now):>7.1f} s  {step}".rstrip()

    def _left(self, now: float) -> float | None:
        """An estimate of the seconds that are left; `None` without an honest one."""
        if self._counting is None or self._counting[1] not in _EVEN:
            return None
        (first, began), (done, reported) = self._first, self._last
        if done - first < 1 or reported - began < _ESTIMATED_FROM_S:
            return None
        left = (reported - began) / (done - first) * (self._counting[2] - done) - (now - reported)
        return left if left >= 1 else None


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


class Display:
    """Prints the stages and the progress of a run. Its methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = terminal.live()
        self._quiet = terminal.verbosity() == "quiet"
        self._clock = clock
        self._lock = threading.RLock()
        self._running: _Running | None = None
        self._shown = ""

    def on_stage(self, name: Label, stage: Stage | None) -> None:
        """Print a stage that begins (`stage` is `None`) or has ended."""
        if stage is not None:
            self._ended(action(name), stage.verdict, stage.seconds, note=stage.note)
            return
        self._begin(action(name))

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show a block as a stage."""
        self._begin(title)
        started = self._clock()
        yield
        self._ended(title, "passed", self._clock() - started, note="")

    def _begin(self, title: str) -> None:
        with self._lock:
            if self._running is None or self._running.title != title:  # else the next attempt of the same stage
                self._running = _Running(title, self._clock())
        self.refresh()

    def on_model(self, name: str, number: int, total: int) -> None:
        """Print the model of several that the next stages are of."""
        self.heading(f"Model {number} of {total}: {name}")

    def heading(self, text: str) -> None:
        """Print what the next stages are of."""
        self._line(text, Style.HEADING)

    def on_progress(self, text: str) -> None:
        """Take the current step of the running stage; without one, print the text."""
        with self._lock:
            if self._running is not None:
                self._running.say(text)
        if self._running is None:
            self._line(text)
        else:
            self.refresh()

    def on_count(self, each: Progress) -> None:
        """Take how far the running stage is."""
        with self._lock:
            if self._running is not None:
                self._running.report(each, self._clock())

    def refresh(self) -> None:
        """Write the line of the stage that runs again, or add one in a pipe, where it has run for long."""
        with self._lock:
            if self._running is None or self._quiet:
                return
            now = self._clock()
            if self._live:
                columns = terminal.columns(err=True) - 1
                line = wrapping.cut(f"…{self._running.line(now)}", columns)[:columns]  # a line that wraps cannot be erased
                if line != self._shown:
                    self._erase()
                    say(line, err=True, nl=False)
                    self._shown = line
            elif self._running.is_plain_line_due(now):
                say(wrapping.cut(f"…{self._running.line(now)}", terminal.width(err=True)), err=True)

    def clear(self) -> None:
        """Erase the line of the running stage; it gets no line of its own any more."""
        with self._lock:
            self._running = None
            self._erase()

    def stop(self, *, failed: bool) -> None:
        """Print the stage that an error or an interrupt ended."""
        with self._lock:
            running = self._running
        if running is not None:
            seconds = running.seconds(self._clock())
            self._ended(running.title, "failed" if failed else "not run", seconds, note="" if failed else "interrupted")
        self.clear()

    def _ended(self, title: str, verdict: Verdict, seconds: float, *, note: str) -> None:
        mark, style = _MARKS[verdict]
        line = wrapping.cut(f"{mark} {title:<22}{seconds:>7.1f} s  {note}".rstrip(), terminal.width(err=True))
        with self._lock:
            self.clear()
            if not self._quiet:
                say(mark, err=True, nl=False, style=style)
                say(line.removeprefix(mark), err=True)

    def _line(self, text: str, style: Style | None = None) -> None:
        with self._lock:
            self._erase()
            if not self._quiet and style is None:
                terminal.say_wrapped(text, err=True)
            elif not self._quiet:
                say(text, err=True, style=style)

    def _erase(self) -> None:
        if self._shown:
            terminal.erase_line()
            self._shown = ""


@contextmanager
def display() -> Iterator[Display]:
    """A display that gets all progress of the block; at the end it erases its current line, also after an error."""
    created, ended = Display(), threading.Event()

    def tick() -> None:
        while not ended.wait(_REFRESH_S):
            created.refresh()

    ticker = threading.Thread(target=tick, name="display", daemon=True)
    ticker.start()
    try:
        with progress.listening(created.on_count):
            yield created
    except BaseException as error:
        created.stop(failed=isinstance(error, Exception))
        raise
    finally:
        ended.set()
        ticker.join()
        created.clear()


def finish(reports: Sequence[Report], *, as_json: bool, allow_unproven: bool = False, only_proven: bool = False) -> None:
    """Print the reports on stdout and set the exit code.

    Args:
        as_json: print one JSON document.
        allow_unproven: exit with 0 although a required check could not run.
        only_proven: leave models without evidence out of the exit code, unless no other is left.

    Raises:
        typer.Exit: the worst exit code of the reports, if it is not 0 (`core/exit_codes.py`).
    """
    from tritonize.cli import endings
    from tritonize.core import exit_codes

    endings.print_reports(reports, as_json=as_json)
    judged = [each for each in reports if not only_proven or each.verdict != "not proven"] or reports
    code = exit_codes.worst(exit_codes.of(each, allow_unproven=allow_unproven) for each in judged)
    if code:
        raise typer.Exit(code)
