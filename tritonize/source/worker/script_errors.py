"""Shorten an error message of PyTorch to one line, without TorchScript's listing of the code; runs inside a worker."""

from __future__ import annotations

import re
from pathlib import Path

_MARK = re.compile(r"^\s*~*\s*<--- HERE\s*$")
_SCRIPT = "Traceback of TorchScript"
_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)|^\s*(?P<traced>\S+)\((?P<number>\d+)\): ', re.MULTILINE)
_GPU = re.compile(
    r"not compiled with CUDA|No CUDA GPUs|NVIDIA driver|CUDA driver|libcuda|with arguments from the 'CUDA' backend|"
    r"CUDA.{0,20}not available|No HIP GPUs",
    re.IGNORECASE,
)


def last_lines(text: str, count: int = 3) -> str:
    """The last lines of a message, joined into one: torch puts the reason last."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip() and not _MARK.match(line)]
    if _SCRIPT in text:  # the lines above the last one list TorchScript's form of the code
        lines = lines[-1:]
    return " / ".join(lines[-count:])


def user_line(text: str) -> str | None:
    """`file.py:line` of the user's code in an error of TorchScript; `None` if the model file does not store it."""
    if _SCRIPT not in text:
        return None
    lines = [(match["file"] or match["traced"], match["line"] or match["number"]) for match in _LINE.finditer(text)]
    users = [(file, line) for file, line in lines if not file.startswith("code/") and "site-packages" not in file]
    return f"{Path(users[-1][0]).name}:{users[-1][1]}" if users else None


def requires_gpu(text: str) -> bool:
    """Whether the message says that this machine has no GPU."""
    return bool(_GPU.search(text))
