"""What a command prints while it runs, in a pipe."""

from __future__ import annotations

import pytest

from tritonize.cli.display import WIDTH, Display
from tritonize.core.artifacts import Stage
from tritonize.core.stages import StageName


def printed(capsys: pytest.CaptureFixture[str], note: str) -> str:
    Display().on_stage(StageName.INVARIANCES, Stage(name=StageName.INVARIANCES, verdict="passed", seconds=0.04, note=note))
    return capsys.readouterr().err.rstrip("\n")


@pytest.mark.parametrize(
    ("note", "end"),
    [
        ("12 responses", "12 responses"),
        ("12 responses, 10 repeated requests with identical bits", "12 responses, 10 repeated requests with …"),
        ("12 responses, 10 repeated requests with id, bits and more", "12 responses, 10 repeated requests with id …"),
        ("/a/path/" + 60 * "x", "/a/path/" + 36 * "x" + "…"),
    ],
)
def test_a_stage_is_one_line_that_ends_between_words(capsys: pytest.CaptureFixture[str], note: str, end: str) -> None:
    line = printed(capsys, note)
    assert line == f"✓ Verify invariances        0.0 s  {end}"
    assert len(line) <= WIDTH


def test_a_line_names_the_model_that_the_next_stages_are_of(capsys: pytest.CaptureFixture[str]) -> None:
    Display().on_model("heart")
    assert capsys.readouterr().err == "heart\n"
