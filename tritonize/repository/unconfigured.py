"""Models without a configuration, which Triton completes from the model file unless it is started with auto-complete off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tritonize.repository import manifest, versions
from tritonize.repository.manifest import CONFIG

FILES: Mapping[str, str] = {
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "pytorch": "model.pt",
    "python": "model.py",
}
"""Backend to its default file, in the order in which Triton looks for them."""


def served(repository: Path) -> tuple[str, ...]:
    """Return all models that Triton serves: those of `versions.models`, and those whose configuration it completes.

    Raises:
        UsageError: the repository does not exist or has no models.
    """
    configured = {entry.name for entry in _folders(repository) if (entry / CONFIG).exists()}
    completed = {entry.name for entry in _folders(repository) if entry.name not in configured and backend(entry)}
    known = versions.models(repository, others=completed)
    return tuple(sorted({*known, *completed}))


def _folders(repository: Path) -> list[Path]:
    return [entry for entry in repository.iterdir() if entry.is_dir()] if repository.is_dir() else []


def backend(directory: Path) -> str | None:
    """Return the backend that Triton chooses for a model without a configuration; `None` if it has one or Triton finds no file.

    Source: core, `AutoCompleteBackendFields` in `model_config_utils.cc`, which looks into the first version.
    """
    if (directory / CONFIG).exists():
        return None
    try:
        folders = sorted(entry.name for entry in directory.iterdir() if manifest.is_version(entry))
        present = set(os.listdir(directory / folders[0])) if folders else set[str]()  # noqa: PTH208 - names alone
    except OSError:
        return None
    return next((each for each, file in FILES.items() if file in present), None)
