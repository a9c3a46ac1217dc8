"""The examples of the Python API: those of the docstrings, in an order in which one uses the files of another, and the guide's."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
import torch

import tritonize
from tests.support.command import CHECKOUT
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


@pytest.mark.slow
def test_the_script_of_the_training_guide_publishes_a_proven_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as above with a model that was trained, and with pytest's assertion."""
    monkeypatch.chdir(tmp_path)
    page = (CHECKOUT / "docs/how-to/prove-in-training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- tested -->\n```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {"__name__": "training"}
    for block in blocks:
        exec(compile(block, "prove-in-training.md", "exec"), names)
    names["test_the_published_classifier_is_proven"]()  # type: ignore[operator]
    assert (tmp_path / "model_repository/classifier/1/model.onnx").is_file()
    assert (tmp_path / "classifier.golden").is_file()
