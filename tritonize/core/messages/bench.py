"""Messages about benchmarks."""

from __future__ import annotations

from tritonize.core.messages import Message

SEVERAL_MODELS = Message(
    code="bench-several-models",
    what="`tritonize bench` measures one model, and the repository has several.",
    next_step="name one with --model",
)
BATCH_TOO_LARGE = Message(
    code="bench-batch-too-large",
    what="A batch size of --batch is larger than the model's max_batch_size.",
    next_step="choose sizes from 1 to {largest}",
)
NO_BATCHES = Message(
    code="bench-no-batches",
    what="--batch does not apply to this model: its max_batch_size is 0.",
    next_step="remove --batch",
)
LOADS_CONTRADICT = Message(
    code="bench-concurrency-and-rate",
    what="--concurrency and --rate cannot be combined: a load is either a closed loop or an open one.",
    next_step="run `tritonize bench` once with each",
)
NUMBERS = Message(
    code="bench-numbers",
    what="{option} takes numbers with commas between them.",
    next_step="write numbers without spaces between them, such as 1,2,4",
)
NO_ADDRESS = Message(
    code="bench-no-address",
    what="--protocol {protocol} needs an address of that protocol, and none was given.",
    next_step="add --url {protocol}://HOST:PORT",
)
VERSION_CHANGED = Message(
    code="bench-version-changed",
    what="Files of the version changed after it was published, so it is not measured.",
    next_step="tritonize verify {repository} --model {model}",
)
NOT_STABLE = Message(
    code="bench-not-stable",
    what="~ Not stable: {loads}. The last three windows differ from their mean by more than 10 % in mean latency or in requests "
    "per second. Something else uses the machine, or the server cannot keep up; --window and --most-windows measure longer.",
)
LATE = Message(
    code="bench-late",
    what="At {load}, {share} of the requests were sent more than 5 ms after their time: all {clients} connections were in use, or "
    "this machine was busy. The waiting is part of their latency.",
)
NO_STATISTICS = Message(
    code="bench-no-statistics",
    what="Times inside the server: *not run*, because the server does not allow reading its statistics.",
)
NOTHING_EXECUTED = Message(
    code="bench-nothing-executed",
    what="At {load} the model ran for none of the requests: the responses came from a cache, so these are figures of the cache.",
)
FROM_CACHE = Message(
    code="bench-from-cache",
    what="At {load}, {hits:,} of {requests:,} responses came from the server's response cache.",
)
COMPARED_DURING = Message(
    code="bench-compared-during",
    what="At {load}, {count:,} responses were compared while the load ran, since too many different ones came to keep them. That "
    "takes time between requests.",
)
FEWER_REQUESTS = Message(
    code="bench-fewer-requests",
    what="At batch size {size}, {sent:,} of {all:,} different requests are sent: more would take too much memory.",
)
EXPORTED = Message(
    code="bench-exported",
    what="{count:,} of {all:,} samples are exported for perf_analyzer: {script}. It was not run by that.",
)
HEADERS_LEFT_OUT = Message(
    code="bench-headers-left-out",
    what="The headers of --header are not part of the command lines for perf_analyzer, since they may be secret.",
)
NO_PERF_ANALYZER = Message(
    code="bench-no-perf-analyzer",
    what="--perf-analyzer needs NVIDIA's perf_analyzer, which is not installed.",
    next_step="install it from https://github.com/triton-inference-server/perf_analyzer, or use --export-perf-analyzer DIR",
)
PERF_ANALYZER_PLACEHOLDER = Message(
    code="bench-perf-analyzer-placeholder",
    what="--perf-analyzer needs NVIDIA's perf_analyzer. The installed package perf-analyzer from PyPI is a placeholder without it.",
    next_step="install https://github.com/triton-inference-server/perf_analyzer; "
    "to remove the placeholder: pip uninstall perf-analyzer",
)
PERF_ANALYZER_FAILED = Message(
    code="bench-perf-analyzer-failed",
    what="perf_analyzer ended without results.",
    next_step="read its output in the lines below; `tritonize bench` without --perf-analyzer measures by itself",
)
PERF_ANALYZER_WITHOUT_URL = Message(
    code="bench-perf-analyzer-without-url",
    what="--perf-analyzer reads the server's statistics, which the embedded server gives to tritonize alone.",
    next_step="add --url with the address of a running server",
)
WRONG = Message(code="bench-wrong", what="{wrong:,} of {sent:,} responses are outside their tolerance")
ERRORS = Message(code="bench-errors", what="{errors:,} of {sent:,} requests got an error")
