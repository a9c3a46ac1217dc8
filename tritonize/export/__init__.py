"""Export a PyTorch model to an ONNX file and compare the file with the baseline: `climb` tries one export strategy after another.

`ladder.py` has the loop over strategies, `exporter.py` runs one export, and `onnxruntime_check.py` runs one comparison. The code in
`worker/` calls the exporters and records where the model's code branches on data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.export.ladder import climb as climb
    from tritonize.export.proven import ProvenOnnx as ProvenOnnx

__all__ = ["ProvenOnnx", "climb"]

__getattr__ = lazy.attach(__name__, {"ProvenOnnx": "proven", "climb": "ladder"})
