"""What is said of gates, noise floors and edge cases."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_THROUGHOUT = Message(
    code="float64-not-throughout",
    what="The model does not compute in {dtype} throughout.",
    cause="it casts to a type of its own inside",
)
OTHER_TYPE = Message(code="float64-other-type", what="PyTorch in {dtype} answers this output as {found}")
NO_SUCH_OUTPUT = Message(code="float64-no-such-output", what="PyTorch in {dtype} does not answer this output")
OTHER_SHAPE = Message(
    code="float64-other-shape", what="PyTorch in {dtype} answers sample {sample} in shape {found} instead of {expected}"
)
OTHER_ROWS = Message(
    code="float64-other-rows", what="PyTorch in {dtype} answers sample {sample} with {alone} detections that have no partner"
)
OTHER_NUMBERS = Message(code="float64-other-numbers", what="PyTorch in {dtype} answers sample {sample} with other whole numbers")
NOT_FINITE = Message(
    code="float64-not-finite", what="PyTorch in {dtype} answers sample {sample} with NaN or infinity where float32 does not"
)
FAR = Message(
    code="float64-far",
    what=(
        "PyTorch's float64 answer to sample {sample} is up to {far:.2g} from its float32 one, {share:.0%} of the output's size: "
        "in float64 the model computes something else, or no float32 answer of it means much"
    ),
)
SUMS_NOT_MEASURED = Message(
    code="sums-not-measured", what="How much of the error is ONNX Runtime's own sums could not be measured."
)
SUMS_BEYOND = Message(
    code="sums-beyond-rounding",
    what=(
        "{operator} {node} is {error:.2g} off in float32, measured against itself in float64; rounding of {terms:,} terms explains "
        "{bound:.2g}, so this is not allowed for"
    ),
)
SUMS = Message(
    code="sums-allowed",
    what=(
        "ONNX Runtime adds up less exactly than PyTorch: {operator} {node} adds {terms:,} terms and is {error:.2g} off in float32, "
        "measured against itself in float64. Such sums ({count} nodes) move output {output} by up to {far:.2g}, which is allowed "
        "for: in float64 they leave k at {wide:.3g} instead of {k:.3g}, and at most {limit:g} is allowed."
    ),
)
SIZES_BY_DATA = Message(
    code="sizes-by-data",
    what="The model is not batchable: the number of its answers depends on the data, so two of them do not lie in one batch.",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or pad the answers to one size",
)
EDGES_DECIDED = Message(
    code="edge-cases-decided",
    what=(
        "Edge cases alone decided: every drawn sample passed, and {names} did not. A spec leaves an edge case out by naming the "
        "others: quality: {{edge_cases: [{others}]}}."
    ),
)
EDGE_ROUNDED = Message(
    code="edge-case-rounding", what="rounding alone moves output {output} by {far:.2g} there, more than its tolerance"
)
EDGE_SUMS = Message(
    code="edge-case-sums", what="ONNX Runtime's own sums move output {output} by {far:.2g} there, more than its tolerance"
)
EDGE_NUMBER = Message(code="edge-case-number", what="rounding alone changes how many answers there are in output {output} there")
EDGE_TIES = Message(code="edge-case-ties", what="output {output} says which of several values comes first, and there they tie")
