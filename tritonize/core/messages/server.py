"""Messages about starting the embedded server and access to it.

Longer than 300 lines: a list of the texts of one capability, a few lines each.
"""

from __future__ import annotations

from tritonize.core.messages import Message

NOTHING_CAN_BE_HIDDEN = Message(
    code="server-key-not-hidden",
    what="tritonize cannot pass the server a key that other users cannot read.",
    cause="ptrace is not permitted: by a container's seccomp profile, by kernel.yama.ptrace_scope above 1, or under strace -f",
    next_step="permit ptrace (in a container: docker run --cap-add=SYS_PTRACE), or run tritonize outside the debugger",
)

NO_MODEL_NAME = Message(
    code="server-no-model-name",
    what="Invalid model name.",
    next_step="rename the folder: only ASCII letters, digits, '_' and '-' are allowed",
)

PREREQUISITE_MISSING = Message(
    code="server-prerequisite-missing",
    what="The embedded server cannot run on this machine: a prerequisite is missing.",
    next_step="{next_step}",
)
NATIVE_BACKEND_MISSING = Message(
    code="server-native-backend-missing",
    what="tritonize is installed without its backend for ONNX models, which the embedded server needs.",
    cause="tritonize was installed without a build: in a checkout, or on another platform",
    next_step="in a checkout, run `pip install -e .`; elsewhere: pip install --force-reinstall --no-deps tritonize",
)
ONNXRUNTIME_LIBRARY_MISSING = Message(
    code="server-onnxruntime-library-missing",
    what="The embedded server does not find the library of ONNX Runtime, which the package onnxruntime contains.",
    next_step='pip install --force-reinstall "onnxruntime>=1.23"',
)
ONNXRUNTIME_UNUSABLE = Message(
    code="server-onnxruntime-unusable",
    what="The embedded server cannot use the installed ONNX Runtime.",
    next_step='install another version, such as: pip install "onnxruntime==1.32.0"',
)
NO_SERVER = Message(
    code="server-none-possible",
    what="No Triton server can be started on this machine, in none of the three ways.",
    next_step="{next_step}",
)
NO_BINARY = Message(
    code="server-no-binary",
    what="There is no tritonserver on PATH.",
    cause="only NVIDIA's images contain one: run tritonize inside such a container, with `pip install tritonize`",
    next_step="use --server embedded, which tritonize installs by itself",
)
BINARY_TOO_OLD = Message(
    code="server-binary-too-old",
    what="The tritonserver on PATH lacks options that tritonize needs.",
    cause="it is older than the restriction of single APIs, or it does not start",
    next_step="use a newer image, or --server embedded",
)
NO_DOCKER = Message(
    code="server-no-docker",
    what="docker cannot be used.",
    next_step="install docker and let this user call it, so that `docker version` names a server; or use --server embedded",
)
INSTALL_FAILED = Message(
    code="server-install-failed",
    what="The embedded server is not installed, and tritonize could not {step}.",
    next_step="read the lines below, correct the cause, then run: tritonize doctor --install-server",
)
INDEX_UNREACHABLE = Message(
    code="server-index-unreachable",
    what="The embedded server is not installed, and tritonize could not {step}.",
    cause="no package index can be reached",
    next_step="with a package index, run: tritonize doctor --install-server",
)
MODEL_SILENT = Message(
    code="server-model-silent",
    what="The model {model!r} is loaded but fails its first request.",
    next_step="read the server's log; correct the model or its config.pbtxt",
)
MODEL_UNANSWERED = Message(
    code="server-model-unanswered",
    what="The model {model!r} is loaded but does not answer its first request.",
    cause="a loop of the model that does not end, or a model that is slower than expected",
    next_step="run the model in ONNX Runtime alone; correct the model",
)
MODEL_DIED = Message(
    code="server-model-died",
    what="The model {model!r} is loaded but fails its first request.",
    cause="its process in the server has died",
    next_step="read the server's log; correct the model or its config.pbtxt",
)
CONFIG_INVALID = Message(
    code="model-config-invalid",
    what="Invalid model configuration.",
    next_step="correct the line and column that the error names",
)
TEMPLATE_DIFFERS = Message(
    code="model-config-template-differs",
    what="The configuration that the template renders differs from the spec.",
    next_step="write name and max_batch_size in the template with {{{{ name }}}} and {{{{ max_batch_size }}}}",
)
OWN_CONFIG_DIFFERS = Message(
    code="model-config-own-differs",
    what="The spec's own configuration contradicts the model.",
    next_step="correct the file, or remove `config` from the spec to have the configuration written",
)
OWN_CONFIG_UNREADABLE = Message(
    code="model-config-own-unreadable",
    what="The spec's own configuration cannot be read.",
    next_step="correct config in the spec; the path is relative to the spec's folder",
)
NO_REPOSITORY = Message(
    code="server-no-repository",
    what="There is no such model repository.",
    next_step="check the path; to create it and publish a model into it: tritonize run MODEL --repository {repository}",
)
SERVER_ENDED = Message(code="server-ended", what="The server {how}.", next_step="read its log")
SERVER_CRASHED = Message(
    code="server-crashed",
    what="The server {how} while it served {models}.",
    cause="a model crashed: ONNX Runtime and operators run in the server's process",
    next_step="read the server's log; run the model alone with `tritonize check`, in a process of its own",
)
SERVER_RESTARTS = Message(
    code="server-restarts", what="{why} Restarting in {pause} s (crash {count}; tritonize gives up at {limit} in a row)."
)
SERVER_GIVEN_UP = Message(
    code="server-given-up",
    what="The server ended by itself {count} times in a row and is not started again.",
    cause="a model crashes: ONNX Runtime and operators run in the server's process",
    next_step="read the server's log; run each model alone with `tritonize check`, in a process of its own",
)
ADDRESS_NOT_OURS = Message(
    code="server-address-not-ours",
    what="The server cannot listen on this address: no network of this machine has it.",
    next_step="choose an address that `hostname -I` prints, 127.0.0.1 for this machine alone, or 0.0.0.0 for every network",
)
ADDRESS_INVALID = Message(
    code="server-bind-address-invalid",
    what="Invalid address to listen on.",
    next_step="write an IPv4 address, such as --bind 127.0.0.1 or --bind 0.0.0.0",
)
SERVING_TO_OTHERS = Message(
    code="serving-to-others",
    what="WARNING: every machine that reaches {address} can send inference requests, without a password and without TLS. "
    "Control calls need the key, which travels unencrypted: put a proxy with TLS in front.",
)
PROVEN_BY = Message(
    code="server-proven-by",
    what="Triton {version} responded with its own backends ({program}); the embedded server did not run.",
)
KEY_VISIBLE = Message(
    code="serving-key-visible",
    what="Warning: every user of this machine can read the server's key in the list of processes: only the command line of the "
    "embedded server, and of a tritonserver that is no script, can be hidden.",
)
SERVING_METRICS = Message(code="serving-metrics", what="Metrics for Prometheus: curl http://{metrics}/metrics")
SERVING_CONTROL = Message(
    code="serving-control",
    what="Models can be unloaded and loaded with the key: curl -X POST -H @{key} http://{http}/v2/repository/models/{model}/unload",
)
PORTS_EQUAL = Message(
    code="server-ports-equal",
    what="{first} and {second} cannot listen on the same port, {port}.",
    next_step="give each its own port, or 0 for any free one: --http-port 8000 --grpc-port 8001",
)
PORT_IN_USE = Message(
    code="server-port-in-use",
    what="The {protocol} port {port} cannot be used.",
    cause="another server listens there",
    next_step="choose another port; 0 selects a free one: --http-port 0 --grpc-port 0",
)
PORT_UNUSABLE = Message(
    code="server-port-unusable",
    what="The {protocol} port {port} cannot be used.",
    next_step="choose another port; 0 selects a free one: --http-port 0 --grpc-port 0",
)
PORTS_IN_USE = Message(
    code="server-ports-in-use",
    what="The server could not listen on its ports.",
    cause="another program took them while the server started",
    next_step="choose other ports, or let the system choose: --http-port 0 --grpc-port 0",
)
ENDED_EARLY = Message(
    code="server-ended-early",
    what="The server {how} before it was ready.",
    next_step="read its log; `tritonize doctor` checks what the server needs",
)
NOT_READY = Message(
    code="server-not-ready",
    what="The server was not ready within {seconds} s.",
    cause="a model takes long to load",
    next_step="read the server's log",
)
NOT_ALIVE = Message(
    code="server-not-alive",
    what="The server started but does not accept requests.",
    next_step="read the server's log; `tritonize doctor` checks the embedded server",
)
NO_INDEX = Message(
    code="server-no-index",
    what="The server does not return its index of loaded models.",
    next_step="open the model-repository API of the server, or name the model with --model",
)
MODEL_NOT_LOADED = Message(
    code="server-model-refused",
    what="The server could not load the model {model}.",
    cause="{cause}",
    next_step="{next_step}",
)
MODELS_NOT_LOADED = Message(
    code="server-models-refused",
    what="The server could not load {count} models.",
    cause="{cause}",
    next_step="{next_step}",
)
NO_GPU = Message(
    code="server-no-gpu",
    what="This machine has no GPU to serve the plan of {models}.",
    next_step="serve it on a machine with the plan's GPU; or verify a running server: tritonize verify --url http://host:8000",
)

