"""Peak memory of the process tree on a 500 MB model, by stage, above that of a tiny one. Target: at most 3 times its size."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.tree import Watched, watch

TITLE = "## Memory of the main job, 500 MB TorchScript model\n"
WIDTH, LAYERS = 4096, 8


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        size = _save(place / "large.pt", WIDTH, LAYERS)
        _save(place / "tiny.pt", 4, 1)
        floor, large = _run(place, "tiny", 4), _run(place, "large", WIDTH)
    if floor.returncode or large.returncode:
        return f"{TITLE}\nfailed: {floor.stdout}\n{large.stdout}"
    rows = []
    for stage, peak in _stages(large):
        above = peak - floor.peaks.get(stage, 0)
        rows.append(f"| {stage} | {floor.peaks.get(stage, 0) / 2**20:,.0f} | {peak / 2**20:,.0f} | {above / size:.2f} |")
    worst = max(peak - floor.peaks.get(stage, 0) for stage, peak in _stages(large)) / size
    head = ["| stage | floor MiB | peak MiB | above the floor, in sizes of the model |", "|---|---|---|---|"]
    text = f"Model file: {size / 2**20:.0f} MiB. Largest: **{worst:.2f}** times its size (target: at most 3)."
    return "\n".join([TITLE, *head, *rows, "", text, ""])


def _stages(watched: Watched) -> list[tuple[str, int]]:
    return [(stage, peak) for stage, peak in watched.peaks.items() if stage != "all"]


def _save(path: Path, width: int, layers: int) -> int:
    torch.manual_seed(0)
    module = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(layers)]).eval()
    torch.jit.script(module).save(str(path))
    return path.stat().st_size


def _run(place: Path, name: str, width: int) -> Watched:
    command = [str(Path(sys.executable).with_name("tritonize")), "run", f"{name}.pt", "--input", f"INPUT__0:fp32:1x{width}"]
    return watch(command, cwd=place)
