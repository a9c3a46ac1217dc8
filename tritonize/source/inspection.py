"""Inspect a model in a worker, for `tritonize inspect` and to infer inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonize.core.artifacts import Inspection, Source
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import source as wording
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
    """Read inputs, outputs, operators and number of parameters from a model.

    Args:
        source: the model.
        directory: folder for the worker's files; created if missing.
        kwargs: keyword arguments of the factory, as JSON data.
        weights: file with the factory's state dict.
        search_path: folders with the user's code.
        deadline_s: seconds after which the worker is ended.
        memory_bytes: limit on the worker's memory; see `workers.run_worker`.

    Raises:
        UsageError, ExportError: the model cannot be loaded.
    """
    request = tasks.InspectRequest(kind=source.kind, location=source.location, kwargs=kwargs or {}, weights=weights)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        result = workers.run_worker(
            tasks.INSPECT,
            request,
            directory=directory,
            deadline_s=deadline_s,
            memory_bytes=memory_bytes,
            search_path=search_path,
        )
    except WorkerError as error:
        raise ExportError.of(wording.INSPECTION_ENDED, where=source.location, found=error.what, details=error.details) from error
    return result.value
