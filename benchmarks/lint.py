"""Time and memory of `tritonize lint` for repositories of 1,000 and 10,000 models; both have to be linear."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import tiny_onnx
from tests.support.tiny_onnx import FLOAT

TITLE = "## Lint of a repository\n"
SIZES = (1_000, 10_000)
ROUNDS = 3
WEIGHT_BYTES = 2**30
_KINDS = 4
"""Of every four models three are ONNX models and one is an ensemble of the one before."""
_MODEL = """backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {size} ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 16 ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
_ENSEMBLE = """platform: "ensemble"
max_batch_size: 8
input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 16 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ 16 ] }} ]
ensemble_scheduling {{ step [ {{ model_name: "{step}" model_version: -1
  input_map {{ key: "X" value: "IN" }} output_map {{ key: "Y" value: "OUT" }} }} ] }}
"""
_CHILD = """
import re, sys, time
from pathlib import Path
from tritonize.lint.repository import Repository
began = time.perf_counter()
count = sum(1 for _ in Repository(Path(sys.argv[1])).lint())
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss includes the parent's before exec
print(time.perf_counter() - began, int(peak[1]) * 1024, count)
"""


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        measured = {}
        for size in SIZES:
            write(folder / str(size), size)
            measured[size] = min(_linted(folder / str(size)) for _ in range(ROUNDS))
            assert measured[size][2] == size // 100, "every hundredth model has one wrong size"
        heavy = folder / "heavy"
        write(heavy, 1)
        tiny_onnx.write_heavy(heavy / "model00000/1/model.onnx", WEIGHT_BYTES)
        large, _, _ = min(_linted(heavy) for _ in range(ROUNDS))
    (few, few_bytes, _), (many, many_bytes, _) = (measured[size] for size in SIZES)
    rows = [
        f"| {SIZES[0]:,} models | **{few:.2f} s** | seconds |",
        f"| {SIZES[1]:,} models | **{many:.2f} s** |  |",
        f"| time per model, {SIZES[1]:,} to {SIZES[0]:,} | **{many / few / 10:.2f}** | linear: at most 1.3 |",
        f"| most memory, {SIZES[0]:,} and {SIZES[1]:,} models | **{few_bytes / 2**20:.0f} and {many_bytes / 2**20:.0f} MiB** | |",
        f"| one model with 1 GiB of weights | **{large * 1000:.0f} ms** | no weight is read |",
    ]
    note = f"Best of {ROUNDS} rounds in processes of their own; one model in four is an ensemble, one in a hundred has an error.\n"
    return "\n".join([TITLE, note, "| measure | measured | target |", "|---|---|---|", *rows, ""])


def write(root: Path, count: int) -> None:
    """A repository of that many models, of which every hundredth has an error."""
    graph = tiny_onnx.identity([("X", FLOAT, ["b", 16])], [("Y", FLOAT, ["b", 16])])
    for number in range(count):
        folder = root / f"model{number:05}"
        (folder / "1").mkdir(parents=True)
        if number % _KINDS == _KINDS - 1 and number % 100 != 99:
            (folder / "config.pbtxt").write_text(_ENSEMBLE.format(step=f"model{number - 1:05}"))
        else:
            (folder / "config.pbtxt").write_text(_MODEL.format(size=17 if number % 100 == 99 else 16))
            (folder / "1/model.onnx").write_bytes(graph)


def _linted(root: Path) -> tuple[float, float, int]:
    """Seconds, peak resident bytes and number of findings of one lint in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _CHILD, str(root)], capture_output=True, text=True, check=True)
    seconds, peak, count = done.stdout.split()
    return float(seconds), float(peak), int(count)
