"""What is checked of a model file before PyTorch may read it; standard library alone, nothing of the file is executed.

`require_safe` is called by every worker that loads a TorchScript or torch.export file, immediately before the load.
"""

from __future__ import annotations

from pathlib import Path

from tritonize.source.model_files import archive, program, script


def require_safe(kind: str, location: str) -> None:
    """Refuse a file whose load, or whose model, would do more than arithmetic.

    Args:
        kind: of `artifacts.Source`; only `torchscript` and `exported_program` are files that PyTorch loads.

    Raises:
        UsageError: the file holds something that is refused; `where` names the file, and the member and line or JSON path in it.
    """
    if kind not in ("torchscript", "exported_program"):
        return
    path = Path(location)
    with archive.opened(path) as opened:
        (script if kind == "torchscript" else program).check(opened)
