"""Run a command and watch the memory of its whole process tree, stage by stage, from outside."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL_S = 0.02


@dataclass
class Watched:
    """What was seen of one command."""

    returncode: int
    seconds: float
    stdout: str
    peaks: dict[str, int] = field(default_factory=dict)
    """Stage, as the command's progress names it when it ends, to the tree's largest memory in bytes; `all` for the whole run."""


def descendants(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def memory(pid: int) -> int:
    """Proportional resident bytes of a tree: a page that several processes share counts once."""
    return sum(proportional(each) for each in descendants(pid))


def proportional(pid: int) -> int:
    """Proportional resident bytes of one process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def watch(command: list[str], *, cwd: Path) -> Watched:
    """Run to the end; a line of progress on stderr ends a stage."""
    started = time.perf_counter()
    output = (cwd / "stdout").open("w+")
    with output, subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.PIPE, text=True) as process:
        peak, whole = [0], [0]

        def sample() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], memory(process.pid))
                whole[0] = max(whole[0], peak[0])
                time.sleep(INTERVAL_S)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        peaks: dict[str, int] = {}
        assert process.stderr is not None
        for line in process.stderr:
            if line[:1] in "✓✗":
                peaks[line[2:24].strip()] = peak[0]
                peak[0] = 0
        process.wait()
        sampler.join()
        output.seek(0)
        return Watched(process.returncode, time.perf_counter() - started, output.read(), {**peaks, "all": whole[0]})
