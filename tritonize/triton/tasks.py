"""What a worker does for a configuration, as both sides see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.process.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TemplateRequest:
    """A user's template to fill."""

    path: Path
    fields: Mapping[str, object]
    """Plain data."""


FILL_TEMPLATE = Task(
    name="tritonize.triton.tasks:FILL_TEMPLATE",
    function="tritonize.triton.worker.config_template:render",
    request=TemplateRequest,
    result=str,
)
