"""The error of an export ladder on which no rung made a right file: every strategy, why it failed, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tritonize import decisions, spec
from tritonize.artifacts import Attempt, Source
from tritonize.errors import ExportError
from tritonize.wording import export as wording

_ALIKE = (wording.RUNTIME_LACKS_OPERATOR.code, wording.RUNTIME_LACKS_OTHER.code, wording.AUTOCAST_IN_SCRIPT.code)
"""Codes of failures that the model's Python code would meet as well."""
_LINE = re.compile(r"(?P<line>[^,]*\S:\d+)(, module .*)?")
"""A place in the user's code: `net.py:8`, or `net.py:8, module blocks.0`. `model.onnx` is none."""


def nothing_made(model: spec.Model, source: Source, attempts: Sequence[Attempt]) -> ExportError:
    """The error that names every strategy, why it failed, and the best next steps.

    A file that was refused for a frozen decision alone says most: it is what an export of this code comes to.
    """
    tried = [f"{attempt.strategy} ({attempt.seconds:.1f} s): {attempt.reason}" for attempt in attempts]
    frozen = [each for attempt in attempts for each in attempt.decisions]
    if refused := decisions.refusal(frozen, model.accept_branches, tried):
        return refused
    where = next((attempt.where for attempt in attempts if attempt.where and user_line(attempt.where)), None)
    if len(attempts) == 1:
        what, found = f"The {attempts[0].strategy} export failed.", attempts[0].reason
    else:
        what, found = f"None of {len(attempts)} export strategies made a right ONNX file.", None
    return ExportError(
        what,
        where=where
        or next((attempt.where for attempt in attempts if attempt.where and not attempt.where.endswith(".onnx")), None)
        or source.location,
        found=found,
        next_step="; or ".join(_next_steps(source, attempts, where)) or "simplify the code that the reasons name",
        details=[] if found else tried,
    )


def user_line(where: str) -> str | None:
    """The line of the user's code in a place; `None` where the place is a file or a tensor."""
    found = _LINE.fullmatch(where)
    return found["line"] if found else None


def _next_steps(source: Source, attempts: Sequence[Attempt], where: str | None) -> Iterator[str]:
    """What to do, the best first."""
    # A file with an operator that ONNX Runtime lacks was exported well: any other export of the model comes to the same.
    lacking = next((each for each in attempts if each.code in _ALIKE), None)
    first = lacking or next((attempt for attempt in attempts if attempt.next_step), None)
    if first and first.next_step:
        yield first.next_step
    if lacking:
        return
    if source.kind == "torchscript":
        yield "export the model's Python code (package.module:factory) instead of TorchScript: torch.export sees more of it"
    elif where and (line := user_line(where)) and not line.startswith("torch/"):  # that is no code of the user's
        yield f"write {line} with operators that ONNX has"
