"""Messages about gates, noise floors and edge cases."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_THROUGHOUT = Message(
    code="float64-not-throughout",
    what="The model does not compute in {dtype} throughout.",
    cause="its code casts to a fixed type",
)
OTHER_TYPE = Message(code="float64-other-type", what="PyTorch in {dtype} returns this output as {found}")
NO_SUCH_OUTPUT = Message(code="float64-no-such-output", what="PyTorch in {dtype} does not return this output")
OTHER_SHAPE = Message(
    code="float64-other-shape", what="PyTorch in {dtype} returns shape {found} instead of {expected} for sample {sample}"
)
OTHER_ROWS = Message(
    code="float64-other-rows", what="PyTorch in {dtype} returns {alone} detections without a match for sample {sample}"
)
OTHER_NUMBERS = Message(code="float64-other-numbers", what="PyTorch in {dtype} returns other integers for sample {sample}")
NOT_FINITE = Message(
    code="float64-not-finite", what="PyTorch in {dtype} returns NaN or infinity for sample {sample} where float32 does not"
)
FAR = Message(
    code="float64-far",
    what=(
        "for sample {sample}, PyTorch's float64 and float32 outputs differ by up to {far:.2g}, {share:.0%} of the output's "
        "magnitude: the model computes something else in float64, or it is too ill-conditioned for float32"
    ),
)
NOT_A_MASK = Message(
    code="output-not-a-mask",
    what="The output cannot be a mask of kind {kind!r}.",
    cause="the spec declares a kind that does not fit the output",
    next_step="set outputs.<name>.kind in the spec to the kind that fits, or to values",
)
NOT_CLASS_SCORES = Message(
    code="output-not-class-scores",
    what="The output cannot hold class scores or a distribution: these are rows of numbers along the last axis.",
    cause="the spec declares a kind that does not fit the output",
    next_step="set outputs.<name>.kind in the spec to the kind that fits, or to values",
)
NOT_DETECTIONS = Message(
    code="output-not-detections",
    what="The output cannot be a set of detections.",
    cause="the spec declares a kind that does not fit the output",
    next_step="set outputs.<name>.kind in the spec to the kind that fits, or to values",
)
NOT_NUMBERS = Message(
    code="output-not-numbers",
    what="The output holds strings, which an output of kind {kind!r} cannot.",
    cause="the spec declares a kind that does not fit the output",
    next_step="set outputs.<name>.kind in the spec to values",
)
TOLERANCE = Message(
    code="tolerance-invalid",
    what="rtol and atol must be finite numbers from 0 up.",
    next_step="set outputs.<name>.tolerance in the spec to such numbers, for example {{rtol: 1e-3, atol: 1e-5}}",
)
SUMS_NOT_MEASURED = Message(
    code="sums-not-measured", what="The part of the error that comes from summation in ONNX Runtime could not be measured."
)
SUMS_BEYOND = Message(
    code="sums-beyond-rounding",
    what=(
        "{operator} {node} differs by {error:.2g} in float32 from the same node in float64; rounding of {terms:,} terms explains "
        "{bound:.2g}, so k does not allow for it"
    ),
)
SUMS = Message(
    code="sums-allowed",
    what=(
        "ONNX Runtime sums less precisely than PyTorch: {operator} {node} adds {terms:,} terms and differs by {error:.2g} in "
        "float32 from the same node in float64. Such sums ({count} nodes) change output {output} by up to {far:.2g}, which k "
        "allows for: with these sums in float64, k was {wide:.3g} instead of {k:.3g} when the file was exported (limit {limit:g})."
    ),
)
SIZES_BY_DATA = Message(
    code="sizes-by-data",
    what="The model is not batchable: the size of an output depends on the data, so two outputs do not fit in one batch.",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or pad the outputs to one size",
)
EDGES_DECIDED = Message(
    code="edge-cases-decided",
    what=(
        "Only edge cases failed: every drawn sample passed, and {names} did not. To skip an edge case, list the others in the "
        "spec: quality: {{edge_cases: [{others}]}}."
    ),
)
EDGE_ROUNDED = Message(
    code="edge-case-rounding", what="rounding alone changes output {output} by {far:.2g} in this edge case, more than its tolerance"
)
EDGE_SUMS = Message(
    code="edge-case-sums",
    what="summation in ONNX Runtime changes output {output} by {far:.2g} in this edge case, more than its tolerance",
)
EDGE_NUMBER = Message(
    code="edge-case-number", what="rounding alone changes the number of elements of output {output} in this edge case"
)
EDGE_TIES = Message(code="edge-case-ties", what="output {output} depends on the order of values that are tied in this edge case")
BOUND_COUNTS = Message(
    code="mismatch-bound-counts",
    what="The counts or the confidence of a mismatch bound are invalid.",
    next_step="pass 0 <= mismatched <= total and 0 < confidence < 1",
)
BOXES_DO_NOT_MATCH = Message(
    code="detection-rows-shapes",
    what="Boxes, scores and labels do not belong together.",
    next_step="pass one score and one label per box, and labels only with scores",
)
