"""Messages about a model's parameters, buffers and output types."""

from __future__ import annotations

from tritonize.core.messages import Message

UNINITIALIZED = Message(
    code="state-uninitialized",
    what="Parameter {name!r} of the model is uninitialized: its lazy module gets its shape from the first input.",
    cause="a lazy module, such as nn.LazyLinear, was never called",
    next_step="call the model once on an example before the factory returns it, or load weights (weights in the spec)",
)
META = Message(
    code="state-meta",
    what="Parameter or buffer {name!r} of the model has no values: it is on the meta device.",
    cause="the model was built under torch.device('meta') or init_empty_weights(), and no weights were loaded",
    next_step="build it without the meta device, or call to_empty(device='cpu') and load its weights in the factory",
)
UNREADABLE = Message(
    code="state-unreadable",
    what="The values of parameter or buffer {name!r} of the model cannot be read.",
    cause="it is a tensor subclass that tritonize does not support",
    next_step="replace it with an ordinary tensor before you return or save the model",
)
OUTPUT_TYPE = Message(
    code="output-type",
    what="An output of the model is a kind of tensor that Triton cannot serve.",
    next_step="convert it in forward(): to_dense(), dequantize() or to(torch.float32)",
)
