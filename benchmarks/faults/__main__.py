"""`make faultbench`: prints recall and false alarms, and writes docs/faultbench.md. Exit code 1 where our gates were wrong."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path

from benchmarks.faults import served, table
from benchmarks.faults.bench import ALL, COUNTED, frozen, run
from benchmarks.faults.hard import HARD
from benchmarks.faults.models import MODELS
from benchmarks.faults.volumes import VOLUMES

SERVED = ("classifier", "transformer")
"""Models that the real server is asked about."""
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "faultbench.md"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of every healthy model")
    parser.add_argument("--fault-seeds", type=int, default=2, help="how many of them get every fault")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--page", type=Path, default=_PAGE, help="where the table is written")
    asked = parser.parse_args()
    started = time.perf_counter()
    tasks = [
        (place, seed, place < len(COUNTED) and seed < asked.fault_seeds)
        for place, each in enumerate(ALL)
        for seed in range(min(asked.seeds, each.seeds or asked.seeds))
    ]
    tasks.sort(key=lambda task: ALL[task[0]] not in VOLUMES)  # these take longest
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [case for some in pool.map(run, *zip(*tasks, strict=True)) for case in some]
    with tempfile.TemporaryDirectory() as folder:
        real = served.measure([each for each in MODELS if each.name in SERVED], Path(folder))
    seconds = time.perf_counter() - started
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "onnxruntime", "numpy"))
    machine = (
        f"{platform.machine()}, {asked.jobs} processes, in\n{seconds / 60:.1f} minutes; "
        f"Python {platform.python_version()}, {versions}.\n"
        f"{asked.seeds} seeds of every healthy model, faults in {asked.fault_seeds} of them."
    )
    names = {healthy.name for healthy in HARD}
    cases, hard = ([case for case in found if (case.model in names) is not easy] for easy in (True, False))
    cases = [*cases, *frozen(asked.fault_seeds)]
    page = table.text(cases, hard, real, machine)
    print(page)
    asked.page.write_text(page, encoding="utf-8")
    return 1 if table.problems([*cases, *([] if isinstance(real, str) else real)]) else 0


if __name__ == "__main__":
    sys.exit(main())
