"""What the kernel of this machine gives this user to isolate workers with, tried in a process of its own."""

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
    """Try everything.

    Raises:
        MissingError: it cannot be tried.
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
    """Isolate every worker that this process starts from now on, as `--isolate` does; SECURITY.md says from what.

    Raises:
        MissingError: this machine lacks something for it.
    """
    isolation.switch_on(kernel())


class IsolationSupport(NamedTuple):
    """Whether this machine can isolate a process, and everything that it has for it in one line."""

    possible: bool
    text: str


def describe() -> IsolationSupport:
    """Whether this machine can isolate, and everything that it has for it in one line."""
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
