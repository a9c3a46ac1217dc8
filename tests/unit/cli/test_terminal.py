"""What a terminal, a pipe and a CI job get: colours, width and verbosity."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import invoke
from tritonize.cli import endings, terminal
from tritonize.core.reports import Check, Report
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare

VARIABLES = ("NO_COLOR", "FORCE_COLOR", "TERM", "CI", "COLUMNS")
ZEROS = {"scores": np.zeros((1, 3), np.float32)}
REPORT = Report(
    command="verify",
    model="heart",
    version=7,
    verdict="passed",
    checks=(Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=compare(ZEROS, ZEROS, {})),),
    notes=("A note about the proof.",),
    location=Path("model_repository/heart/7"),
)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_stream", lambda **_: Screen())


@pytest.mark.usefixtures("_on_a_terminal")
@pytest.mark.parametrize(
    ("variables", "coloured", "live"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, True, False),
        ({"CI": "false"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, True),
    ],
)
def test_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], coloured: bool, live: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (terminal.coloured(), terminal.live()) == (coloured, live)
    terminal.say("PASSED", style=terminal.Style.GOOD)
    assert ("\x1b[32m" in capsys.readouterr().out) == coloured


def test_in_a_pipe_there_are_no_colours_unless_they_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not terminal.coloured()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert terminal.coloured()
    monkeypatch.setenv("COLUMNS", "150")
    assert terminal.width() == 80


@pytest.mark.usefixtures("_on_a_terminal")
@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("120", 120), ("500", 200), ("wide", 80)])
def test_the_width_of_text_is_between_80_and_200(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width() == width


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verbosity: str) -> str:
    monkeypatch.setattr(terminal, "_verbosity", verbosity)
    endings.print_reports([REPORT], as_json=False)
    return capsys.readouterr().out


def test_quiet_normal_and_verbose(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = "PASSED heart version 7: 1 comparison, all within tolerance\n"
    assert printed(monkeypatch, capsys, "quiet") == verdict
    normal, verbose = (printed(monkeypatch, capsys, each) for each in ("normal", "verbose"))
    assert normal.endswith(verdict)
    assert verbose.endswith(verdict)
    assert "max error" in normal
    assert "note about the proof" not in normal
    assert "SNR dB" in verbose
    assert "note about the proof" in verbose


@pytest.mark.parametrize("words", [("-q", "list", "nowhere"), ("list", "nowhere", "--quiet")])
def test_quiet_before_or_after_a_command_keeps_errors(words: tuple[str, ...]) -> None:
    done = invoke(*words)
    assert done.returncode != 0
    assert done.stderr.startswith("Error: ")
    assert terminal.verbosity() == "quiet"
    assert invoke("--version").returncode == 0
    assert terminal.verbosity() == "normal"
