"""What lint says of a model, and what the real server does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import lint_cases
from tritonize.lint.repository import Repository
from tritonize.triton import acceptance

pytestmark = pytest.mark.server

NEWER = {"tr310_right": "model_metrics, which Triton 2.51 does not have"}
"""Models that the embedded server is too old for, with the field."""


def test_the_server_loads_what_lint_accepts_and_refuses_what_it_does_not(tmp_path: Path) -> None:
    root = lint_cases.write(tmp_path / "repository")
    verdicts: dict[str, set[str]] = {name: set() for name, _ in lint_cases.directories()}
    for each in Repository(root).lint():
        verdicts[each.model].add(each.triton)
    answers = acceptance.ask(root, list(verdicts), directory=tmp_path / "log")
    judged = {name: found for name, found in verdicts.items() if found != {"depends"} and name not in NEWER}
    differ = {
        name: (sorted(found), answers[name])
        for name, found in judged.items()
        if answers[name].loaded == bool(found & {"refuses", "completes"})
    }
    print(f"lint and the server agree on {len(judged) - len(differ)} of {len(judged)} models")
    assert differ == {}
    assert len(judged) > 2 * len(lint_cases.CASES) - 10
