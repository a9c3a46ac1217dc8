"""What lint says of a model, and what the real server does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import lint_cases
from tritonize.lint import oracle
from tritonize.lint.repository import Repository

pytestmark = pytest.mark.server


def test_the_server_loads_what_lint_accepts_and_refuses_what_it_does_not(tmp_path: Path) -> None:
    repository = Repository(lint_cases.write(tmp_path / "repository"))
    verdicts = oracle.ask(repository, repository.names, found=list(repository.lint()), directory=tmp_path / "log")
    compared = [each for each in verdicts if each.compared]
    agreed = [each for each in compared if each.agrees]
    print(f"lint and the server agree on {len(agreed)} of {len(compared)} models; {len(verdicts) - len(compared)} are not compared")
    assert [each for each in compared if not each.agrees] == []
    by_backend = [each.model for each in verdicts if each.server is None]
    assert {name[:4] for name in by_backend} <= {"tr31", "tr41", "tr70", "tr71", "tr80"}, by_backend  # no such backend or field
    assert len(compared) > 180
