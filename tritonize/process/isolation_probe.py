"""Find out in a separate process whether the kernel of this machine allows this user to isolate workers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import NamedTuple

from tritonize.core import temporary
from tritonize.core.errors import MissingError
from tritonize.core.messages import security
from tritonize.process import isolation, processes

_DEADLINE_S = 20.0


def kernel() -> isolation.Kernel:
    """Try each measure of isolation.

    Raises:
        MissingError: the test did not complete.
    """
    with temporary.folder() as folder:
        log = folder / "probe.log"
        command = [sys.executable, "-I", "-S", os.fspath(isolation.PROGRAM), "--probe"]
        with processes.start(command, log=log, deadline_s=_DEADLINE_S) as process:
            process.wait()
        lines = processes.log_tail(log)
        try:
            return isolation.Kernel(**json.loads(lines[-1]))
        except (ValueError, TypeError, IndexError) as error:
            raise MissingError.of(security.ISOLATION_UNKNOWN, details=lines) from error


def isolate() -> None:
    """Isolate every worker that this process starts from now on, as `--isolate` does; SECURITY.md describes the protection.

    Raises:
        MissingError: this machine lacks something that isolation requires.
    """
    isolation.switch_on(kernel())


class IsolationSupport(NamedTuple):
    """Whether this machine can isolate workers."""

    possible: bool
    text: str
    """What the machine supports and what it lacks, in one line."""


def describe() -> IsolationSupport:
    """Test whether this machine can isolate workers, for `tritonize doctor`."""
    try:
        found = kernel()
    except MissingError as error:
        return IsolationSupport(False, error.what)
    parts = [
        f"Landlock version {found.landlock}" if found.landlock else "no Landlock",
        f"no seccomp ({found.seccomp})" if found.seccomp else "seccomp",
        f"no user namespaces ({found.namespaces})" if found.namespaces else "user namespaces",
        "bubblewrap (not used)" if shutil.which("bwrap") else "no bubblewrap (not needed)",
    ]
    missing = found.missing()
    return IsolationSupport(not missing, ", ".join(parts) + (f"; missing: {'; '.join(missing)}" if missing else ""))
