"""Messages about the reduction of an ONNX file to float16 or bfloat16."""

from __future__ import annotations

from tritonize.core.messages import Message

CONVERSION_ENDED = Message(
    code="reduction-ended",
    what="The process that reduces the file to {precision} ended without a file.",
    cause="the process crashes, hangs, or needs more memory than the limit",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
OUT_OF_RANGE = Message(
    code="reduced-out-of-range",
    what="{name!r} has numbers that {dtype} cannot represent.",
    cause="half_io: true makes the inputs and outputs {dtype}",
    next_step="set half_io: false, so that inputs and outputs stay fp32",
)
KEEP_UNKNOWN = Message(
    code="keep-fp32-unknown",
    what="keep_fp32 names {kind}s that the exported graph does not have.",
    cause="a misspelled name, or one of a different export: names must match exactly",
    next_step="look the names up in evidence/node_map.json of a version; it lists all nodes with their operators and modules",
)
OPSET = Message(
    code="reduced-opset",
    what="The file cannot be converted to opset {opset}, which bfloat16 needs.",
    cause="onnx's version converter does not support an operator of the file",
    next_step="export with opset: {opset} in the spec",
)
INVALID = Message(
    code="reduced-invalid",
    what="The file in reduced precision is invalid.",
    cause="an operator of the file does not support the type, or a bug in tritonize",
    next_step="name the nodes or operators that `found` mentions in keep_fp32, and report the failure",
)
NOTHING_REDUCED = Message(
    code="nothing-reduced",
    what="No node can compute in {precision}: the whole file would stay in float32.",
    cause="keep_fp32 covers every node, or no operator of the file supports the type",
    next_step="name fewer nodes or operators in keep_fp32, or set precision: fp32",
)
