"""ONNX files: run one in ONNX Runtime (`runtime.py`), compare two (`graph_diff.py`), display one in Netron (`netron_page.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.onnx_model.runtime import OrtRun as OrtRun
    from tritonize.onnx_model.runtime import run as run
    from tritonize.onnx_model.runtime import run_within as run_within
    from tritonize.onnx_model.runtime import sensitivity as sensitivity
    from tritonize.onnx_model.runtime import sums as sums

__all__ = ["OrtRun", "run", "run_within", "sensitivity", "sums"]

__getattr__ = lazy.attach(
    __name__, {"OrtRun": "runtime", "run": "runtime", "run_within": "runtime", "sensitivity": "runtime", "sums": "runtime"}
)
