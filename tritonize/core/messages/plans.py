"""Messages about TensorRT plans."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_PLANS = Message(
    code="no-plans",
    what="A version with backend onnxruntime has no plan.",
    next_step="write backend: tensorrt, or tensorrt_rtx with target: {{compute_capabilities: [...]}}, in the spec",
)
