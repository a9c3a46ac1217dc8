"""Runs in another process namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tritonize import repository

PLACE = Path("models")


def test_a_run_in_another_process_namespace_counts_as_alive():
    """Process ids differ between namespaces, so a run holds a lock instead of recording its id."""
    code = "from pathlib import Path; from tritonize import repository as r\nwith r.staging(Path('models')): print(1); input()"
    unshared = ["unshare", "--pid", "--fork"] if os.getuid() == 0 and shutil.which("unshare") else []
    with subprocess.Popen([*unshared, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        (run,) = (entry for entry in Path(".models.staging").iterdir() if (entry / "alive").exists())
        with repository.staging(PLACE):
            assert run.is_dir()
        children = subprocess.run(["pgrep", "-P", str(other.pid)], capture_output=True, text=True).stdout.split()
        for pid in children or [other.pid]:
            os.kill(int(pid), signal.SIGKILL)
        other.wait()
    with repository.staging(PLACE):
        assert not run.exists()
    assert os.listdir() == ["home"]
