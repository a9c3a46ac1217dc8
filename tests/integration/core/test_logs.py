"""The log: off by default, on by one switch, one line per record, also in workers."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.support.command import tritonize
from tritonize.core import environment, logs
from tritonize.core.errors import UsageError
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch):
    """The logger and the environment as they were."""
    root = logging.getLogger("tritonize")
    before, level = list(root.handlers), root.level
    monkeypatch.delenv(environment.LOG.name, raising=False)
    yield
    root.handlers[:], root.level = before, level
    os.environ.pop(environment.LOG.name, None)


@pytest.mark.usefixtures("quiet")
class TestSwitch:
    def test_nothing_is_written_by_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Recorder().stage(StageName.EXPORT):
            pass
        assert capsys.readouterr() == ("", "")

    def test_stages_are_written_once_the_log_is_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.enable("info")
        logs.enable("info")
        with Recorder().stage(StageName.EXPORT) as outcome:
            outcome.note = "two\nlines\x1b[2J"
        written = capsys.readouterr().err.splitlines()
        assert len(written) == 2
        assert written[0].endswith("INFO tritonize.core.recorder: export: begins")
        assert written[1].endswith("; two\\nlines\\u001b[2J")

    def test_workers_inherit_the_level(self) -> None:
        logs.enable("debug")
        assert os.environ[environment.LOG.name] == "debug"

    def test_an_unknown_level_is_an_error_that_lists_the_levels(self) -> None:
        with pytest.raises(UsageError) as error:
            logs.enable("loud")
        assert (error.value.code, error.value.expected) == ("no-such-log-level", "debug, info, warning")

    def test_an_unknown_level_in_the_environment_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(environment.LOG.name, "loud")
        with pytest.raises(UsageError):
            logs.enable_from_environment()


def test_a_command_logs_only_to_standard_error(tmp_path: Path) -> None:
    plain, logged = tritonize("inspect", "no.pt"), tritonize("inspect", "no.pt", "--log", "debug")
    assert (logged.returncode, logged.stdout) == (plain.returncode, plain.stdout)
    done = tritonize("doctor", "--log", "info")
    assert "INFO tritonize.process" in done.stderr
    assert "INFO" not in done.stdout
