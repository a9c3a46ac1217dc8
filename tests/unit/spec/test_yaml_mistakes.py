"""YAML that people write wrongly: the error names the line and the mistake in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.core.errors import UsageError
from tritonize.spec import loader


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("schema: 1\nmodels:\n\theart: {}\n", "line 3, column 1: a tab at the start; YAML is indented with spaces"),
        ("schema: 1\nschema: 1\n", "line 2, column 1: the key 'schema' is written twice"),
        ("models:\n    heart: 1\n   lung: 2\n", "line 3, column 4: the line is not indented like the lines before it"),
        ("schema: 1: 2\n", "line 1, column 10: a second colon in the line; put a text with a colon in quotes"),
        ("", "an empty file"),
        ("- a\n", "a list"),
        ("a\n", "a text"),
    ],
)
def test_a_mistake_is_named(text, found):
    Path("s.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    assert error.value.found == found


def test_what_follows_from_a_misspelled_key_is_no_problem_of_its_own():
    """Without max_batch_size the axis `batch` has no range. The person wrote max_batchsize, and that is the one mistake."""
    text = "schema: 1\nmodels:\n  m:\n    source: m.pt\n    inputs: {x: {shape: [batch, 4]}}\n"
    Path("s.yaml").write_text(f"{text}    max_batchsize: 8\n    weigths: w.pth\n")
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    assert error.value.details == (
        "line 6: models.m.max_batchsize: unknown key; did you mean 'max_batch_size'?",
        "line 7: models.m.weigths: unknown key; did you mean 'weights'?",
    )
    Path("s.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    assert "has no range" in error.value.details[0]
