"""Messages about requests to a server and its responses."""

from __future__ import annotations

from tritonize.core.messages import Message

SERVER_UNREACHABLE = Message(
    code="server-unreachable",
    what="The server cannot be reached.",
    cause="it is not running, or it exited",
    next_step="read its log; `tritonize doctor` checks the embedded server",
)
SERVER_SILENT = Message(code="server-silent", what="The server did not send a complete response within {seconds:.4g} s.")
NOT_HTTP = Message(
    code="not-http",
    what="The server does not speak HTTP.",
    cause="the port belongs to another service, or to Triton's gRPC endpoint",
    next_step="check the port: Triton listens for HTTP on 8000 and for gRPC on 8001 by default",
)
TLS_FAILED = Message(
    code="tls-failed",
    what="The TLS connection to the server failed.",
    cause="this machine does not trust the server's certificate, or the port does not speak TLS",
)
NO_TRITON = Message(
    code="no-triton",
    what="The server at this address is not Triton.",
    cause="the address belongs to another service, or to a proxy that returns its own page",
    next_step="open the address in a browser to see which service responds",
)
HTTP_STATUS = Message(
    code="http-status",
    what="The server returned HTTP status {status} ({reason}).",
    cause="a proxy between this machine and Triton rejected the request",
)
RESPONSE_TOO_LARGE = Message(
    code="answer-too-large",
    what="The server's response is larger than any response to this request can be.",
    cause="the address belongs to another service, or the model returns an output of another shape",
)
RESPONSE_ENDED = Message(
    code="answer-ended-early",
    what="The connection closed before the response was complete.",
    cause="the server stopped, or a proxy closed the connection",
)
RESPONSE_INVALID = Message(
    code="answer-unsound",
    what="The server's response does not follow the KServe v2 inference protocol.",
    cause="the server is not Triton, or a proxy changes its responses",
)
OTHER_MODEL_RESPONDED = Message(
    code="other-model-answered",
    what="The response comes from another model or version than the request named.",
    cause="a proxy between this machine and Triton routes requests to another model",
)
MODEL_REFUSED = Message(code="request-refused", what="The server rejected a request to the model {model!r}.")
REFUSED = Message(code="request-refused-by-server", what="The server rejected a request.")
INPUTS_TOO_LARGE = Message(
    code="grpc-inputs-too-large",
    what="The inputs of {model!r} exceed the size limit of one gRPC message.",
    next_step="use the transport shm or http",
)
SHARED_MEMORY_FULL = Message(
    code="shared-memory-full",
    what="There is not enough shared memory for the tensors of a request.",
    next_step="enlarge it (in a container: docker run --shm-size=4g), or use the transport grpc",
)
ELEMENT_TYPE = Message(code="element-type", what="An input has an element type that Triton does not support.")
ADDRESS = Message(code="server-address", what="Invalid server address.")
TWO_ADDRESSES = Message(
    code="two-server-addresses", what="Two {scheme} addresses are given; tritonize verifies one server at a time."
)
COMMAND_DEADLINE = Message(
    code="command-deadline",
    what="The command did not finish within {seconds:g} s.",
    cause="the server or the model is slower than expected, or it hangs",
    next_step="raise the limit with --deadline SECONDS",
)
