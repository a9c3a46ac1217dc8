"""Messages about commands and workers that cannot start, fail or end early."""

from __future__ import annotations

from tritonize.core.messages import Message

COMMAND_MISSING = Message(
    code="command-missing",
    what="The command {command!r} does not exist or is not executable.",
    next_step="install it, or add its folder to PATH",
)
COMMAND_NOT_STARTED = Message(
    code="command-not-started",
    what="The command {command!r} could not be started.",
    next_step="check that the program exists and may be executed",
)
WORKER_ENDED = Message(
    code="worker-ended",
    what="The worker {how}.",
    next_step="if it needs more memory or time, raise memory_mib or deadline_s in the spec",
)
WORKER_RAISED = Message(code="worker-raised", what="{kind}: {text}")
WORKER_OUT_OF_MEMORY = Message(
    code="worker-out-of-memory",
    what="The worker ran out of memory.",
    next_step="lower max_batch_size or the axes' max, raise memory_mib in the spec, or use a machine with more memory",
)
