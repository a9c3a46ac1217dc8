"""Messages about sequences of stateful models."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_STATE_OUTPUT = Message(
    code="sequence-no-state-output",
    what="The model does not return {output!r}, which sequence_batching.state names as its next state.",
    next_step="list the model's outputs in their order under outputs, with this name for the state",
)
STATE_TYPE = Message(
    code="sequence-state-type",
    what="The model returns its state in {output!r} in another type than it takes it in {name!r}.",
    next_step="return the state in the type of its input; Triton would refuse it or read other values",
)
STATE_NOT_RESET = Message(
    code="sequence-state-not-reset",
    what="The output at the start of a sequence depends on a state that Triton does not initialize there: {states}.",
    cause="the model does not select its own initial state by the start control, or it multiplies the state by 0, which keeps NaN",
    next_step=(
        "add initial_state with zero_data: true to the state in triton.sequence_batching, or select it in the model: "
        "torch.where(start, initial, state)"
    ),
)
NEVER_CACHED = Message(
    code="sequence-never-cached",
    what="the model is stateful, and Triton has no response cache for sequences",
)
INTERLEAVED = Message(
    code="sequence-interleaved",
    what="{count} responses, {clients} sequences at a time; {changes} times the next response was of another sequence",
)
IDS_FIXED = Message(
    code="sequence-ids-fixed",
    what=(
        "The model takes the correlation id as an input, so the sequences were sent with the ids of their samples ({first} and "
        "following). A client that uses one of them at the same time would get wrong responses."
    ),
)
ONLY_VERIFIED = Message(
    code="sequence-only-verified",
    what="Answers and latency were not compared: the model is stateful, and `tritonize diff` sends no sequences.",
)
NOT_MEASURED = Message(
    code="sequence-not-measured",
    what="`tritonize bench` sends no sequences, and this model is stateful.",
    next_step="measure it with perf_analyzer and its option --sequence-length; `tritonize verify` compares its responses",
)
