"""What a command prints while it runs."""

from __future__ import annotations

import pytest

from tritonize.cli import display as displays
from tritonize.cli import terminal
from tritonize.cli.display import Display
from tritonize.core import progress
from tritonize.core.progress import Progress
from tritonize.core.reports import Stage
from tritonize.core.stages import StageName

ERASE = "\r\x1b[K"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "live", lambda **_: True)
    monkeypatch.setattr(terminal, "columns", lambda **_: 80)


def passed(note: str = "", seconds: float = 0.04) -> Stage:
    return Stage(name=StageName.INVARIANCES, verdict="passed", seconds=seconds, note=note)


@pytest.mark.parametrize(
    ("note", "end"),
    [
        ("12 responses", "12 responses"),
        ("12 responses, 10 repeated requests with identical bits", "12 responses, 10 repeated requests with …"),
        ("12 responses, 10 repeated requests with id, bits and more", "12 responses, 10 repeated requests with id …"),
        ("/a/path/" + 60 * "x", "/a/path/" + 60 * "x"),
    ],
)
def test_a_stage_is_one_line_that_ends_between_words(capsys: pytest.CaptureFixture[str], note: str, end: str) -> None:
    Display().on_stage(StageName.INVARIANCES, passed(note))
    line = capsys.readouterr().err.rstrip("\n")
    assert line == f"✓ Verify invariances        0.0 s  {end}"
    assert len(line) <= 80 or "/a/path" in line


def test_a_line_names_the_model_that_the_next_stages_are_of(capsys: pytest.CaptureFixture[str]) -> None:
    Display().on_model("heart", 2, 5)
    assert capsys.readouterr().err == "Model 2 of 5: heart\n"


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_the_line_of_the_running_stage_counts(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    shown = Display(clock)
    shown.on_stage(StageName.PYTORCH_FP64, None)
    clock.now += 1
    shown.on_count(Progress(done=0, total=4, unit="sample"))
    shown.refresh()
    clock.now += 6
    shown.on_count(Progress(done=1, total=4, unit="sample"))
    shown.refresh()
    clock.now += 1
    shown.refresh()  # nothing is reported, and the time goes on
    shown.on_stage(StageName.PYTORCH_FP64, passed("4 samples", 24.0))
    first, *lines = capsys.readouterr().err.split(ERASE)
    assert first == "… PyTorch in float64        0.0 s"
    assert lines == [
        "… PyTorch in float64        1.0 s  sample 1 of 4",
        "… PyTorch in float64        7.0 s  sample 2 of 4, about 18 s left",
        "… PyTorch in float64        8.0 s  sample 2 of 4, about 17 s left",
        "✓ PyTorch in float64       24.0 s  4 samples\n",
    ]


@pytest.mark.usefixtures("on_a_terminal")
def test_batches_get_no_estimate_since_they_differ_in_size(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    shown = Display(clock)
    shown.on_stage(StageName.ONNXRUNTIME, None)
    for done in range(3):
        shown.on_count(Progress(done=done, total=9, unit="batch"))
        clock.now += 10
    shown.refresh()
    assert capsys.readouterr().err.endswith("30.0 s  batch 3 of 9")


def test_in_a_pipe_a_long_stage_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    shown = Display(clock)
    shown.on_stage(StageName.PYTORCH_FP64, None)
    for second in range(200):
        shown.on_count(Progress(done=second, total=400, unit="sample"))
        shown.refresh()
        clock.now += 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-2].strip() for line in lines] == ["10.0 s", "30.0 s", "60.0 s", "120.0 s", "180.0 s"]
    assert lines[0] == "… PyTorch in float64       10.0 s  sample 11 of 400, about 6 min left"


def test_the_time_of_a_stage_is_that_of_all_its_attempts(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with pytest.raises(ValueError, match="no strategy"), displays.display() as shown:
        shown._clock = clock
        for _ in range(3):
            shown.on_stage(StageName.EXPORT, None)
            clock.now += 2
        raise ValueError("no strategy")
    assert capsys.readouterr().err.splitlines() == ["✗ Export to ONNX            6.0 s"]


def test_an_error_and_an_interrupt_name_the_stage_that_they_ended(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), displays.display() as shown:
            shown._clock = clock
            shown.on_stage(StageName.EXPORT, None)
            raise error
    assert capsys.readouterr().err.splitlines() == [
        "✗ Export to ONNX            0.0 s",
        "– Export to ONNX            0.0 s  interrupted",
    ]


def test_what_is_reported_in_the_block_reaches_the_display(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with displays.display() as shown:
        shown._clock = clock
        shown.on_stage(StageName.HTTP, None)
        for _ in progress.counted(range(3), "request"):
            clock.now += 4
        shown.refresh()
    assert "request 3 of 3" in capsys.readouterr().err
    assert progress.current() is None


def test_quiet_prints_no_stage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_verbosity", "quiet")
    shown = Display()
    shown.on_stage(StageName.INVARIANCES, None)
    shown.on_stage(StageName.INVARIANCES, passed())
    shown.on_model("heart", 1, 2)
    assert capsys.readouterr().err == ""
