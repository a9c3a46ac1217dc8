"""Messages about decoupled models."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_ITERABLE = Message(
    code="decoupled-not-iterable",
    what="The function of the decoupled step does not yield its responses.",
    next_step="write yield instead of return, once for each response, or remove model_transaction_policy.decoupled",
)
NO_RESPONSE = Message(
    code="decoupled-no-response",
    what="The function of the decoupled step yields no response to sample {sample}, so nothing could be compared.",
    next_step="choose samples with at least one response each (samples.files, or the range of an input)",
)
ENDLESS = Message(
    code="decoupled-endless",
    what="The function of the decoupled step does not stop after {limit} responses.",
    next_step="let the function end, or choose samples with fewer responses",
)
STREAM_ONLY = Message(
    code="decoupled-stream-only",
    what="the model is decoupled, and Triton sends several responses over a gRPC stream alone",
)
NEVER_CACHED = Message(
    code="decoupled-never-cached", what="the model is decoupled, and Triton has no response cache for several responses"
)
COUNT = Message(code="decoupled-count", what="the server sent another number of responses to a request")
NO_FINAL = Message(code="decoupled-no-final", what="the server did not say which response to a request is the last one")
NOT_COMPARED = Message(
    code="decoupled-not-compared",
    what="Answers and latency were not compared: the model is decoupled, and `tritonize diff` compares one response to a request.",
)
NOT_MEASURED = Message(
    code="decoupled-not-measured",
    what="`tritonize bench` measures models with one response to a request, and this model is decoupled.",
    next_step="measure it with perf_analyzer and its option --streaming; `tritonize verify` compares its responses",
)
