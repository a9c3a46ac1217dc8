"""Observe the outcome of conditions while a model's Python code runs, one instruction at a time. Runs in a worker process."""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any  # Any: the type of a trace function is recursive

from tritonize.export.worker.derived_values import Range


class Watch:
    """Reports the outcome of conditions while a model runs, by tracing bytecode instructions."""

    def __init__(self, conditions: Iterable[tuple[str, Range]], decided: Callable[[FrameType, Range, bool], None]) -> None:
        """Args: decided: called with the frame, the condition and whether it holds."""
        self._conditions: dict[str, list[Range]] = {}
        for file, place in conditions:
            self._conditions.setdefault(file, []).append(place)
        self._decided = decided
        self._jumps: dict[CodeType, dict[int, tuple[Range, int, bool]]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Observe conditions in this context; without any condition, no tracing is set up."""
        before = sys.gettrace()
        if self._conditions:
            sys.settrace(self._called)
        try:
            yield
        finally:
            if self._conditions:
                sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:  # noqa: ARG002 - Python's signature
        if frame.f_code.co_filename not in self._conditions or not self._of(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        jumps, last = self._of(frame.f_code), -1

        def step(frame: FrameType, event: str, argument: object) -> object:  # noqa: ARG001 - Python's signature
            nonlocal last
            if event == "opcode":
                if last in jumps:
                    place, behind, holds_behind = jumps[last]
                    self._decided(frame, place, holds_behind == (frame.f_lasti == behind))
                last = frame.f_lasti
            return step

        return step

    def _of(self, code: CodeType) -> dict[int, tuple[Range, int, bool]]:
        """Map the offsets of jumps at watched conditions to the condition, the next instruction, and whether it holds there."""
        if code not in self._jumps:
            instructions = list(dis.get_instructions(code))
            found = {}
            for before, one, behind in zip(instructions, instructions[1:], instructions[2:], strict=False):
                # The tested value was computed just before. The jump itself may carry the position of the whole statement.
                at = before.positions
                if "JUMP" not in one.opname or "_IF_" not in one.opname or at is None or at.lineno is None:
                    continue
                place = next((each for each in self._conditions[code.co_filename] if _inside(at, each)), None)
                if place:
                    found[one.offset] = place, behind.offset, "IF_FALSE" in one.opname
            self._jumps[code] = found
        return self._jumps[code]


def _inside(at: dis.Positions, place: Range) -> bool:
    start, end = (at.lineno or 0, at.col_offset or 0), (at.end_lineno or 0, at.end_col_offset or 0)
    return place[:2] <= start and end <= place[2:]
