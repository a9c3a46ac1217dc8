"""Explain a message of a server that did not load a model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonize.triton.load_failures import core, ensembles, onnx, python, tensorrt
from tritonize.triton.load_failures.row import Explanation, LoadFailure

TABLE: tuple[LoadFailure, ...] = (*ensembles.TABLE, *tensorrt.TABLE, *python.TABLE, *onnx.TABLE, *core.TABLE)
"""In the order of the search: a message about an ensemble may quote one about the model of a step."""
_LIMIT = 8000
"""Characters of a message that are searched: it may contain the output of a model."""


def explain(message: str) -> Explanation | None:
    """Cause, place and fix of the first pattern that a message contains; `None` for an unknown message."""
    return next(_explanations(message), None)


def _explanations(message: str) -> Iterator[Explanation]:
    for row in TABLE:
        if found := re.search(row.pattern, message[:_LIMIT]):
            known = {name: value or "" for name, value in found.groupdict().items()}
            yield Explanation(
                code=row.code, cause=row.cause.format(**known), fix=row.fix.format(**known), where=row.where.format(**known)
            )
