"""Lint and render a written Helm chart with the `helm` on PATH; without one the chart is *not rendered*."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tritonize.core import temporary
from tritonize.core.errors import MissingError
from tritonize.core.messages import deploy as wording
from tritonize.process import processes

_DEADLINE_S = 120.0


def render(chart: Path, name: str) -> str:
    """Lint and render a chart; return what was done, in one sentence.

    Raises:
        MissingError: helm refuses the chart.
    """
    if shutil.which("helm") is None:
        return wording.HELM_MISSING.text()
    _run("lint", chart, name="")
    return wording.HELM_RENDERED.text(count=_run("template", chart, name=name).count("\nkind: "))


def _run(command: str, chart: Path, *, name: str) -> str:
    """Run helm, which finds nothing of the user's; return its output."""
    with temporary.folder() as folder:
        log = folder / "helm.log"
        homes = {f"HELM_{kind}_HOME": str(folder) for kind in ("CACHE", "CONFIG", "DATA")}
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), **homes}
        argv = ["helm", command, *([name] if name else []), str(chart)]
        with processes.start(argv, log=log, env=environment, deadline_s=_DEADLINE_S) as helm:
            ended = helm.wait()
        if ended.exit_code != 0:
            raise MissingError.of(wording.HELM_FAILED, found=ended.describe(), details=processes.log_tail(log), command=command)
        return log.read_text(encoding="utf-8", errors="replace")
