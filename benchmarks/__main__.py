"""`make bench`: prints ratios and writes docs/benchmarks.md; of single parts (`python -m benchmarks plans`) their sections.

Each section says when it was measured and of which commit, since they need not be of one run.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks import (
    bench_against_raw,
    large,
    lint,
    listing,
    many_clients,
    memory,
    one_layer,
    overhead,
    plans,
    publishing,
    startup,
    throughput,
    up_to_date,
    verification,
)

PARTS = {
    "overhead": overhead.measure,
    "one_layer": one_layer.measure,
    "memory": memory.measure,
    "large": large.measure,
    "plans": plans.measure,
    "lint": lint.measure,
    "listing": listing.measure,
    "publishing": publishing.measure,
    "startup": startup.measure,
    "throughput": throughput.measure,
    "up_to_date": up_to_date.measure,
    "many_clients": many_clients.measure,
    "verification": verification.measure,
    "bench_against_raw": bench_against_raw.measure,
}
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    kept = dict(_sections(PAGE.read_text())) if PAGE.is_file() else {}
    when = _when()
    for name in sys.argv[1:] or PARTS:
        ((title, text),) = _sections(PARTS[name]())
        kept[title] = f"{when}\n\n{text}"
        print(f"{title}\n\n{kept[title]}")
        PAGE.write_text(
            "# Benchmarks\n\nWritten by `make bench`.\n\n" + "\n\n".join(f"{each}\n\n{kept[each]}" for each in kept) + "\n"
        )


def _sections(page: str) -> list[tuple[str, str]]:
    """Title and text of each section."""
    parts = re.split(r"^(## .*)$", page, flags=re.M)[1:]
    return [(title.strip(), text.strip()) for title, text in zip(parts[::2], parts[1::2], strict=True)]


def _when() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "onnx", "onnxruntime", "numpy", "tritonclient"))
    cores = len(os.sched_getaffinity(0))
    commit = _git("describe", "--always")
    if commit and _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{PAGE.relative_to(ROOT)}"):
        commit += "-dirty"
    machine = f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, {versions}"
    return f"*Measured on {datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}; {machine}.*"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
