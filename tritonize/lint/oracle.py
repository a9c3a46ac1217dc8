"""Compare lint's verdicts with what the embedded server does with the same models, without completing their configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from google.protobuf import json_format

from tritonize.lint.ensemble_models import members
from tritonize.lint.model import Model
from tritonize.lint.repository import Repository
from tritonize.lint.rule import Diagnostic
from tritonize.triton import acceptance, set_aside
from tritonize.triton.protocol import ModelConfig

_BACKENDS = ("onnxruntime", "python")
"""The backends that the embedded server has on any machine."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One model, judged twice."""

    model: str
    lint: bool | None
    """Whether Triton loads it, by lint; `None` if that depends on the server."""
    server: bool | None
    """Whether the server loaded it; `None` if it was not asked."""
    reason: str
    """Why the server refused it, or why it was not asked."""

    @property
    def compared(self) -> bool:
        """Whether both have a verdict."""
        return self.lint is not None and self.server is not None

    @property
    def agrees(self) -> bool:
        """Whether the verdicts are equal."""
        return self.compared and self.lint == self.server


def ask(repository: Repository, models: Sequence[str], *, found: Sequence[Diagnostic], directory: Path) -> tuple[Verdict, ...]:
    """Serve what the embedded server can serve, and compare.

    Args:
        repository: the linted repository.
        models: the models to compare.
        found: the diagnostics of all rules.
        directory: a folder for the server's log.

    Raises:
        MissingError: the server is not installed and cannot be.
        ServerError: it did not start.
    """
    reasons = {name: _not_asked(repository, name, seen=set()) for name in models}
    asked = [name for name in models if reasons[name] is None]
    answers = acceptance.ask(repository.path, asked, directory=directory) if asked else {}
    expected = by_lint(models, found)
    return tuple(
        Verdict(
            model=name,
            lint=expected[name],
            server=answers[name].loaded if name in answers else None,
            reason=answers[name].reason if name in answers else reasons[name] or "",
        )
        for name in models
    )


def by_lint(models: Sequence[str], found: Sequence[Diagnostic]) -> Mapping[str, bool | None]:
    """Whether Triton loads each model without completing it, by its diagnostics."""
    verdicts: dict[str, set[str]] = {name: set() for name in models}
    for each in found:
        if each.model in verdicts:
            verdicts[each.model].add(each.triton)
    return {
        name: False if seen & {"refuses", "completes"} else None if "depends" in seen else True for name, seen in verdicts.items()
    }


def _not_asked(repository: Repository, name: str, *, seen: set[str]) -> str | None:
    """Why the embedded server cannot judge a model; `None` if it can."""
    if name.encode(errors="ignore").decode() != name:
        return "the name is not UTF-8"
    model = repository.model(name)
    seen.add(name)
    if model is None or model.config is None:
        return None  # a missing or invalid configuration is judged before any backend is
    completed = model.completed
    if completed.platform == "ensemble":
        others = (
            f"the step {each}: {reason}"
            for each in members(model)
            if each not in seen and (reason := _not_asked(repository, each, seen=seen))
        )
        return next(others, None)
    if completed.backend and completed.backend not in _BACKENDS:
        return f"the embedded server has no backend {completed.backend}"
    return _beyond(model)


def _beyond(model: Model) -> str | None:
    """What a model's configuration asks for that the embedded server does not have; it would serve the model without that."""
    config = cast("ModelConfig", json_format.MessageToDict(model.config, preserving_proto_field_name=True))
    left_out = set_aside.without(config).left_out
    return f"{left_out[0].field}: {left_out[0].reason}" if left_out else None
