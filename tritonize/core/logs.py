"""Standard logging, off by default: one switch shows what tritonize does on standard error.

Every module logs to a child of the logger `tritonize`, so a program that uses the library configures it like any other.
On the command line the switch is `--log LEVEL` or the variable `TRITONIZE_LOG`, which worker processes inherit; their
lines are in the worker's own log.
"""

from __future__ import annotations

import logging
import os
import sys

from tritonize.core import environment, printable
from tritonize.core.errors import UsageError
from tritonize.core.messages import files

LEVELS = ("debug", "info", "warning")
"""`info`: processes, stages and cache entries. `debug`: each request to a server as well."""


class _OneLine(logging.Formatter):
    """Writes each record as one line, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable.line(super().format(record))


def logger(name: str) -> logging.Logger:
    """The logger of a module, by its `__name__`."""
    return logging.getLogger(name)


def enable(level: str) -> None:
    """Write records of this level and above to standard error, here and in every worker that starts from now on.

    Raises:
        UsageError: there is no such level.
    """
    if level not in LEVELS:
        raise UsageError.of(files.NO_SUCH_LEVEL, found=level, expected=", ".join(LEVELS))
    root = logging.getLogger("tritonize")
    root.setLevel(level.upper())
    if not any(isinstance(each.formatter, _OneLine) for each in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
    os.environ[environment.LOG.name] = level


def enable_from_environment() -> None:
    """Turn the log on if the variable `TRITONIZE_LOG` is set.

    Raises:
        UsageError: its value is not a level.
    """
    if level := environment.LOG.value():
        enable(level)
