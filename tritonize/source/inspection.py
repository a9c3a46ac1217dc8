"""Look into a model file, in a worker: `tritonize inspect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonize.core.artifacts import Inspection, Source
from tritonize.core.errors import ExportError, WorkerError
from tritonize.process import workers
from tritonize.source import tasks


def inspect(
    source: Source,
    directory: Path,
    *,
    kwargs: Mapping[str, object] | None = None,
    weights: Path | None = None,
    search_path: Sequence[Path] = (),
    deadline_s: float = 300.0,
    memory_bytes: int | None = None,
) -> Inspection:
    """What a model says of itself.

    Raises:
        UsageError, ExportError: it cannot be loaded.
    """
    request = tasks.InspectRequest(kind=source.kind, location=source.location, kwargs=kwargs or {}, weights=weights)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_worker(
            tasks.INSPECT,
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
    return answer.value
