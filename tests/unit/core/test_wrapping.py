"""Text is wrapped so that paths and commands can be copied."""

from __future__ import annotations

import pytest

from tritonize.core import wrapping
from tritonize.core.wrapping import cut, wrapped

PATH = "/a/" + 90 * "b"


def test_a_path_and_a_command_are_never_broken() -> None:
    command = "`tritonize verify model_repository --model heart --version 12 --url http://127.0.0.1:8000`"
    lines = wrapped(f"The staged version lies in {PATH}; to verify the version that is published already, run {command} now.")
    assert any(PATH in line for line in lines)
    assert any(command in line for line in lines)
    assert all(len(line) <= 80 for line in lines if PATH not in line and command not in line)


def test_a_command_at_the_end_after_a_colon_is_whole() -> None:
    command = "tritonize build two.yaml -m tight --sample-file /tmp/a/b/c/0 --sample-file /tmp/a/b/c/1"
    assert wrapped(f"Largest error: sample 0 (drawn), output scores, onnxruntime. Again: {command}")[-1] == f"  {command}"


def test_the_width_is_followed_and_restored() -> None:
    with wrapping.at(120):
        assert max(map(len, wrapped("word " * 100))) > 110
    assert max(map(len, wrapped("word " * 100))) <= 80


@pytest.mark.parametrize(
    ("line", "end"), [("word " * 30, "word word …"), (f"✗ {PATH} and more words here", f"{PATH} …"), ("short", "short")]
)
def test_a_cut_is_between_words(line: str, end: str) -> None:
    assert cut(line.rstrip()).endswith(end)
    assert len(cut(line)) <= 80 or PATH in line
