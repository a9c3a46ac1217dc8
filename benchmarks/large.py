"""Memory of every process of the main job on a model over 2 GB, above that of a tiny one. Target: at most 2.5 times its size."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.tree import INTERVAL_S, descendants, proportional
from tritonize.process import preload_main

TITLE = "## Memory of each process of the main job, 3 GB TorchScript model\n"
WIDTH, LAYERS, PORTS = 8192, 12, 64
TARGET = 2.5


class Network(torch.nn.Module):
    """Wide in the middle and narrow at both ends, so that the samples stay small."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(PORTS, width)
        self.middle = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(layers)])
        self.last = torch.nn.Linear(width, PORTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.middle(self.first(x))))


@dataclass
class _Run:
    """One run of the command."""

    returncode: int = 0
    output: str = ""
    peaks: dict[str, int] = field(default_factory=dict)
    """Process, by what it does, to its largest memory in bytes."""


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        size = _save(place / "large.pt", WIDTH, LAYERS)
        _save(place / "tiny.pt", 4, 1)
        floor, large = _run(place, "tiny"), _run(place, "large")
    if floor.returncode or large.returncode:
        return f"{TITLE}\nfailed: {floor.output}\n{large.output}"
    rows, worst = [], 0.0
    for process, peak in large.peaks.items():
        above = (peak - floor.peaks.get(process, 0)) / size
        worst = max(worst, above)
        rows.append(f"| {process} | {floor.peaks.get(process, 0) / 2**20:,.0f} | {peak / 2**20:,.0f} | {above:.2f} |")
    head = ["| process | floor MiB | peak MiB | above the floor, in sizes of the model |", "|---|---|---|---|"]
    text = f"Model file: {size / 2**20:,.0f} MiB. Largest process: **{worst:.2f}** times its size (target: at most {TARGET})."
    return "\n".join([TITLE, *head, *rows, "", text, ""])


def _save(path: Path, width: int, layers: int) -> int:
    torch.manual_seed(0)
    module = Network(width, layers).eval()
    torch.jit.trace(module, torch.randn(2, PORTS)).save(str(path))  # type: ignore[no-untyped-call]
    return path.stat().st_size


def _run(place: Path, name: str) -> _Run:
    command = [str(Path(sys.executable).with_name("tritonize")), "run", f"{name}.pt", "--input", f"INPUT__0:fp32:1x{PORTS}"]
    found = _Run()
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:

        def sample() -> None:
            while process.poll() is None:
                for each in descendants(process.pid):
                    if (what := _what(each)) is not None:
                        found.peaks[what] = max(found.peaks.get(what, 0), proportional(each))
                time.sleep(INTERVAL_S)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        found.output, _ = process.communicate()
        sampler.join()
    found.returncode = process.returncode
    return found


def _what(pid: int) -> str | None:
    """What a process of the job does, from its command line and its name; `None` where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None
    for position, word in enumerate(words):
        if word.endswith("process/worker_main.py"):
            return f"worker {words[position + 1].rpartition(':')[2]}"
        if word.endswith("process/preload_main.py"):  # or a process that it forked, which names itself
            own = {preload_main.GUARD: "guard", preload_main.PRELOADED: "preloaded process"}
            return own.get(name, f"worker {name}")
    known = {"tritonserver": "Triton", "triton_python_backend_stub": "model instance in Triton"}
    return known.get(Path(words[0]).name, "guard" if any(word.endswith("guard.py") for word in words) else "tritonize")
