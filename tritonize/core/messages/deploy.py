"""Messages about files that deploy a repository."""

from tritonize.core.messages import Message

RELEASE_UNKNOWN = Message(
    code="deploy-release-unknown",
    what="No version says which release of Triton it is for, so the tag of NVIDIA's image is unknown.",
    cause='the spec has no `target: {{triton: "26.06"}}`',
    next_step="name the release of your servers with --triton YY.MM",
)
RELEASE_DIFFERS = Message(
    code="deploy-release-differs",
    what="The versions are for different releases of Triton, and one server has one.",
    next_step="name one release with --triton YY.MM, or select models with --model",
)
RELEASE_OVERRIDDEN = Message(
    code="deploy-release-overridden",
    what="{model} version {version} was declared for Triton {declared}; the image has {given}, as --triton says.",
)
RELEASE_FORM = Message(
    code="deploy-release-form",
    what="Invalid Triton release.",
    next_step="write year and month, such as --triton 26.06",
)
NAME_FORM = Message(
    code="deploy-name-form",
    what="Invalid name for the deployment.",
    next_step="write at most 63 lower-case letters, digits and '-', such as --name models",
)
IMAGE_FORM = Message(
    code="deploy-image-form",
    what="Invalid reference of a container image.",
    next_step="write registry/name:tag, such as --image registry.example.com/triton:26.06",
)
VERIFIER_NEEDED = Message(
    code="deploy-verifier-needed",
    what="The image is named by a digest, so the name of the image that verifies cannot be derived from it.",
    next_step="name that image with --verifier",
)
STORAGE_FORM = Message(
    code="deploy-storage-form",
    what="Invalid address of the storage.",
    next_step="write an address such as s3://bucket/models",
)
STORAGE_SECRET = Message(
    code="deploy-storage-secret",
    what="The address of the storage has a user, a password or a query, which may be a credential, and would be in a file.",
    next_step="give KServe the credentials in a Secret of its service account",
)
NO_BACKEND = Message(
    code="deploy-no-backend",
    what="NVIDIA's image has no backend {backend!r}, so it cannot load {model!r}.",
    next_step="leave the model out: name the others with --model",
)
NOT_WRITTEN = Message(
    code="deploy-not-written",
    what="Nothing was written, since these versions are not what was proven.",
    next_step="run `tritonize verify` on the repository, which lists all differences",
)
SERVED_OTHERWISE = Message(code="deploy-file-unchecked", what="the file is served, and no check covers it")
NO_GOLDEN = Message(
    code="deploy-no-golden",
    what="{model} version {version} has no golden file, so no verification was written for it: {reason}",
)
GOLDEN_ON_VOLUME = Message(
    code="deploy-golden-on-volume",
    what="The golden files have {size:,} bytes, and {holder} at most {limit:,}. Copy the folder golden/ to a volume with the claim "
    "{claim!r}, from which the verifications read it.",
)
NEEDS_GPU = Message(
    code="deploy-needs-gpu",
    what="The configuration of {model!r} needs a GPU ({field}), and the files request none; add --gpu.",
)
PYTHON_STEPS = Message(
    code="deploy-python-steps",
    what="{model!r} runs Python code in the image's own interpreter, whose version and packages may not be those of the proof.",
)
UNPROVEN = Message(
    code="deploy-unproven",
    what="{model} version {version} is not proven in full (verdict: {verdict}). Verify the deployment before clients use it.",
)
MEMORY_UNMEASURED = Message(
    code="deploy-memory-unmeasured",
    what="The memory of the running models was not measured in the proof, so the files request none.",
)
HELM_MISSING = Message(
    code="deploy-helm-missing",
    what="The chart was *not rendered*: `helm` is not on PATH.",
    next_step="install helm, then `helm template .`",
)
HELM_FAILED = Message(
    code="deploy-helm-failed",
    what="`helm {command}` refused the chart, so nothing was written.",
    cause="this version of helm is older than 3.8, or has a fault",
    next_step="check `helm version`; to write the chart without rendering it, take helm from PATH",
)
HELM_RENDERED = Message(code="deploy-helm-rendered", what="helm linted and rendered the chart: {count} objects.")
RESHAPED = Message(
    code="deploy-reshaped",
    what="{model}: clients send or get {names} as [batch, 1], one number per sample, since Triton accepts no empty `dims`.",
)
