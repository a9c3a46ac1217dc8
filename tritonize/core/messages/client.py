"""What is said about servers that are asked something, and about what they answer."""

from __future__ import annotations

from tritonize.core.messages import Message

SERVER_UNREACHABLE = Message(
    code="server-unreachable",
    what="The server cannot be reached.",
    cause="it is not running, or it ended",
    next_step="read its log; `tritonize doctor` checks the embedded server",
)
SERVER_SILENT = Message(code="server-silent", what="The server did not answer completely within {seconds:.4g} s.")
NOT_HTTP = Message(
    code="not-http",
    what="The server does not speak HTTP.",
    cause="the port belongs to another service, or to Triton's gRPC endpoint",
    next_step="check the port: Triton listens for HTTP on 8000 and for gRPC on 8001 by default",
)
TLS_FAILED = Message(
    code="tls-failed",
    what="The TLS connection to the server failed.",
    cause="the server's certificate is not trusted here, or the port does not speak TLS",
)
NO_TRITON = Message(
    code="no-triton",
    what="The server at this address is not Triton.",
    cause="the address belongs to another service, or to a proxy that answers with a page of its own",
    next_step="open the address in a browser to see which service answers",
)
HTTP_STATUS = Message(
    code="http-status",
    what="The server answered with HTTP status {status} ({reason}).",
    cause="something between here and Triton refused the request",
)
ANSWER_TOO_LARGE = Message(
    code="answer-too-large",
    what="The server sent more bytes than the request can have as its answer.",
    cause="the address belongs to another service, or the model answers with another shape",
)
ANSWER_ENDED = Message(
    code="answer-ended-early",
    what="The connection ended before the answer was complete.",
    cause="the server stopped, or something between here and it closed the connection",
)
ANSWER_UNSOUND = Message(
    code="answer-unsound",
    what="The server's answer breaks the inference protocol.",
    cause="the server is not Triton, or something between here and it changes answers",
)
OTHER_ANSWERED = Message(
    code="other-model-answered",
    what="Another model or version answered than the request named.",
    cause="something between here and Triton sends requests elsewhere",
)
MODEL_REFUSED = Message(code="request-refused", what="The server refused a request to the model {model!r}.")
REFUSED = Message(code="request-refused-by-server", what="The server refused a request.")
INPUTS_TOO_LARGE = Message(
    code="grpc-inputs-too-large",
    what="The inputs of {model!r} are too large for one gRPC message.",
    next_step="use the transport shm or http",
)
ELEMENT_TYPE = Message(code="element-type", what="An input has an element type that Triton does not have.")
ADDRESS = Message(code="server-address", what="Invalid server address.")
TWO_ADDRESSES = Message(
    code="two-server-addresses", what="Two {scheme} addresses are given; tritonize verifies one server at a time."
)
COMMAND_DEADLINE = Message(
    code="command-deadline",
    what="The command did not finish within {seconds:g} s.",
    cause="the server or the model is slower than expected, or it hangs",
    next_step="give it more time with --deadline SECONDS",
)
