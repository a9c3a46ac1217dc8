"""One entry through tritonize, and the judgement of what came out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from corpus.catalogue import MAX_BATCH_SIZE, Entry

KINDS = ("module", "traced")
ROOT = Path(__file__).resolve().parents[1]
SEED = 1
"""Of tritonize's samples."""
LONGEST = 300
"""Characters kept of one line of an error."""
_STAGES = ("export", "pytorch", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one entry as a module, or as a traced file."""

    name: str
    family: str
    kind: str
    verdict: str
    """`right`, `refused`, `wrong`, `not run`; for traced files also `does not trace`, and `bad trace` where the file itself
    answers otherwise than the model: what is made of it is refused or answers like the file, and never like the model."""
    reason: str = ""
    """The first lines of tritonize's error, what is wrong, or what is remarkable."""
    missed: bool = False
    """Refused, although the file is right."""
    exit_code: int | None = None
    strategy: str = ""
    max_abs: float | None = None
    k: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """What each step took: `trace`, `build`, `judge`; and the stages of the build by their names."""


@dataclass(frozen=True)
class _Ended:
    code: int | None
    """`None` where it did not end in time."""
    out: str
    err: str
    seconds: float


def try_entry(entry: Entry, kind: str, deadline: float) -> Result:
    """Build the entry in a folder of its own and judge the file; every step is a process with a deadline."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        seconds: dict[str, float] = {}
        known: dict[str, Any] = {"name": entry.name, "family": entry.family, "kind": kind, "seconds": seconds}
        bad_trace, traced = "", folder / f"{entry.name}.pt"
        if kind == "traced":
            found, seconds["trace"] = _worker(folder, deadline, "trace", entry.name, traced)
            if not found.get("traced"):
                return Result(**known, verdict="does not trace", reason=found["reason"])
            bad_trace = found["reason"]
        spec = folder / "spec.yaml"
        spec.write_text(json.dumps(_spec(entry, kind, folder, deadline)))
        built = _start([str(Path(sys.executable).with_name("tritonize")), "build", str(spec), "--json"], folder, 3 * deadline)
        seconds["build"] = round(built.seconds, 1)
        reported = _reported(built.out)
        seconds |= {stage["name"]: round(stage["seconds"], 1) for stage in reported.get("stages", ()) if stage["name"] in _STAGES}
        known |= {"exit_code": built.code, "strategy": _strategy(reported)}
        path = Path(reported["location"]) / "model.onnx" if reported.get("location") else None
        if path is not None and path.is_file():
            against = (traced,) if bad_trace else ()
            judged, seconds["judge"] = _worker(folder, 2 * deadline, "judge", entry.name, path, *against)
            result = _concluded(known, built, reported, judged)
        elif built.code == 0:
            result = Result(**known, verdict="wrong", reason="it passed and there is no file")
        else:
            late = f"no answer within {3 * deadline:.0f} s"
            result = Result(**known, verdict="refused", reason=late if built.code is None else _reason(built.err))
        if bad_trace and result.verdict in ("right", "refused"):
            return replace(result, verdict="bad trace", reason=f"{bad_trace}; {result.verdict} {result.reason}".rstrip())
        return result


def _concluded(known: dict[str, Any], built: _Ended, reported: dict[str, Any], judged: dict[str, Any]) -> Result:
    if "right" not in judged:
        return Result(**known, verdict="not run", reason=f"it could not be judged: {judged['reason']}")
    measures = {"max_abs": judged["max_abs"], "k": judged["k"]}
    if built.code == 0:
        return Result(**known, **measures, verdict="right" if judged["right"] else "wrong", reason=judged["reason"])
    failed = next((tensor["reason"] for check in reported["checks"] for tensor in check["tensors"] if not tensor["passed"]), None)
    reason = failed or _reason(built.err)
    return Result(**known, **measures, verdict="refused", missed=judged["right"], reason=reason)


def _spec(entry: Entry, kind: str, folder: Path, deadline: float) -> dict[str, Any]:
    """The specification of one model."""
    model: dict[str, Any] = {
        "source": f"corpus.{entry.factory}" if kind == "module" else f"{entry.name}.pt",
        "inputs": {
            name: {"dtype": tensor.dtype, "shape": list(tensor.shape), **({"range": list(tensor.range)} if tensor.range else {})}
            for name, tensor in entry.inputs.items()
        },
        "axes": {
            name: {"min": low, "opt": usual, "max": high, "step": entry.steps.get(name, 1)}
            for name, (low, usual, high) in entry.axes.items()
        },
        "max_batch_size": MAX_BATCH_SIZE if entry.batchable else 0,
        "samples": {"seed": SEED},
        "deadline_s": deadline,
    }
    if kind == "module":
        model |= {"kwargs": dict(entry.kwargs), "search_path": [str(ROOT)]}
    return {"schema": 1, "repository": str(folder / "repository"), "models": {entry.name: model}}


def _worker(folder: Path, deadline: float, *arguments: str | Path) -> tuple[dict[str, Any], float]:
    """The answer of `corpus.worker`; where it gives none, its `reason`."""
    ended = _start([sys.executable, "-m", "corpus.worker", *map(str, arguments)], folder, deadline)
    seconds = round(ended.seconds, 1)
    try:
        answer: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    except (IndexError, ValueError):
        end = f"exit code {ended.code}" if ended.code is not None else f"no answer within {deadline:.0f} s"
        return {"reason": f"{end}: {' '.join(ended.err.split())[-300:]}"}, seconds
    return answer, seconds


_running: set[subprocess.Popen[str]] = set()


def stop() -> None:
    """End every process that was started here, and what those started."""
    for process in list(_running):
        _end(process)


def _start(command: list[str], folder: Path, deadline: float) -> _Ended:
    """Run a command to its end; past the deadline it and all that it started are ended."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        _running.add(process)
        try:
            out, err = process.communicate(timeout=deadline)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            _end(process)
            out, err = process.communicate()
            code = None
        finally:
            _running.discard(process)
    return _Ended(code, out, err, time.monotonic() - began)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()  # tritonize ends its own workers
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reported(out: str) -> dict[str, Any]:
    """The report of the one model; empty where there is none."""
    try:
        reports = json.loads(out)["reports"]
    except (ValueError, KeyError, TypeError):
        return {}
    return dict(reports[0]) if reports else {}


def _strategy(reported: dict[str, Any]) -> str:
    onnx = reported.get("details", {}).get("onnx", {})
    return str(onnx.get("strategy", "")) if isinstance(onnx, dict) else ""


def _reason(err: str) -> str:
    """tritonize's error: its first line, what it found, and what it says of every strategy."""
    lines = [line.strip() for line in err.splitlines() if line.strip() and line[0] not in "✓✗–"]
    if not lines:
        return "no message"
    found = [line for line in lines[1:] if line.startswith(("found:", "|"))]
    return " ".join(line[:LONGEST] for line in [lines[0], *found[:6]])
