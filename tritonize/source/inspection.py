"""Look into a model file, in a worker: `tritonize inspect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonize.core.artifacts import Inspection, Source, from_json
from tritonize.core.errors import ExportError, WorkerError
from tritonize.process import processes


def inspect(
    source: Source,
    directory: Path,
    *,
    kwargs: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    search_path: Sequence[Path] = (),
    deadline_s: float = 300.0,
    memory_bytes: int | None = None,
) -> Inspection:
    """What a model says of itself.

    Raises:
        UsageError, ExportError: it cannot be loaded.
    """
    request = {
        "kind": source.kind,
        "location": source.location,
        "kwargs": dict(kwargs or {}),
        "weights": str(weights) if weights else None,
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = processes.run_worker(
            "source.worker.inspection.inspect",
            request,
            directory=directory,
            deadline_s=deadline_s,
            memory_bytes=memory_bytes,
            search_path=search_path,
        )
    except WorkerError as error:
        raise ExportError(
            "The model cannot be inspected.", where=source.location, found=error.what, details=error.details
        ) from error
    return from_json(Inspection, answer.value)
