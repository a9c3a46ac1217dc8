"""`python -m gpu [--module tensorrt|tensorrt_rtx] [--out docs/gpu-results.md] [--only TEXT]`.

Exit code 0 where everything passed, 1 where something failed, 3 where something was not run.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gpu import steps
from tritonize.backends.plans import cuda
from tritonize.plans import gpu

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "gpu-results.md"
TIMEOUT_S = 1800.0
WIDTH = 80
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt", "tensorrt_cu13", "tensorrt_cu12"),
    "tensorrt_rtx": ("tensorrt_rtx",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "numpy": ("numpy",),
}


@dataclass(frozen=True)
class Row:
    """One test and what became of it."""

    step: str
    outcome: str
    """`passed`, `failed` or `not run`."""
    detail: str


def main() -> int:
    """Run, print the table, write the results; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gpu", description="Build, run and time TensorRT plans on the GPU here.")
    parser.add_argument("--module", choices=("tensorrt", "tensorrt_rtx"), help="default: the one that is installed, tensorrt first")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where the table goes")
    parser.add_argument("--only", default="", metavar="TEXT", help="only tests whose group has this text, such as case:cnn")
    asked = parser.parse_args()
    versions = {name: _version(name) for name in _DISTRIBUTIONS}
    module = asked.module or next((name for name in ("tensorrt", "tensorrt_rtx") if versions[name]), None)
    facts, missing = _machine()
    print(f"{sys.executable}, {f'{module} {versions[module]}' if module and versions[module] else 'no module of TensorRT'}\n")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tritonize-gpu-") as folder:
        for group in (each for each in steps.groups() if asked.only in each):
            why = missing
            if why is None and steps.needs_module(group) and (module is None or not versions[module]):
                why = f"{module or 'neither tensorrt nor tensorrt_rtx'} is not installed"
            done = [Row(step, "not run", why) for step in steps.steps_of(group)] if why else _run(group, module or "", Path(folder))
            rows += done
            for row in done:
                print(line(row), flush=True)
    facts |= {name: version for name, version in versions.items() if version}
    if missing and holds_results(asked.out):
        print(f"\n{summary(rows)}\nNot written: {asked.out} holds what ran on a GPU, and there is none here.")
        return exit_code(rows)
    asked.out.write_text(document(rows, facts), encoding="utf-8")
    print(f"\n{summary(rows)}\nWritten to {asked.out}")
    return exit_code(rows)


def holds_results(path: Path) -> bool:
    """Whether a table has a row of something that ran."""
    return (
        path.is_file() and re.search(r"^\|[^|]*\| (passed|failed) \|", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
    )


def exit_code(rows: Sequence[Row]) -> int:
    """0 where all passed, 1 where one failed, 3 where one was not run, or there was none."""
    outcomes = {row.outcome for row in rows}
    return 1 if "failed" in outcomes else 3 if outcomes != {"passed"} else 0


def line(row: Row) -> str:
    """One row of the table, in 80 columns."""
    text = f"{row.step:<30} {row.outcome:<8} {row.detail}"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def summary(rows: Sequence[Row]) -> str:
    """How many passed, failed, did not run."""
    return ", ".join(f"{sum(row.outcome == each for row in rows)} {each}" for each in ("passed", "failed", "not run"))


def document(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """docs/gpu-results.md."""
    head = [
        "# What ran on a GPU",
        "",
        "Written by `make test-gpu`. *Not run* says that nobody has seen it on the machine named here, and why; it is no pass.",
        "Times are medians on the device at the usual shapes, of small networks: they compare the ways to run a model, not GPUs.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        f"{summary(rows)}.",
        "",
        "| test | outcome | |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *(f"| {row.step} | {row.outcome} | {row.detail.replace('|', '/')} |" for row in rows)]) + "\n"


def _machine() -> tuple[dict[str, str], str | None]:
    """What runs the tests, and why none can, where that is so."""
    facts = {"date": datetime.now(UTC).date().isoformat(), "Python": platform.python_version()}
    try:
        device = cuda.Device()
    except cuda.CudaError as error:
        return {**facts, "GPU": f"none ({error})"}, "no GPU"
    device.close()
    told = {"driver": gpu.driver_version(device.cuda), "CUDA": f"up to {device.cuda}"}
    return {**facts, "GPU": f"{device.name}, compute capability {device.compute_capability}", **told}, None


def _version(name: str) -> str | None:
    for each in _DISTRIBUTIONS[name]:
        try:
            return importlib.metadata.version(each)
        except importlib.metadata.PackageNotFoundError:
            continue
    try:  # TensorRT of NVIDIA's containers has no metadata everywhere
        found = subprocess.run(
            [sys.executable, "-c", f"import {name}; print({name}.__version__)"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return found.stdout.strip().splitlines()[-1]
    except (subprocess.SubprocessError, IndexError):
        return None


def _run(group: str, module: str, folder: Path) -> list[Row]:
    """One group in a process of its own; a crash is the failure of the step it was in, and what follows is not run."""
    command = [sys.executable, "-m", "gpu.steps", group, module, str(folder)]
    ended = ""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
        output = done.stdout
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [""]
            ended = f"its process ended with {done.returncode}: {last[0]}"
    except subprocess.TimeoutExpired as error:
        output, ended = (error.stdout or b"").decode(errors="replace"), f"it did not end within {TIMEOUT_S:.0f} s"
    told: dict[str, Row] = {}
    begun = None
    for each in output.splitlines():
        if not each.startswith('{"step"'):
            continue  # what libraries print
        plain = json.loads(each)
        if plain["outcome"] == "begun":
            begun = plain["step"]
        else:
            told[plain["step"]] = Row(plain["step"], plain["outcome"], plain["detail"])
            begun = None
    rows = []
    for step in steps.steps_of(group):
        if step in told:
            rows.append(told[step])
        elif step == begun or (ended and not told and not rows):
            rows.append(Row(step, "failed", ended or "it gave no answer"))
        else:
            rows.append(Row(step, "not run", "a step before it did not pass"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
