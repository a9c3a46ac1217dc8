"""The installed command, and where the checkout and the models of the tests lie."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tritonize import cli
from tritonize.process import isolation

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = Path(__file__).parent / "models"


def tritonize(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user does."""
    command = [str(Path(sys.executable).with_name("tritonize")), *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout, check=False
    )


def invoke(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same command line in this process, without the second that a start takes: exit code and texts are the same.

    What belongs to a process is not tested by it: the entry point, signals, what is printed below Python, and what an
    earlier command leaves in memory; `tritonize` starts one.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    log, code = logging.getLogger("tritonize"), 0
    handlers, level = list(log.handlers), log.level
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"COLUMNS": "80", **(env or {})}.items():
            patch.setenv(name, value)
        # Read at the start of an interpreter alone, so here by hand.
        patch.setattr(sys, "dont_write_bytecode", bool(os.environ.get("PYTHONDONTWRITEBYTECODE")))
        for name, value in (("argv", ["tritonize", *arguments]), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, value)
        patch.chdir(cwd or Path.cwd())
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            for number, handler in signals.items():
                signal.signal(number, handler)
            log.handlers[:], log.level = handlers, level
            isolation.switch_off()
    printed = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(["tritonize", *arguments], code, *printed)
