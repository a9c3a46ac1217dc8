"""A disk that is soon full."""

from __future__ import annotations

import subprocess
from pathlib import Path


def mounted(folder: Path, size: str) -> bool:
    """Whether a small filesystem could be mounted there, which takes rights that not everybody has."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False)
    return done.returncode == 0
