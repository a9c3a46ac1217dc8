"""What a proof does before a server is asked: ONNX Runtime's answers, and what rounding and its own sums are allowed for.

The functions of tritonize are asked themselves; their workers run in this process.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import onnx

from benchmarks.faults.proof import Proof
from tritonize.core import arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.onnx_model.worker import session as ort_session
from tritonize.process import workers
from tritonize.process.tasks import Request, Result, Task
from tritonize.quality.batch_checks import check_outputs
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import edge_case_rounding, summation_error
from tritonize.spec import schema

Seeing = TypeVar("Seeing", bound=ErrorTracker)


def prove(proof: Proof, make: Callable[[GoldenSet], Seeing], file: bytes, directory: Path) -> tuple[Seeing, list[Check]]:
    """What ONNX Runtime answers from a file, with what a proof allows for.

    Args:
        make: a tracker of a golden set.

    Returns:
        A tracker that has seen it, whose golden set is what a server is asked from now on: without the edge cases that the proof
        leaves out by name; and the answers, compared.
    """
    path = directory / "model.onnx"
    path.write_bytes(file)
    artifact: Any = SimpleNamespace(path=path, node_map=_node_map(path))
    model = proof.healthy.spec(proof.seed)
    with mock.patch.object(workers, "run_worker", _here):
        tracker, checks = _asked(proof.golden, make, artifact, model, directory / "first")
        left_out = edge_case_rounding.undetermined(
            model, artifact, tracker.golden, checks=checks, work=directory / "unanswerable", recorder=Recorder()
        )
        if not left_out:
            return tracker, checks
        kept = _without(proof.golden, left_out, directory / "kept")
        return _asked(kept, make, artifact, model, directory / "again")


def _asked(
    golden: GoldenSet, make: Callable[[GoldenSet], Seeing], artifact: Any, model: schema.Model, directory: Path
) -> tuple[Seeing, list[Check]]:
    tracker = make(golden)
    checks = _seen(tracker, artifact.path)
    edge_case_rounding.allow_for_rounding(model, artifact, tracker, work=directory / "rounding", recorder=Recorder())
    sums = summation_error.allow(model, artifact, tracker, work=directory / "sums", recorder=Recorder())
    if sums.moved is not None:
        tracker.allow_for_sums(sums.moved)
        checks = _seen(tracker, artifact.path)
    return tracker, checks


def _here(task: Task[Request, Result], request: Request, **_: Any) -> SimpleNamespace:
    return SimpleNamespace(value=task.load()(request), import_seconds=0.0)


def _node_map(path: Path) -> Path:
    """The part of it that is asked for."""
    nodes = [{"operator": node.op_type} for node in onnx.load(path).graph.node]
    beside = path.with_name("node_map.json")
    beside.write_text(json.dumps({"nodes": nodes}), encoding="utf-8")
    return beside


def _seen(tracker: ErrorTracker, path: Path) -> list[Check]:
    golden, session, checks = tracker.golden, ort_session.session(path, ()), []
    for index in range(golden.samples.files.count):
        found = ort_session.run_batch(session, arrays.load(golden.samples.files, index), 1)
        expected = golden.expected_outputs((index,))
        checks.append(
            check_outputs(golden, StageName.ONNXRUNTIME, (index,), expected=expected, found=found, tracker=tracker, batch_size=1)
        )
    return checks


def _without(golden: GoldenSet, left_out: Mapping[str, str], directory: Path) -> GoldenSet:
    """The set without some edge cases, on files of its own: other faults are judged by the same set."""

    def linked(files: TensorFiles, name: str) -> TensorFiles:
        shutil.copytree(files.directory, directory / name, copy_function=os.link)
        return replace(files, directory=directory / name)

    own = replace(
        golden,
        samples=replace(golden.samples, files=linked(golden.samples.files, "inputs")),
        expected=linked(golden.expected, "expected"),
        exact=golden.exact and linked(golden.exact, "exact"),
    )
    return own.without(left_out)
