"""The examples in the docstrings of the public functions, in an order in which one uses the files of another."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch

import tritonize
from tritonize import api

pytestmark = [pytest.mark.server]


def test_the_examples_of_the_public_functions_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"torch": torch, "tritonize": tritonize}
    runner, parser = doctest.DocTestRunner(), doctest.DocTestParser()
    used = ("run", "verify", "write_golden", "read_golden")
    assert {name for name in api.__all__ if ">>>" in (getattr(api, name).__doc__ or "")} == set(used)
    for name in used:
        examples = parser.get_doctest(getattr(api, name).__doc__, names, name, None, None)
        assert runner.run(examples, clear_globs=False).failed == 0, name
        names |= examples.globs
