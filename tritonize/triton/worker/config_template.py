"""Fill a user's template, in a worker: one with a loop that never ends ends with its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonize.triton import config_template


def render(request: dict[str, Any]) -> dict[str, Any]:
    """The task: a template's path and its fields in, `text` out."""
    return {"text": config_template.fill(Path(request["path"]), request["fields"])}
