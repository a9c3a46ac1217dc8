"""The next command of an error about a wrong name: the command that was typed, with the name that exists."""

from __future__ import annotations

from tritonize.cli import corrected
from tritonize.core.suggestions import Meant


def command(written: str, near: str, *words: str) -> str | None:
    return corrected.command(Meant(written=written, near=(near,)), words)


def test_the_wrong_word_is_replaced_and_the_rest_is_kept():
    assert command("hart.yaml", "my files/heart.yaml", "run", "hart.yaml", "-q") == "tritonize run 'my files/heart.yaml' -q"
    assert command("hart", "heart", "list", "repo", "--model=hart") == "tritonize list repo --model=heart"


def test_a_name_from_a_file_gives_no_command():
    assert command("hart.pt", "heart.pt", "run", "spec.yaml") is None


def test_a_word_that_occurs_twice_gives_no_command():
    assert command("a", "b", "diff", "a", "a") is None
