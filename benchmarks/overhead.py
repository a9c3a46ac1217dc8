"""What tritonize adds to the libraries' own time on the heart example. Target: whole wall time at most 1.15 times theirs."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.tree import watch

ROOT = Path(__file__).resolve().parents[1]
TITLE = "## Time of the main job, heart example\n"


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [str(Path(sys.executable).with_name("tritonize")), "run", str(ROOT / "examples/heart/heart.yaml"), "--json"]
        done = watch([*command, "--repository", f"{folder}/models"], cwd=Path(folder))
    if done.returncode:
        return f"{TITLE}\nfailed with exit code {done.returncode}\n{done.stdout}"
    stages = json.loads(done.stdout)["reports"][0]["stages"]
    library = sum(stage["library_seconds"] for stage in stages)
    inside = sum(stage["seconds"] for stage in stages)
    rows = [f"| {stage['name']} | {stage['seconds']:.2f} | {stage['library_seconds']:.2f} |" for stage in stages]
    rows.append(f"| before and after the stages | {done.seconds - inside:.2f} | – |")
    rows.append(f"| **whole** | **{done.seconds:.2f}** | **{library:.2f}** |")
    ratio = f"Whole wall time over the libraries' own time: **{done.seconds / library:.2f}** (target: at most 1.15)."
    return "\n".join([TITLE, "| stage | seconds | of these in the libraries |", "|---|---|---|", *rows, "", ratio, ""])
