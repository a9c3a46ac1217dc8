"""Published versions whose model is a text: enough for what reads configurations, manifests and checksums alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tritonize import repository


def config(name: str = "m", policy: str = "", size: int = 2) -> str:
    return f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {size}\n{policy}'


def publish(
    root: Path,
    content: str,
    *,
    text: str | None = None,
    name: str = "m",
    facts: dict[str, Any] | None = None,
    beside: dict[str, str] | None = None,
    **options: Any,
) -> int:
    """Publish a version with its configurations in its evidence, as a run does; return its number.

    Args:
        beside: further files beside the versions: path inside the model's directory to content.
    """
    with repository.staging(root) as run:
        (run.work / "model.onnx").write_text(content)
        number = repository.next_version(root, name)
        texts = {"config.pbtxt": text or config(name), **(beside or {})}
        staged = repository.stage(run, name, number, files={f"{number}/model.onnx": run.work / "model.onnx"}, texts=texts)

        def finish(final: repository.StagedVersion) -> None:
            evidence = final.version_directory / "evidence"
            evidence.mkdir()
            (evidence / "report.json").write_text("{}")
            for each in filter(repository.is_config, texts):
                (evidence / each).parent.mkdir(exist_ok=True)
                shutil.copy(final.model_directory / each, evidence / each)
            repository.write_manifest(final, {"verdict": "passed", "created": "2026-01-02T03:04:05+00:00", **(facts or {})})

        return repository.publish(staged, root, finish=finish, **{"allow_change": True, **options}).version
