"""Time and bytes of publishing and packing a version of 3 GB, against `cp` and fsync of the same file in the same round."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import plain_versions
from tritonize import repository
from tritonize.core import durable_files
from tritonize.workflows import packing

TITLE = "## Publishing a version of 3 GB\n"
SIZE = 3 * 10**9
ROUNDS = 5
TARGET, PASSES = 1.3, 1.05


@dataclass(frozen=True)
class _Cost:
    """What one call cost."""

    seconds: float
    read: float
    """Bytes that read calls returned, in sizes of the model."""


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as name:  # on the disk, where /tmp may be memory
        place = Path(name)
        source = place / "model.onnx"
        _write(source)
        found: dict[str, list[_Cost]] = {}
        for number in range(ROUNDS):
            for what, cost in _round(place / f"round{number}", source):
                found.setdefault(what, []).append(cost)
            shutil.rmtree(place / f"round{number}")
    copied = [each.seconds for each in found[_COPY]]
    rows = []
    for what, costs in found.items():
        ratio = statistics.median(cost.seconds / base for cost, base in zip(costs, copied, strict=True))
        seconds, read = statistics.median(each.seconds for each in costs), max(each.read for each in costs)
        passes = "–" if what == _COPY else f"{read:.2f}"
        rows.append(f"| {what} | {seconds:.2f} | **{ratio:.2f}** | {passes} |")
    head = ["| what | s | over `cp` and fsync | sizes of the model read |", "|---|---|---|---|"]
    note = (
        f"Medians of {ROUNDS} rounds, each with all of these; targets: at most {TARGET} times `cp` and fsync, and one pass "
        f"over the bytes (at most {PASSES} sizes of the model read). The staged file has just been written, as by an export, "
        "and is not on the disk yet.\n"
    )
    return "\n".join([TITLE, note, *head, *rows, ""])


_COPY = "`cp` and fsync"


def _round(place: Path, source: Path) -> list[tuple[str, _Cost]]:
    """Copy the file, publish it, and pack it."""
    place.mkdir()
    os.sync()
    costs = [(_COPY, _cost(lambda: _copy(source, place / "copy.onnx")))]
    (place / "copy.onnx").unlink()
    root = place / "models"
    with repository.staging(root) as run:
        shutil.copyfile(source, run.work / "model.onnx")
        texts = {repository.CONFIG: plain_versions.config()}
        staged = repository.stage(run, "m", 1, files={"1/model.onnx": run.work / "model.onnx"}, texts=texts)

        def finish(final: repository.StagedVersion) -> None:
            evidence = final.version_directory / repository.EVIDENCE
            evidence.mkdir()
            (evidence / "report.json").write_text("{}")
            shutil.copy(final.model_directory / repository.CONFIG, evidence)
            repository.write_manifest(final, {"verdict": "passed"})

        costs.append(
            ("publish a staged version", _cost(lambda: repository.publish(staged, root, allow_change=False, finish=finish)))
        )
    costs.append(("`tritonize pack`", _cost(lambda: packing.pack(root, place / "packed"))))
    assert (place / "packed/m/1/model.onnx").stat().st_size == SIZE
    return costs


def _write(path: Path) -> None:
    piece = os.urandom(10**7)
    with path.open("wb") as file:
        for _ in range(SIZE // len(piece)):
            file.write(piece)
    durable_files.sync(path)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", str(source), str(target)], check=True)
    durable_files.sync(target)


def _cost(work: Callable[[], object]) -> _Cost:
    before, started = _read(), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return _Cost(seconds, (_read() - before) / SIZE)


def _read() -> int:
    """Bytes that this process has read so far."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])
