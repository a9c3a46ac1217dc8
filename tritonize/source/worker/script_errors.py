"""What an error of PyTorch says, in one line, without TorchScript's own text of the model; inside a worker."""

from __future__ import annotations

import re
from pathlib import Path

_MARK = re.compile(r"^\s*~*\s*<--- HERE\s*$")
_SCRIPT = "Traceback of TorchScript"
_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)|^\s*(?P<traced>\S+)\((?P<number>\d+)\): ', re.MULTILINE)
_GPU = re.compile(
    r"not compiled with CUDA|No CUDA GPUs|NVIDIA driver|CUDA driver|libcuda|with arguments from the 'CUDA' backend|"
    r"CUDA.{0,20}not available|No HIP GPUs",
    re.IGNORECASE,
)


def last_lines(text: str, count: int = 3) -> str:
    """The end of a long message in one line: torch puts what matters last."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip() and not _MARK.match(line)]
    if _SCRIPT in text:  # above it lies TorchScript's text of the code
        lines = lines[-1:]
    return " / ".join(lines[-count:])


def place(text: str) -> str | None:
    """File and line of the user's code in an error of TorchScript, where the file keeps them."""
    if _SCRIPT not in text:
        return None
    found = [(each["file"] or each["traced"], each["line"] or each["number"]) for each in _PLACE.finditer(text)]
    own = [(file, line) for file, line in found if not file.startswith("code/") and "site-packages" not in file]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else None


def wants_gpu(text: str) -> bool:
    """Whether PyTorch says that there is no GPU."""
    return bool(_GPU.search(text))
