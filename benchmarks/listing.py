"""Time and memory of `tritonize list` for repositories of 1,000 and 10,000 models; both have to be linear."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support import plain_versions

TITLE = "## List of a repository\n"
SIZES = (1_000, 10_000)
ROUNDS = 3
LINEAR = 1.3
_CHILD = """
import atexit, re, sys, time
from pathlib import Path
from tritonize.cli import main
peak = lambda: re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: print(time.process_time(), peak(), file=sys.stderr))
main()
"""


@dataclass(frozen=True, order=True)
class _Listed:
    """One run of the command."""

    seconds: float
    cpu_s: float
    """Processor seconds, which other work on the machine does not lengthen."""
    peak: int
    """Largest memory of the process, in bytes."""


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write(folder / "first", 1)
        start = min(_listed(folder / "first", 1) for _ in range(ROUNDS))
        measured = {}
        for size in SIZES:
            write(folder / str(size), size)
            measured[size] = min(_listed(folder / str(size), size) for _ in range(ROUNDS))
    few, many = (measured[size] for size in SIZES)
    growth = (many.cpu_s - start.cpu_s) / (few.cpu_s - start.cpu_s) / (SIZES[1] / SIZES[0])
    per_model = (many.peak - few.peak) / (SIZES[1] - SIZES[0])
    rows = [
        f"| 1 model | {start.seconds:.2f} s | |",
        f"| {SIZES[0]:,} models | **{few.seconds:.2f} s** | |",
        f"| {SIZES[1]:,} models | **{many.seconds:.2f} s** | |",
        f"| processor time per model above the start, {SIZES[1]:,} to {SIZES[0]:,} | **{growth:.2f}** | linear: at most {LINEAR} |",
        f"| most memory, {SIZES[0]:,} and {SIZES[1]:,} models | **{few.peak / 2**20:.0f} and {many.peak / 2**20:.0f} MiB** | |",
        f"| memory per model | {per_model / 1024:.1f} KiB | |",
    ]
    note = f"The whole command with `--json`, best of {ROUNDS}; every model has one version with evidence.\n"
    return "\n".join([TITLE, note, "| measure | measured | target |", "|---|---|---|", *rows, ""])


def write(root: Path, count: int) -> None:
    """A repository of that many models, each a copy of one that was published."""
    plain_versions.publish(root, "model", name="m")
    files = {path.relative_to(root / "m"): path.read_text() for path in (root / "m").rglob("*") if path.is_file()}
    for number in range(1, count):
        for path, text in files.items():
            target = root / f"m{number:05}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace('"m"', f'"m{number:05}"'))


def _listed(root: Path, count: int) -> _Listed:
    """Time and memory of one list in a process of its own."""
    command = [sys.executable, "-c", _CHILD, "list", "--json", str(root)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    found = json.loads(done.stdout)["models"]
    assert len(found) == count
    assert all(each["versions"][0]["verdict"] == "passed" for each in found)
    cpu_s, peak = done.stderr.split()[-2:]
    return _Listed(seconds, float(cpu_s), int(peak) * 1024)
