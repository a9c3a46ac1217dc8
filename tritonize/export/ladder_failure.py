"""The error for an export in which every strategy failed: each strategy, its reason, and the next steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonize.core import decisions
from tritonize.core.artifacts import Attempt, Source
from tritonize.core.errors import CodePlace, ExportError
from tritonize.core.messages import export as wording
from tritonize.spec import schema

_SAME_FROM_PYTHON = (wording.RUNTIME_LACKS_OPERATOR.code, wording.RUNTIME_LACKS_OTHER.code, wording.AUTOCAST_IN_SCRIPT.code)
"""Codes of failures that an export of the model's Python code would meet as well."""


def every_strategy_failed(model: schema.Model, source: Source, attempts: Sequence[Attempt]) -> ExportError:
    """Build the error that lists every strategy with its reason, and the best next steps.

    If a file was correct except for a frozen branch, the error is about that branch, since that export came closest.
    """
    tried = [f"{attempt.strategy} ({attempt.seconds:.1f} s): {attempt.reason}" for attempt in attempts]
    frozen = [each for attempt in attempts for each in attempt.decisions]
    if refused := decisions.refusal(frozen, model.accept_branches, tried):
        return refused
    places = [attempt.place for attempt in attempts if attempt.place]  # not `where`, which may name a file of this run
    place = next((each for each in places if each.line), places[0] if places else None)
    where = place or source.location
    steps = "; or ".join(_next_steps(source, attempts, place)) or "simplify the code that the reasons name"
    if len(attempts) == 1:
        (only,) = attempts
        details = [] if only.reason else tried
        return ExportError.of(
            wording.STRATEGY_FAILED, where=where, found=only.reason, details=details, strategy=only.strategy, steps=steps
        )
    return ExportError.of(wording.STRATEGIES_FAILED, where=where, details=tried, count=len(attempts), steps=steps)


def _next_steps(source: Source, attempts: Sequence[Attempt], place: CodePlace | None) -> Iterator[str]:
    """Yield suggestions, the best first."""
    # If ONNX Runtime lacks an operator, the export itself worked, and any other export of the model has the same operator.
    lacking = next((each for each in attempts if each.code in _SAME_FROM_PYTHON), None)
    first = lacking or next((attempt for attempt in attempts if attempt.next_step), None)
    if first and first.next_step:
        yield first.next_step
    if lacking:
        return
    if source.kind == "torchscript":
        yield "export the model's Python code (package.module:factory) instead of TorchScript: torch.export sees more of it"
    elif place and place.line and not place.line.startswith("torch/"):  # the user cannot change torch's code
        yield f"write {place.line} with operators that ONNX has"
