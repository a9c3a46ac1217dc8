"""Messages about requests to a server and its responses."""

from __future__ import annotations

from tritonize.core.messages import Message

SERVER_UNREACHABLE = Message(
    code="server-unreachable",
    what="The server cannot be reached.",
    cause="it is not running, or it exited",
    next_step="read its log; `tritonize doctor` checks the embedded server",
)
SERVER_SILENT = Message(
    code="server-silent",
    what="The server did not send a complete response within {seconds:.4g} s.",
    next_step="read the server's log; a slow model needs more time: --deadline",
)
NOT_HTTP = Message(
    code="not-http",
    what="The server does not speak HTTP.",
    cause="the port belongs to another service, or to Triton's gRPC endpoint",
    next_step="check the port: Triton listens for HTTP on 8000 and for gRPC on 8001 by default",
)
TLS_FAILED = Message(
    code="tls-failed",
    what="The TLS connection to the server failed.",
    cause="the port does not speak TLS, or the two sides share no TLS version",
    next_step="without TLS, use http:// or grpc://",
)
CERTIFICATE_REJECTED = Message(
    code="certificate-rejected",
    what="This machine does not accept the server's certificate.",
    cause="an authority that this machine does not know signed it, it has expired, or it is for another name",
    next_step="give the authority's certificate with --ca FILE, or the name that the certificate is for with --url",
)
CLIENT_CERTIFICATE = Message(
    code="client-certificate",
    what="The server does not accept this client's certificate.",
    cause="the server requires a client certificate, and none was given or another authority signed it",
    next_step="give one with --cert FILE and --key FILE",
)
TLS_FILE = Message(
    code="tls-file",
    what="A file of {option} cannot be used.",
    cause="it does not exist, is not in PEM form, its key has a password, or certificate and key do not belong together",
    next_step="check it with `openssl x509 -noout -text -in FILE`, or `openssl pkey -noout -in FILE` for a key",
)
TLS_ON_PLAIN_PORT = Message(
    code="tls-on-plain-port",
    what="The address has TLS, and the port does not: it speaks {protocol} without TLS.",
    next_step="use --url {address}",
)
PLAIN_ON_TLS_PORT = Message(
    code="plain-on-tls-port",
    what="The port speaks TLS, and the address does not.",
    next_step="use --url {address}",
)
SWAPPED_PORT = Message(
    code="swapped-port",
    what="The port speaks {found_protocol}, and the address is for {protocol}.",
    cause="the ports of HTTP and gRPC are swapped: Triton listens for HTTP on 8000 and for gRPC on 8001 by default",
    next_step="use --url {address}",
)
NO_HTTP2 = Message(
    code="no-http2",
    what="The TLS endpoint does not offer HTTP/2, which gRPC needs.",
    cause="a proxy or load balancer in front of Triton speaks HTTP/1.1 only on this port",
    next_step="enable HTTP/2 there (ALPN h2), or verify over HTTP: --url {address}",
)
OTHER_PROTOCOL = Message(
    code="other-protocol",
    what="The port speaks neither HTTP nor gRPC.",
    cause="the port belongs to another service",
    next_step="check the port: Triton listens for HTTP on 8000 and for gRPC on 8001 by default",
)
RESTRICTED_VERSION = Message(code="server-version-restricted", what="(its version is restricted)")
NO_TRITON = Message(
    code="no-triton",
    what="The server at this address is not Triton.",
    cause="the address belongs to another service, or to a proxy that returns its own page",
    next_step="open the address in a browser to see which service responds",
)
HTTP_STATUS = Message(
    code="http-status",
    what="The server returned {status}.",
    cause="a proxy between this machine and Triton rejected the request",
    next_step="send the requests to Triton itself, without the proxy",
)
REDIRECTED = Message(
    code="redirected",
    what="The server returned {status}, a redirect to {target}. tritonize does not follow redirects.",
    cause="the server moved, wants https, or sends clients without credentials to a page for signing in",
    next_step="if you trust the target, give its address with --url",
)
UNAUTHORIZED = Message(
    code="http-unauthorized",
    what="The server requires credentials: it returned {status}.",
    cause="no credentials were sent, or they are wrong or expired",
    next_step="give them with --header authorization=@env:VARIABLE, or as https://user:password@host",
)
FORBIDDEN = Message(
    code="http-forbidden",
    what="The server does not allow the request: it returned {status}.",
    cause="the credentials lack a permission, or a proxy does not allow this client, path or method",
    next_step="ask whoever runs the server which header or client it allows; --header NAME=@env:VARIABLE sends one",
)
NOT_FOUND = Message(
    code="http-not-found",
    what="The server has nothing at this path: it returned {status}.",
    cause="the path prefix of the address is wrong or missing, or the proxy routes by another host name",
    next_step="give the prefix that the proxy routes to Triton: --url https://HOST/PREFIX",
)
REQUEST_TOO_LARGE = Message(
    code="http-too-large",
    what="The server rejects a request of this size: it returned {status}.",
    cause="a proxy between this machine and Triton limits the size of requests (nginx: client_max_body_size, 1 MiB by default)",
    next_step="raise the limit of the proxy, or send smaller requests with --compression gzip",
)
TOO_MANY_REQUESTS = Message(
    code="http-too-many-requests",
    what="The server limits the rate of requests: it returned {status}.",
    cause="a proxy between this machine and Triton limits requests per client",
    next_step="verify later, or through an address without the limit",
)
BAD_GATEWAY = Message(
    code="http-bad-gateway",
    what="The proxy got no valid response from Triton: it returned {status}.",
    cause="Triton is not running, or the proxy speaks to a wrong port of it (8000 is for HTTP, 8001 for gRPC)",
    next_step="check Triton behind the proxy: curl http://TRITON:8000/v2/health/ready",
)
UNAVAILABLE = Message(
    code="http-unavailable",
    what="The server is not available now: it returned {status}.",
    cause="Triton is starting or stopping, or the proxy has no healthy server behind it",
    next_step="wait for it with --wait SECONDS",
)
GATEWAY_TIMEOUT = Message(
    code="http-gateway-timeout",
    what="The proxy did not get a response from Triton in time: it returned {status}.",
    cause="the model takes longer than the proxy waits, or Triton hangs",
    next_step="raise the timeout of the proxy",
)
MESSAGE_TOO_LARGE = Message(
    code="message-too-large",
    what="A request to {model!r} is larger than --max-message-size.",
    next_step="raise --max-message-size",
)
RESPONSE_TOO_LARGE = Message(
    code="answer-too-large",
    what="The server's response is larger than any response to this request can be.",
    cause="the address belongs to another service, or the model returns an output of another shape",
    next_step="check that the address is Triton's: curl http://HOST:8000/v2",
)
RESPONSE_ENDED = Message(
    code="answer-ended-early",
    what="The connection closed before the response was complete.",
    cause="the server stopped, or a proxy closed the connection",
    next_step="read the server's log, and try again",
)
RESPONSE_INVALID = Message(
    code="answer-unsound",
    what="The server's response does not follow the KServe v2 inference protocol.",
    cause="the server is not Triton, or a proxy changes its responses",
    next_step="check that the address is Triton's: curl http://HOST:8000/v2",
)
OTHER_MODEL_RESPONDED = Message(
    code="other-model-answered",
    what="The response comes from another model or version than the request named.",
    cause="a proxy between this machine and Triton routes requests to another model",
    next_step="send the requests to Triton itself, without the proxy",
)
MODEL_NOT_READY = Message(
    code="model-not-ready",
    what="{model} version {version} did not become ready within {seconds:g} s (--wait).",
    cause="{cause}",
    next_step="{next_step}",
)
MODEL_REFUSED = Message(
    code="request-refused",
    what="The server rejected a request to the model {model!r}.",
    next_step="read the server's log",
)
REFUSED = Message(
    code="request-refused-by-server",
    what="The server rejected a request.",
    next_step="read the server's log",
)
FILES_TOO_LARGE = Message(
    code="grpc-files-too-large",
    what="The files of a model exceed the size limit of one gRPC message.",
    next_step="send the files over HTTP (--server http://host:8000), or use a server that shares a folder (--server-repository)",
)
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
ADDRESS = Message(
    code="server-address",
    what="Invalid server address.",
    next_step="write http://host:8000, grpc://host:8001, https://host or grpcs://host",
)
GRPC_PATH = Message(
    code="grpc-path",
    what="An address for gRPC has no path.",
    cause="the path of a gRPC request is the name of its method, so a proxy routes gRPC by host name or port",
    next_step="give host name and port of gRPC, and the path for HTTP only: --url {address}",
)
HEADER_FORM = Message(
    code="header-form",
    what="A header is invalid: {name}.",
    cause="{reason}",
    next_step="give NAME=VALUE, or NAME=@env:VARIABLE with the value in an environment variable",
)
OPTION_WITHOUT_URL = Message(
    code="option-without-url",
    what="{options} is for a running server, and no address is given.",
    next_step="add --url https://HOST; for `tritonize run`: --server https://HOST",
)
OPTION_WITHOUT_TLS = Message(
    code="option-without-tls",
    what="{options} is for TLS, and no address has TLS.",
    next_step="use https:// or grpcs:// in --url",
)
OPTIONS_CONTRADICT = Message(
    code="connection-options-contradict",
    what="{options} cannot be given together.",
    cause="--insecure accepts any certificate, so --ca would have no effect; --key is the key of --cert",
    next_step="remove one of them",
)
INSECURE = Message(
    code="certificate-not-checked",
    what="The server's certificate was not checked (--insecure): whoever controls the network could have responded in its place.",
)
SENT_IN_CLEAR = Message(
    code="credentials-in-clear",
    what="Credentials or other headers were sent to {host} without TLS: whoever controls the network could have read them.",
)
TWO_ADDRESSES = Message(
    code="two-server-addresses",
    what="Two {scheme} addresses are given; tritonize verifies one server at a time.",
    next_step="pass one address of each protocol; for replicas, verify one after the other",
)
COMMAND_DEADLINE = Message(
    code="command-deadline",
    what="The command did not finish within {seconds:g} s.",
    cause="the server or the model is slower than expected, or it hangs",
    next_step="raise the limit with --deadline SECONDS",
)
