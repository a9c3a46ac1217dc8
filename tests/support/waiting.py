"""Waiting for what other processes do, and finding them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.command import CHECKOUT


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not condition():
        time.sleep(0.02)
    return condition()


def processes_of(mark: str) -> list[tuple[int, str]]:
    """Process id and command line of everything that runs with a word in its command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark in command and state not in "ZX" and int(entry.name) != os.getpid():
            found.append((int(entry.name), command))
    return found


def descendants(pid: int) -> list[int]:
    """The process ids of everything below a process."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found[1:]


def killed(code: str, *arguments: str, after: str = "ready") -> None:
    """Run Python code until it prints a word, and kill it there."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{code}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == after
        process.send_signal(signal.SIGKILL)
