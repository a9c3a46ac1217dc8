"""Models without a configuration, which Triton completes from the model file unless it is started with auto-complete off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tritonize.repository import manifest
from tritonize.repository.manifest import CONFIG

FILES: Mapping[str, str] = {
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "pytorch": "model.pt",
    "python": "model.py",
}
"""Backend to its default file, in the order in which Triton looks for them."""


def completed(directory: Path) -> str | None:
    """Return the backend of a model without a configuration whose configuration Triton completes; else `None`.

    A model of which a version was proven with a configuration has lost it, and is not completed.

    Source: core, `AutoCompleteBackendFields` in `model_config_utils.cc`, which looks into the first version.
    """
    if (directory / CONFIG).exists():
        return None
    try:
        folders = sorted(entry.name for entry in directory.iterdir() if manifest.is_version(entry))
        present = set(os.listdir(directory / folders[0])) if folders else set[str]()  # noqa: PTH208 - names alone
    except OSError:
        return None
    backend = next((each for each, file in FILES.items() if file in present), None)
    return None if backend is None or CONFIG in manifest.listed_beside(directory) else backend
