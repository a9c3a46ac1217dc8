"""Messages about ONNX files: finishing, running, comparing and displaying them."""

from __future__ import annotations

from tritonize.core.messages import Message

OPSET = Message(
    code="onnx-opset-differs",
    what="The exporter wrote a different opset than requested.",
    cause="the exporter could not convert the graph to the requested opset",
    next_step="set opset: {written} in the spec",
)
DATA_CUT_OFF = Message(
    code="external-data-cut-off",
    what="The ONNX file's external data is shorter than its tensors.",
    cause="the data file was copied or downloaded incompletely",
    next_step="copy the data file again, or save the model again",
)
RANDOM = Message(
    code="onnx-random-operators",
    what="The ONNX file draws random numbers, so its outputs cannot be compared.",
    cause="dropout or another random operator that stays active in evaluation mode",
    next_step="remove the random operator from forward(), or disable it outside training: F.dropout(x, training=self.training)",
)
INVALID = Message(
    code="onnx-invalid",
    what="The exported ONNX file is invalid.",
    cause="a fault of the exporter, or of a function that @tritonize.operator registers",
    next_step="try another exporter: strategies: [legacy] or [dynamo] in the spec",
)
NOT_A_TENSOR = Message(
    code="onnx-not-a-tensor",
    what="The ONNX {kind} {name!r} is not a tensor, and Triton serves only tensors.",
    cause="the model takes or returns a sequence, a mapping or an optional value",
    next_step="pass or return the elements as separate tensors",
)
NOT_SERVABLE = Message(
    code="onnx-type-not-servable",
    what="The ONNX {kind} {name!r} has an element type that Triton does not serve.",
    next_step="cast it inside the model to a type that Triton serves, such as float32 or int64",
)
NO_RANK = Message(
    code="onnx-no-rank",
    what="The ONNX {kind} {name!r} has no shape: its number of axes is unknown.",
    cause="the graph computes the shape from data, or ends in a custom operator without shape inference",
    next_step="reshape the tensor inside the model to a fixed number of axes",
)
RUNTIME_ENDED = Message(
    code="onnxruntime-ended",
    what="The process that runs the ONNX file in ONNX Runtime ended without outputs.",
    cause="ONNX Runtime hangs, crashes, or needs more memory than the limit",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
NOT_COMPARED = Message(
    code="onnx-graphs-not-compared",
    what="The graphs of the two ONNX files could not be compared.",
    cause="the worker process crashed, or needs more time or memory than the limit",
    next_step="raise memory_mib or deadline_s in the spec, or compare the outputs alone: tritonize check EXPECTED.onnx FOUND.onnx",
)
ROUNDING_NOT_MEASURED = Message(code="rounding-not-measured", what="The effect of rounding on the outputs could not be measured.")
NETRON_PAGE = Message(
    code="netron-page-unknown",
    what="tritonize does not support the page of the installed version of Netron.",
    next_step='pip install "netron>=9,<10"',
)
