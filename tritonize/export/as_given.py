"""Compare an ONNX file that somebody else wrote with the baseline, as it is: nothing is exported, simplified or rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any  # Any: JSON data of an inspection

from tritonize.core.artifacts import Inspection, OnnxArtifact
from tritonize.core.recorder import Recorder
from tritonize.export import onnxruntime_check
from tritonize.export.proven import ProvenOnnx
from tritonize.reference import edge_case_rounding
from tritonize.reference.baseline import Baseline
from tritonize.spec import schema

STRATEGY = "as given"


def artifact(path: Path, inspected: Inspection, *, sha256: str) -> OnnxArtifact:
    """Describe the file.

    Args:
        inspected: what `inspection.inspect` found in it.
        sha256: of the file itself, without external data.
    """
    details: Mapping[str, Any] = inspected.details
    data = [path.parent / name for name in details["external_data"]]
    return OnnxArtifact(
        path=path,
        data=data[0] if data else None,
        node_map=None,
        sha256=sha256,
        size=sum(each.stat().st_size for each in (path, *data)),
        opset=inspected.opset or 0,
        ir_version=details["ir_version"],
        inputs=inspected.inputs,
        outputs=inspected.outputs,
        exporter=details["producer"] or "unknown exporter",
        strategy=STRATEGY,
        simplified=False,
        optional=tuple(details["optional_inputs"]),
    )


def compare(model: schema.Model, baseline: Baseline, given: OnnxArtifact, *, work: Path, recorder: Recorder) -> ProvenOnnx:
    """Run the file in ONNX Runtime and compare it. Edge cases of a PyTorch model that float32 cannot compute are dropped.

    Raises:
        ExportError: ONNX Runtime does not load or run the file.
    """
    tracker = baseline.tracker()
    checked = onnxruntime_check.check(model, baseline, given, tracker=tracker, work=work / "given", recorder=recorder)
    if baseline.source.kind != "onnx":
        dropped = edge_case_rounding.undetermined(
            model, given, tracker.golden, checks=checked.checks, work=work / "unanswerable", recorder=recorder
        )
        if dropped:
            baseline = baseline.without(dropped)
            tracker = baseline.tracker()
            again = onnxruntime_check.check(model, baseline, given, tracker=tracker, work=work / "again", recorder=recorder)
            checked = again.after(checked.stage, dropped)
    recorder.add(checked.stage)
    return ProvenOnnx(
        baseline=replace(baseline, golden=tracker.golden),
        artifact=given,
        checks=checked.checks,
        tracker=tracker,
        versions={"onnxruntime": checked.version},
        nonfinite=checked.nonfinite,
    )
