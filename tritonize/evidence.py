"""What a version carries to show that it was proven: report, manifest, golden set; all inside its own directory."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tritonize import report, repository, spec
from tritonize.artifacts import Attempt, OnnxArtifact, Reference, Report, StagedVersion, to_json


def write(staged: StagedVersion, finished: Report, model: spec.Model) -> None:
    """Write report and manifest into a staged version, before anyone can see it; the manifest last, since it hashes the rest."""
    evidence = staged.version_directory / repository.EVIDENCE
    evidence.mkdir(parents=True, exist_ok=True)
    (evidence / "report.json").write_text(report.dumps(finished) + "\n", encoding="utf-8")
    (evidence / "report.txt").write_text(report.as_text(finished), encoding="utf-8")
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": finished.verdict,
        "verification": _numbers(finished),
        "proved_by": dict(finished.proved_by),
        "notes": list(finished.notes),
        "versions": dict(finished.versions),
        **finished.details,
        "spec": _portable(model),
    }
    repository.write_manifest(staged, facts)


def _numbers(finished: Report) -> list[dict[str, Any]]:
    """The largest difference per stage, batch size and output."""
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    for check in finished.checks:
        for tensor in check.tensors:
            key = (check.stage, check.batch_size, tensor.name)
            fixed = {"stage": key[0], "batch_size": key[1], "output": key[2], "rtol": tensor.rtol, "atol": tensor.atol}
            row = rows.setdefault(key, {**fixed, "answers": 0, "passed": True, "max_abs": 0.0})
            row["answers"] += 1
            row["passed"] = row["passed"] and tensor.passed
            row["max_abs"] = max(row["max_abs"], tensor.max_abs or 0.0)
    return list(rows.values())


def details(
    model: spec.Model, target: spec.Target, artifact: OnnxArtifact, answered: Reference, attempts: Sequence[Attempt]
) -> dict[str, Any]:
    """Source, ONNX file, export attempts and target as plain data, without a path of this machine."""
    source, onnx = to_json(answered.source), to_json(artifact)
    source["location"] = model.source if model.is_factory else Path(model.source).name
    del onnx["path"], onnx["node_map"]
    onnx["data"] = artifact.data.name if artifact.data else None
    return {
        "source": source,
        "onnx": onnx,
        "attempts": [to_json(attempt) for attempt in attempts],
        "custom_op_libraries": {name: _sha256(name) for name in model.custom_op_libraries},
        "parameters": answered.parameters,
        "target": target.model_dump(mode="json", exclude_none=True),
    }


def _sha256(library: str) -> str | None:
    """Of a library's file; `None` where only the loader knows where it lies."""
    return repository.sha256(Path(library)) if Path(library).is_absolute() else None


def _portable(model: spec.Model) -> Mapping[str, Any]:
    """The model's part of the spec, files by name alone: the manifest goes to other machines."""
    plain = model.model_dump(mode="json", exclude_defaults=True, exclude={"search_path"})
    if not model.is_factory:
        plain["source"] = Path(model.source).name
    for key in ("weights", "template"):
        if plain.get(key):
            plain[key] = Path(plain[key]).name
    if model.operators:
        plain["operators"] = [path.name for path in model.operators]
    for output in plain.get("outputs", {}).values():
        if output.get("labels"):
            output["labels"] = Path(output["labels"]).name
    if model.samples.function:
        plain["samples"].pop("files", None)
    elif model.samples.patterns:
        plain["samples"]["files"] = [Path(pattern).name for pattern in model.samples.patterns]
    return plain


def versions(*packages: str) -> dict[str, str]:
    """Name to version of tritonize, Python and the named packages."""
    own = {"tritonize": importlib.metadata.version("tritonize"), "python": platform.python_version()}
    return own | {package: importlib.metadata.version(package) for package in packages}
