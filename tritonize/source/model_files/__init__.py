"""Check a model file before PyTorch reads it, with only the standard library and without executing anything in the file.

Every worker that loads a TorchScript or torch.export file calls `require_safe` immediately before the load.
"""

from __future__ import annotations

from pathlib import Path

from tritonize.source.model_files import archive, program, script


def require_safe(kind: str, location: str) -> None:
    """Refuse a file if loading it, or running its model, could do more than arithmetic.

    Args:
        kind: the kind of an `artifacts.Source`; all but `torchscript` and `exported_program` are accepted, since PyTorch does
            not load them as files.
        location: the file.

    Raises:
        UsageError: the file contains something that tritonize refuses; `where` states the file, the member, and the line or JSON
            path in the member.
    """
    if kind not in ("torchscript", "exported_program"):
        return
    path = Path(location)
    with archive.opened(path) as opened:
        (script if kind == "torchscript" else program).check(opened)
