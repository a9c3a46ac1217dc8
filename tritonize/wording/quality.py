"""What is said of gates, noise floors and edge cases."""

from __future__ import annotations

from tritonize.wording import Message

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
