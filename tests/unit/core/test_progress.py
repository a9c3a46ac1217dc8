"""The progress of a stage, and how a worker passes it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.core import progress
from tritonize.core.progress import Progress
from tritonize.process import progress as progress_file


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (Progress(done=0, total=4, unit="sample"), "sample 1 of 4"),
        (Progress(done=4, total=4, unit="sample"), "sample 4 of 4"),
        (Progress(done=1233, unit="request"), "request 1,234"),
        (Progress(done=1, total=2, unit="sample", text="fp64"), "fp64, sample 2 of 2"),
        (Progress(text="parse the network"), "parse the network"),
    ],
)
def test_progress_as_text(each: Progress, text: str) -> None:
    assert str(each) == text


def test_every_item_is_reported_before_it_is_used() -> None:
    events: list[object] = []
    with progress.listening(events.append):
        events.extend(progress.counted("ab", "sample"))
    assert events == [Progress(done=0, total=2, unit="sample"), "a", Progress(done=1, total=2, unit="sample"), "b"]
    assert list(progress.counted("ab", "sample")) == ["a", "b"]


def test_reports_in_a_file_are_read_back(tmp_path: Path) -> None:
    file, written = tmp_path / "progress.txt", Progress(done=1, total=2, unit="sample", text="é")
    writer = progress_file._Writer(file)
    writer(written)
    writer(Progress(done=2, total=2, unit="sample", text="é"))  # too soon
    writer(Progress(text="next"))
    assert list(progress_file.read(file.read_text())) == [written, Progress(text="next")]


def test_what_a_model_s_code_writes_there_is_left_out() -> None:
    lines = ["hello", "[1]", '{"done": "1"}', '{"more": 1}', "[" * 100_000, '{"done": 3}', '{"done": 4']
    assert list(progress_file.read("\n".join(lines))) == [Progress(done=3)]