SERVED_WITHOUT = Message(code="server-served-without", what="{model} is served without a part of its configuration, {field}")
SERVING = Message(code="serving", what="Serving {models} on http://{http} and grpc://{grpc}. Press Ctrl-C to stop.")
SERVING_AGAIN = Message(code="serving-again", what="Serving again on http://{http}; the key in {key} is a new one.")
SERVING_KEY = Message(
    code="serving-key",
    what="Anyone on this machine can send inference requests. Statistics, shared memory, the repository index, trace and log "
    "settings require a key: curl -H @{key} http://{http}/v2/models/stats",
)

NOTHING_EXECUTED = Message(
    code="nothing-executed",
    what="the server counts no execution of the model for {answers} responses ({hits} came from its response cache), "
    "so they do not verify the served files",
)
ALL_FROM_CACHE = Message(
    code="all-from-cache",
    what="{hits} responses came from the server's response cache during these {answers} requests, so each of them may be cached, "
    "and they do not verify the served files",
)
CACHE_NOT_OBSERVABLE = Message(
    code="cache-not-observable",
    what="the model's response cache is on and the server does not return its statistics, so cached responses cannot be "
    "distinguished from computed ones",
)
NEW_SAMPLES_SENT = Message(code="new-samples-sent", what="{count} responses over {over}; {origin}; seed {seed}")
NEW_SAMPLES_DRAWN = Message(
    code="new-samples-drawn", what="samples drawn now, compared with the published ONNX file in ONNX Runtime"
)
CLASSES_IMPOSSIBLE = Message(
    code="classes-impossible", what="Triton returns no classes of the type of the outputs that have labels: {types}"
)
CLASSES_COMPARED = Message(code="classes-compared", what="{count} classes of {outputs}")
CLASSES_SHAPE = Message(code="classes-shape", what="{found} instead of {expected}")
CLASS_INVALID = Message(code="class-invalid", what="{found} is not value:index:label, or repeats an index")
CLASS_DIFFERS = Message(code="class-differs", what="{found} instead of {expected} at rank {rank}")
LABELS_UNREADABLE = Message(
    code="served-labels-unreadable",
    what="The label file of output {output!r} cannot be read.",
    next_step="publish the model again: tritonize run SPEC --force",
)
RAGGED_NOT_JOINED = Message(
    code="ragged-not-joined",
    what="no batch of several requests ran, so the ragged inputs ({inputs}) were not tested together; raise "
    "dynamic_batching.max_queue_delay_microseconds",
)
NEW_SAMPLES_CHANGED = Message(code="new-samples-changed", what="samples of the version with small changes ({why})")
NEW_SAMPLES_IMPOSSIBLE = Message(
    code="new-samples-impossible",
    what="no request that was never sent before can be made of these samples without a reference: {why}",
)
STATISTICS_RESTRICTED = Message(code="statistics-restricted", what="the server does not return its statistics")
OTHER_VERSION_BY_DEFAULT = Message(code="other-version-by-default", what="requests without a version number reach another version")
WRONG_BY_DEFAULT = Message(
    code="wrong-by-default", what="the response to a request without a version number has other outputs than the version"
)
OTHER_VERSIONS_SERVED = Message(
    code="other-versions-served", what="the server serves other versions than the repository with its version_policy"
)
VERSION_NOT_LOADED = Message(code="version-not-loaded", what="the server does not serve this version")
ANOTHER_BY_DEFAULT = Message(
    code="another-by-default",
    what="Version {version} was chosen by its number. Requests without a version number reach version {other}, which this "
    "verification did not compare.",
)
DEPLOYED_WITH_ANOTHER = Message(
    code="deployed-with-another-config",
    what="The server runs version {version} with the published configuration, which replaced the one that the version was proven "
    "with ({fields}). The outputs were compared under the published one.",
)
API_RESTRICTED = Message(code="server-api-restricted", what="{why} (to open it: --header NAME=VALUE)")
API_UNREAD = Message(code="server-api-unread", what="the server does not return it: {why}")
PORT_TAKEN = Message(
    code="port-taken",
    what="The port cannot be used.",
    cause="another program listens on it",
    next_step="use another port, or 0 for any free port",
)
REPLICA_DIFFERS = Message(
    code="replica-differs",
    what="The replica {replica} differs from the others: its {name} is {found!r}, theirs is {usual!r}.",
)
EARLIER_POLICY = Message(
    code="earlier-version-policy",
    what="{field}: the server has an earlier configuration, as before `tritonize promote` or `tritonize rollback`",
)
LOAD_AGAIN = Message(
    code="load-again",
    what="if the configuration was changed after the server loaded {model}, load the model again or restart the server; then "
    "verify again",
)
QUICK_PROFILE = Message(
    code="quick-profile",
    what=(
        "The quick profile sent {sent} requests: some of the {samples} samples, and no concurrent requests. It finds a server that "
        "answers otherwise throughout; --profile standard sends every sample at every batch size."
    ),
)
PROFILE_LEAVES_OUT = Message(code="profile-leaves-out", what="the {profile} profile leaves it out")
REQUESTS_PLANNED = Message(code="requests-planned", what="{model}: at most {count} requests ({profile} profile)")
REQUESTS_PER_HOUR = Message(
    code="requests-per-hour",
    what="{model}: at most {count} requests each time, {hourly} per hour and replica ({profile} profile)",
)
