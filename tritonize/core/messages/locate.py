"""Messages about the search for the node that an error comes from and for nodes that have to stay in fp32."""

from __future__ import annotations

from tritonize.core.messages import Message

NOTHING_HELPS = Message(
    code="keep-fp32-nothing-helps",
    what="The gate fails in {precision} unless every node stays in fp32 ({trials} sets of nodes were tried). Widen the tolerance "
    "on purpose, or set precision: fp32.",
)
NONE_FOUND = Message(
    code="keep-fp32-none-found",
    what="The gate fails in {precision}. The search stopped after {trials} trials without a set of nodes to keep in fp32; "
    "`tritonize locate SPEC --write` tries up to 64 sets, or --trials N.",
)
STATE_BETWEEN_CALLS = Message(
    code="locate-state",
    what=(
        "Every node of {found} computes the expected output from its inputs. The PyTorch model changes its own attributes in "
        "forward(), and the file holds their values from the exported run."
    ),
    next_step="compute them in __init__, or make them inputs and outputs of forward(), and export again",
)
