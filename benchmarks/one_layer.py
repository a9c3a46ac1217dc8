"""What tritonize adds where the work is least: `run` of a TorchScript file with one layer, with the server installed.

Target: at most 1.25 times an interpreter that imports torch once, and the libraries' own time without imports. Both are
measured in turn; the table has the medians.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

TITLE = "## Time of a run of a one-layer TorchScript file\n"
ROUNDS = 7
_IMPORTS = re.compile(r"of which ([\d.]+) s were imports")


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 4)).eval()).save(folder / "one.pt")
        _run(folder, 0)  # the files are in memory after it
        rounds = [(_import(), *_run(folder, number)) for number in range(1, ROUNDS + 1)]
    imported, whole, library = (statistics.median(column) for column in zip(*rounds, strict=True))
    rows = [
        f"| an interpreter that imports torch | {imported:.2f} |",
        f"| the libraries' own time, without imports | {library:.2f} |",
        f"| **`tritonize run`** | **{whole:.2f}** |",
    ]
    ratio = f"Whole over the sum of the first two: **{whole / (imported + library):.2f}** (target: at most 1.25)."
    return "\n".join([TITLE, f"Medians of {ROUNDS} rounds.\n", "| | seconds |", "|---|---|", *rows, "", ratio, ""])


def _import() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - started


def _run(folder: Path, number: int) -> tuple[float, float]:
    """Seconds of a run, and of these the libraries' own without imports."""
    command = [str(Path(sys.executable).with_name("tritonize")), "--log", "info", "run", "one.pt", "--input", "INPUT__0:fp32:1x4"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--json", "--repository", f"models{number}"], cwd=folder, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - started
    stages = json.loads(done.stdout)["reports"][0]["stages"]
    imports = sum(map(float, _IMPORTS.findall(done.stderr)))
    return seconds, sum(stage["library_seconds"] for stage in stages) - imports


if __name__ == "__main__":
    print(measure())
