"""Describe this machine for a report: system, processor and number of cores, without its name or a user's name."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_MOST = 64 * 1024
"""Characters read of `/proc/cpuinfo`; the first core is in them."""


def describe() -> str:
    """`Linux x86_64, AMD EPYC 7B13, 8 cores`; the processor is left out where the system does not name it."""
    cores = _cores()
    parts = [f"{platform.system()} {platform.machine()}".strip(), _processor(), f"{cores} core{'' if cores == 1 else 's'}"]
    return ", ".join(filter(None, parts))


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as file:
            found = _MODEL.search(file.read(_MOST))
    except OSError:
        return ""
    return " ".join(found[1].split()) if found else ""
