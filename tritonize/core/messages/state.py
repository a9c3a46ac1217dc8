"""What is said of a model's own parameters and buffers."""

from __future__ import annotations

from tritonize.core.messages import Message

UNINITIALIZED = Message(
    code="state-uninitialized",
    what="Parameter {name!r} of the model has no values yet: it is of a lazy module, which takes its shape from the first input.",
    cause="a lazy module, such as nn.LazyLinear, that was never called",
    next_step="call the model once on an example in the factory before it is returned, or load weights (weights in the spec)",
)
META = Message(
    code="state-meta",
    what="Parameter or buffer {name!r} of the model has a shape and no values: it is on the meta device.",
    cause="the model was built under torch.device('meta') or init_empty_weights(), and no weights were put in place",
    next_step="build it without the meta device, or call to_empty(device='cpu') and load its weights in the factory",
)
UNREADABLE = Message(
    code="state-unreadable",
    what="The values of parameter or buffer {name!r} of the model cannot be read.",
    cause="a kind of tensor that tritonize does not know; it compares the values between processes",
    next_step="replace it by an ordinary tensor before the model is returned or saved",
)
OUTPUT_TYPE = Message(
    code="output-type",
    what="An output of the model is a tensor of a kind that Triton cannot serve.",
    next_step="convert it in forward(): to_dense(), dequantize() or to(torch.float32)",
)
