"""What is said of the model that everything is compared with: its branches on data, its modes, what loading it changes."""

from __future__ import annotations

from tritonize.wording import Message

FROZEN_BRANCH = Message(
    code="frozen-branch",
    what="The export freezes a decision that the model takes on data, and every sample decides it alike.",
    cause=("the exporter traces one run: the file always takes the side that this run took, and no sample shows the other side"),
    next_step=(
        "give samples on both sides (samples.files, samples.function or a wider range of the inputs), or write it with torch.where "
        "or torch.cond; if no request ever takes the other side, accept_branches: [{sites}] in the spec"
    ),
)
BRANCH_ACCEPTED = Message(
    code="branch-accepted",
    what="The spec accepts the branch at {where}: the file always takes the side that all samples took ({seen}).",
)
BRANCH_FROZEN = Message(
    code="branch-frozen",
    what=(
        "The export freezes the decision at {where}, which the samples take in several ways ({seen}): a likely cause of the "
        "difference. Write it with torch.where or torch.cond."
    ),
)
BRANCH_NOT_TAKEN = Message(
    code="accepted-branch-not-frozen",
    what="accept_branches names {where}, where the export freezes no decision.",
)
BRANCHES_NOT_OBSERVABLE = Message(
    code="branches-not-observable",
    what=(
        "Branches on data are not observable: {source} is a traced file. Of each branch in the Python code it keeps the side that "
        "its example took, and nothing in it says where. To check branches, export the Python code (package.module:factory)."
    ),
)
