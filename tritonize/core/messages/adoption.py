"""Messages about adopting a repository that was not made by tritonize."""

from __future__ import annotations

from tritonize.core.messages import Message

UNREFERENCED = Message(
    code="adopt-unreferenced",
    what="unreferenced: the reference is the file itself in ONNX Runtime",
)
UNREFERENCED_NOTE = Message(
    code="adopt-unreferenced-note",
    what="The version is unreferenced: the reference is the file itself in ONNX Runtime. This proves that Triton serves this file "
    "right, and nothing about the PyTorch model that it may come from. To compare with PyTorch, name its source in a spec: "
    "tritonize adopt REPOSITORY --spec spec.yaml",
)
ADOPTED_NOTE = Message(
    code="adopt-note",
    what="tritonize did not make the files of this version; it compared and served them as they are.",
)
COMPLETED_NOTE = Message(
    code="adopt-completed",
    what="The configuration is incomplete. The version was served with what Triton completes here: {fields}.",
)
COMPLETED_SHORT = Message(code="config-completed", what="none; Triton makes it from the model file")
NO_CONFIG_TO_PIN = Message(
    code="promote-no-config",
    what="{model!r} has no config.pbtxt, where the version to serve would be written.",
    next_step="write the one that Triton makes: tritonize config {directory} --write",
)
MADE_BY_SERVER = Message(
    code="config-made-by-server",
    what="The model has no config.pbtxt. The server at {url} made this configuration: {config}.",
)
MADE_FROM_FILE = Message(
    code="config-made-from-file",
    what="The model has no config.pbtxt. Triton makes this configuration from {file}: {config}.",
)
MADE_UNKNOWN = Message(
    code="config-made-unknown",
    what="The model has no config.pbtxt. The backend {backend} makes a configuration when it loads the model.",
)
KEEP_CONFIG = Message(
    code="config-keep",
    what="To keep this configuration in a file: tritonize config {directory} --write",
)
WITHOUT_CONFIG_NOTE = Message(
    code="adopt-without-config",
    what="The model has no config.pbtxt. It was proven with the configuration that Triton made from the model file: {config}. "
    "`tritonize verify --url` finds a server that makes another one, such as with --backend-config=default-max-batch-size.",
)
OTHER_BACKEND = Message(
    code="adopt-other-backend",
    what="backend {backend}: adopt compares ONNX files for the backend onnxruntime only",
)
ENSEMBLE = Message(
    code="adopt-ensemble",
    what="an ensemble: adopt compares single models; its steps are adopted by themselves",
)
NO_BACKEND = Message(
    code="adopt-no-backend",
    what="neither the configuration nor the files of its version tell the backend",
)
NO_MODEL = Message(code="adopt-no-model", what="a directory without config.pbtxt and without a version is no model")
NO_VERSION = Message(code="adopt-no-version", what="the version policy serves none of its versions: {versions}")
NOT_SERVED = Message(
    code="adopt-not-served",
    what="the version policy names the versions to serve, and not this one",
)
NO_FILE = Message(code="adopt-no-file", what="there is no model file {file}")
FILE_NOT_READ = Message(code="adopt-unreadable", what="{file} cannot be read")
NO_PLAIN_FILE = Message(
    code="adopt-no-plain-file",
    what="{file} is a symbolic link or a special file, and evidence covers regular files only",
    next_step="put the file itself there",
)
EVIDENCE_THERE = Message(code="adopt-evidence-there", what="another command wrote evidence of this version meanwhile")
FILES_CHANGED = Message(code="adopt-files-changed", what="{file}: {what}, so nothing was written")
STATEFUL = Message(
    code="adopt-stateful",
    what="sequence batching: an answer depends on the requests before it, so single requests cannot be compared",
)
DECOUPLED = Message(
    code="adopt-decoupled",
    what="the model is decoupled: a request has any number of answers, so they cannot be compared one by one",
)
RAGGED = Message(code="adopt-ragged", what="{tensor} is ragged or made by the server (batch_input, batch_output)")
RESHAPED = Message(code="adopt-reshaped", what="{tensor} has a reshape other than that of a scalar")
SOME_OUTPUTS = Message(code="adopt-some-outputs", what="the configuration leaves out outputs of the file: {outputs}")
NO_TENSOR = Message(code="adopt-no-tensor", what="the file has no {tensor}, which the configuration names")
TOO_LARGE_BATCH = Message(
    code="adopt-batch", what="max_batch_size {size} is larger than {limit}, which is the most that is compared"
)
NO_RANGE = Message(
    code="adopt-no-range",
    what="nothing states how large these axes may be: {axes}",
    next_step="write a spec, and pass it with --spec: {spec}",
)
NOT_DESCRIBABLE = Message(code="adopt-invalid", what="the inputs cannot be described in a spec: {problems}")
SPEC_BATCH = Message(
    code="adopt-spec-batch",
    what="the spec has max_batch_size {spec}, the served configuration {config}",
)
SPEC_INPUTS = Message(
    code="adopt-spec-inputs",
    what="the spec's inputs differ from the configuration's: {spec} in the spec, {config} in the configuration",
)
SPEC_UNKNOWN = Message(
    code="adopt-spec-unknown",
    what="The spec describes models that the repository does not have.",
    next_step="correct their names, or remove them from the spec",
)
CHANGED = Message(
    code="adopt-changed",
    what="proven on {created}, and changed since: {file}: {what}",
    next_step="tritonize verify {repository} -m {model} --version {version}",
)
UP_TO_DATE = Message(code="adopt-up-to-date", what="proven on {created}, up to date")
UNPROVEN = Message(
    code="adopt-unproven",
    what="all that ran here passed; not run: {what}",
    next_step="declare the deployment in a spec (target.compute_capabilities, target.triton), or pass --allow-unproven",
)
