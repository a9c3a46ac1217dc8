"""A server that writes no log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import server_models
from tritonize.process import processes
from tritonize.triton.server import embedded


@pytest.mark.server
def test_a_server_without_a_log_starts_and_reports_rejections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: the server starts, and reports rejected models over its own protocol."""
    start = processes.start

    def without_log(*arguments: Any, log: Path, **options: Any) -> processes.Process:
        process = start(*arguments, log=Path("/dev/null"), **options)
        log.touch()
        process.log = log
        return process

    monkeypatch.setattr(embedded.processes, "start", without_log)
    root = tmp_path / "repository"
    server_models.add_sub(server_models.write(root, "add_sub", server_models.ADD_SUB))
    with embedded.start(root, directory=tmp_path / "run") as running:
        assert running.identity["tritonserver"] == "2.51.0"
        assert running.log is not None
        assert running.log.read_text() == ""
