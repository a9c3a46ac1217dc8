"""Starting the embedded server, and what it lets whom do."""

from __future__ import annotations

from tritonize.core.messages import Message

NOTHING_CAN_BE_HIDDEN = Message(
    code="server-key-not-hidden",
    what="This system does not allow tritonize to pass the server a key that other users cannot read.",
    cause="ptrace is not permitted: by a container's seccomp profile, kernel.yama.ptrace_scope above 1, or under strace -f",
    next_step="permit it (in a container: docker run --cap-add=SYS_PTRACE), or run tritonize outside the debugger",
)

NO_MODEL_NAME = Message(code="server-no-model-name", what="This is no name of a model.")

ENDED_EARLY = Message(
    code="server-ended-early",
    what="The server {how} before it was ready.",
    next_step="read its log; tritonize doctor looks at what it needs",
)
NOT_READY = Message(
    code="server-not-ready", what="The server was not ready within {seconds} s.", cause="a model that takes long to load"
)
NOT_ALIVE = Message(code="server-not-alive", what="The server could not begin to serve.")
NO_INDEX = Message(code="server-no-index", what="The server does not say which models it has loaded.")
MODEL_REFUSED = Message(
    code="server-model-refused",
    what="The server refused the model {model}.",
    next_step="correct the model or its config.pbtxt",
)
MODELS_REFUSED = Message(
    code="server-models-refused",
    what="The server refused {count} models.",
    next_step="correct the models or their config.pbtxt",
)
NO_GPU = Message(
    code="server-no-gpu",
    what="There is no GPU here to serve the plan of {models} on.",
    next_step="serve it on a machine with the plan's GPU; or ask its own server: tritonize verify --url http://host:8000",
)

SERVING = Message(code="serving", what="Serving {models} on http://{http} and grpc://{grpc}; Ctrl-C ends it.")
SERVING_KEY = Message(
    code="serving-key",
    what="Anyone on this machine can infer. Statistics, shared memory, the repository's index, trace and log settings take a key: "
    "curl -H @{key} http://{http}/v2/models/stats",
)

NOTHING_EXECUTED = Message(
    code="nothing-executed",
    what="the server counts no execution of the model for {answers} answers ({hits} came from its response cache), "
    "so they prove nothing of the files it serves",
)
ALL_FROM_CACHE = Message(
    code="all-from-cache",
    what="{hits} answers came from the server's response cache while these {answers} were given, so each of them may have, "
    "and they prove nothing of the files it serves",
)
CACHE_NOT_OBSERVABLE = Message(
    code="cache-not-observable",
    what="the model's response cache is on and the server keeps its statistics to itself, so cached answers cannot be told "
    "from computed ones",
)
STATISTICS_RESTRICTED = Message(code="statistics-restricted", what="the server keeps its statistics to itself")
OTHER_VERSION_BY_DEFAULT = Message(code="other-version-by-default", what="another version answers requests that name none")
PORT_TAKEN = Message(
    code="port-taken",
    what="This port cannot be used.",
    cause="another program listens there",
    next_step="name another port, or none: 0 takes a free one",
)
