"""What a search for nodes that have to stay in fp32 comes to."""

from __future__ import annotations

from tritonize.wording import Message

NOTHING_HELPS = Message(
    code="keep-fp32-nothing-helps",
    what="The gate fails in {precision} unless every node stays in fp32 ({trials} sets of nodes were tried). What is left is to "
    "widen the tolerance on purpose, or precision: fp32.",
)
NONE_FOUND = Message(
    code="keep-fp32-none-found",
    what="The gate fails in {precision}. No set of nodes to keep in fp32 was found in {trials} trials, after which the search "
    "stopped; `tritonize locate SPEC --write` tries up to 64 sets, or as many as --trials says.",
)
STATE_BETWEEN_CALLS = Message(
    code="locate-state",
    what=(
        "Every node of {found} answers its inputs as expected. The PyTorch model changed attributes of its own while it answered, "
        "and the file holds what they were in the run that was exported."
    ),
    next_step="compute them in __init__, or make them an input and an output of forward(), and export again",
)
