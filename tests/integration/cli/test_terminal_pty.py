"""The command line on a real terminal: a pseudo-terminal with a width, what is erased, and Ctrl-C."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ERASE = "\r\x1b[K"
SLOW_STAGE = """
import time
from tritonize.cli.display import display
from tritonize.core import progress
from tritonize.core.reports import Stage
from tritonize.core.stages import StageName
with display() as shown:
    shown.on_stage(StageName.PYTORCH_FP64, None)
    for _ in progress.counted(range(2), "sample"):
        time.sleep(SECONDS)
    shown.on_stage(StageName.PYTORCH_FP64, Stage(name=StageName.PYTORCH_FP64, verdict="passed", seconds=2.4, note="word " * 60))
"""


class Screen(NamedTuple):
    text: str
    writes: list[float]
    """When something was written, in seconds since the start."""
    code: int

    @property
    def lines(self) -> list[str]:
        """What is left on the screen."""
        return [line.split(ERASE)[-1] for line in self.text.replace("\r\n", "\n").split("\n") if line.split(ERASE)[-1]]


def on_terminal(*words: str, columns: int, interrupt_after: str | None = None, **variables: str) -> Screen:
    """Run Python in a pseudo-terminal; press Ctrl-C after a text has appeared."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    child, screen = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, *words], {**kept, "TERM": "xterm", **variables})
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    started, data, writes = time.monotonic(), b"", []
    try:
        while time.monotonic() - started < 60:
            if not select.select([screen], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(screen, 65536)
            except OSError:  # the other end is closed
                break
            data += read
            writes.append(time.monotonic() - started)
            if interrupt_after and interrupt_after.encode() in data:
                os.write(screen, b"\x03")
                interrupt_after = None
    finally:
        os.close(screen)
        if time.monotonic() - started >= 60:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return Screen(data.decode(), writes, os.waitstatus_to_exitcode(status))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_long_stage_moves_every_second_and_leaves_one_line(columns: int) -> None:
    screen = on_terminal("-c", SLOW_STAGE.replace("SECONDS", "1.2"), columns=columns)
    assert screen.code == 0
    assert "sample 1 of 2" in screen.text
    assert "sample 2 of 2" in screen.text
    gaps = [after - before for before, after in itertools.pairwise(screen.writes)]
    assert max(gaps) < 2  # one second, and the machine may be busy
    (line,) = screen.lines
    plain = line.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert plain.startswith("✓ PyTorch in float64        2.4 s  word word")
    assert plain.endswith("word …")
    assert columns - 10 < len(plain) <= columns
    assert "\x1b[32m" in line


def test_ctrl_c_leaves_a_clean_line() -> None:
    screen = on_terminal("-c", SLOW_STAGE.replace("SECONDS", "30"), columns=80, interrupt_after="1.0 s")
    assert "interrupted" in screen.lines[0]
    assert screen.lines[0].replace("\x1b[33m", "").replace("\x1b[1m", "").startswith("–")
    assert screen.lines[1] == "Traceback (most recent call last):"  # of this script, which is not the command line


@pytest.mark.parametrize(("variables", "colours", "erases"), [({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)])
def test_what_the_variables_switch_off(variables: dict[str, str], colours: bool, erases: bool) -> None:
    screen = on_terminal("-c", SLOW_STAGE.replace("SECONDS", "0.3"), columns=80, **variables)
    assert ("\x1b[32m" in screen.text, ERASE in screen.text) == (colours, erases)


def test_the_problems_of_a_spec_follow_the_width(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("schema: 1\nmodels: {net: {source: net.pt, samples: {count: 1, seed: a text that is no number at all}}}\n")
    words = ("-c", "from tritonize.cli import main; main()", "run", str(spec))
    narrow, wide = (on_terminal(*words, columns=columns) for columns in (80, 120))
    assert narrow.code == wide.code == 2
    assert narrow.lines[0].startswith("\x1b[31m")
    assert max(len(line) for line in narrow.lines if str(spec) not in line) <= 80
    assert 80 < max(len(line) for line in wide.lines if str(spec) not in line) <= 120
    assert any(line.startswith("  |     ") for line in narrow.lines)
