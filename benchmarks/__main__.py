"""`make bench`: prints ratios, each from one run, and writes docs/benchmarks.md."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

from benchmarks import large, memory, overhead, plans, throughput, verification

PARTS = {
    "overhead": overhead.measure,
    "memory": memory.measure,
    "large": large.measure,
    "plans": plans.measure,
    "throughput": throughput.measure,
    "verification": verification.measure,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "onnx", "onnxruntime", "numpy", "tritonclient"))
    machine = (
        f"{platform.machine()}, {len(__import__('os').sched_getaffinity(0))} cores, Python {platform.python_version()}, {versions}"
    )
    sections = [PARTS[name]() for name in chosen]
    text = "\n".join(["# Benchmarks", "", f"Written by `make bench` on {machine}.", "", *sections])
    print(text)
    if len(chosen) == len(PARTS):
        (Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md").write_text(text)


if __name__ == "__main__":
    main()
