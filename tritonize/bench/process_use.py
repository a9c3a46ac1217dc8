"""CPU time and memory of a process and all its descendants, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Used:
    """One reading."""

    cpu_s: float
    """CPU time so far, in seconds."""
    memory: int
    """Resident bytes; a page that several processes share counts once."""


def read(pid: int, root: Path = Path("/proc")) -> Used | None:
    """Read a process tree; `None` if the process has ended."""
    found = [pid]
    for each in found:
        found += _children(root / str(each))
    readings = [reading for each in found if (reading := _one(root / str(each))) is not None]
    if not readings:
        return None
    return Used(cpu_s=sum(each.cpu_s for each in readings), memory=sum(each.memory for each in readings))


def _children(process: Path) -> list[int]:
    """Child processes: each thread lists those that it started."""
    found: list[int] = []
    for tasks in process.glob("task/*/children"):
        try:
            found += map(int, tasks.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


def _one(process: Path) -> Used | None:
    try:
        # The name in parentheses may contain spaces; user and system time are fields 14 and 15.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        shares = [line for line in (process / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    except (OSError, IndexError):
        return None
    return Used(cpu_s=ticks / os.sysconf("SC_CLK_TCK"), memory=sum(int(line.split()[1]) * 1024 for line in shares))
