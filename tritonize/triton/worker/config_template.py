"""Fill a user's template, in a worker: one with a loop that never ends ends with its process."""

from __future__ import annotations

from tritonize.triton import config_template
from tritonize.triton.tasks import TemplateRequest


def render(request: TemplateRequest) -> str:
    """The text of the template."""
    return config_template.fill(request.path, request.fields)
