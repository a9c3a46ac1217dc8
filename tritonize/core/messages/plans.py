"""Messages about TensorRT plans: the request, the build, the plan files, and the run on a GPU.

Longer than 300 lines: a list of the texts of one capability, a few lines each.
"""

from __future__ import annotations

from tritonize.core.messages import Message

NO_PLANS = Message(
    code="no-plans",
    what="A version with backend onnxruntime has no plan.",
    next_step="write backend: tensorrt, or tensorrt_rtx with target: {{compute_capabilities: [...]}}, in the spec",
)

# The request

ONNX_MISSING = Message(
    code="plan-onnx-missing",
    what="The ONNX file of the plan request does not exist.",
    cause="the request was copied without the files that it names",
    next_step="copy the whole folder that `tritonize plan request` wrote; paths in a request are relative to the request",
)
NODE_MAP_MISSING = Message(
    code="plan-node-map-missing",
    what="The node map of the plan request does not exist.",
    cause="the request was copied without the files that it names",
    next_step="copy the whole folder that `tritonize plan request` wrote, or delete node_map from the request",
)
PLUGINS_MISSING = Message(
    code="plan-plugins-missing",
    what="A plugin library does not exist.",
    cause="a misspelled path, or the request was copied without the files that it names",
    next_step="correct the paths; paths in a spec or a request are relative to that file",
)
PLUGINS_SAME_NAME = Message(
    code="plan-plugins-same-name",
    what="Two plugin libraries have the same file name, and the folder of a request holds all of them side by side.",
    next_step="rename one of the two files",
)
INPUT_UNREADABLE = Message(
    code="plan-input-unreadable",
    what="A file that the plan request names cannot be read.",
    next_step="correct the permissions of the file",
)
REQUEST_FOLDER_IN_USE = Message(
    code="plan-request-folder-in-use",
    what="The folder for the plan request is not empty.",
    next_step="choose a new folder with --out",
)
REQUEST_SEVERAL_MODELS = Message(
    code="plan-request-several-models",
    what="A plan request is for one model, and the spec has several.",
    next_step="select one with --model",
)
REQUEST_WITHOUT_REFERENCE = Message(
    code="plan-request-without-reference",
    what="The model has no single reference output, so no plan request was written.",
    next_step="run `tritonize build` with the spec; its report names the differences and how to choose a reference",
)
REQUEST_ONNX_DIFFERS = Message(
    code="plan-request-onnx-differs",
    what="The outputs of the ONNX file differ from PyTorch's, so no plan request was written.",
    next_step="run `tritonize build` with the spec; its report lists the differences",
)
SETTINGS_UNSUPPORTED = Message(
    code="plan-settings-unsupported",
    what="{module} {version} does not support the settings of the request.",
    cause="each module supports other settings; the lines below name the module and the version that support each of them",
    next_step="remove these settings, or use a module and a version that support them",
)
TARGETS_MISSING = Message(
    code="plan-targets-missing",
    what="TensorRT-RTX needs the compute capabilities to build for, and the spec names none.",
    next_step='write target: {{compute_capabilities: ["8.9"]}} in the spec, with the capabilities of your GPUs',
)
TARGETS_ELSEWHERE = Message(
    code="plan-targets-elsewhere",
    what="TensorRT builds only for the GPU of the machine it runs on, and the target names other GPUs.",
    next_step="write a request with `tritonize plan request`, run `tritonize plan build` on a machine with each of these GPUs, and "
    "pass the plans to `tritonize run` with --plans",
)

# The module

MODULE_MISSING = Message(
    code="plan-module-missing",
    what="The Python package {module!r} is not installed.",
    next_step='pip install "tritonize[{extra}]"',
)
MODULE_NOT_LOADED = Message(
    code="plan-module-not-loaded",
    what="The Python package {module!r} cannot be loaded.",
    cause="the package is not installed, or a library that it needs is missing",
    next_step='pip install --force-reinstall "tritonize[{extra}]"',
)
MODULE_NOT_STARTED = Message(
    code="plan-module-not-started",
    what="{module} {version} does not start on this machine.",
    cause="the GPU's driver is too old for this version",
    next_step="install a newer driver, or an older version of the package",
)
NO_GPU_TO_BUILD = Message(
    code="plan-no-gpu-to-build",
    what="TensorRT builds a plan for the GPU of the machine that it runs on, and this machine has no GPU.",
    next_step="build on a machine with the target's GPU: `tritonize plan request` writes a folder; copy it there, for example into "
    "NVIDIA's container nvcr.io/nvidia/tensorrt:YY.MM-py3 of the month of your Triton, and run `tritonize plan build --request "
    "request.json`. Or build with TensorRT-RTX, which needs no GPU: backend: tensorrt_rtx in a spec, module: tensorrt_rtx in a "
    "request",
)

# The build

PARSE_FAILED = Message(
    code="plan-parse-failed",
    what="{module} cannot parse the ONNX file.",
    cause="an operator or an attribute that this version of the parser does not support",
    next_step="read the whole log, the .log file next to the plan; rewrite that part of the model, or use a newer version of the "
    "package",
)
NODES_UNSUPPORTED = Message(
    code="plan-nodes-unsupported",
    what="{module} has no implementation of {nodes}: {operators}.",
    next_step="rewrite these lines of the model with other operators, or name a library with a plugin under builder.plugins in the "
    "spec",
)
TYPES_CHANGED = Message(
    code="plan-types-changed",
    what="{module} {version} does not support a type of the inputs or outputs, and would replace it silently.",
    next_step="cast in the model, so that its inputs and outputs have the other type",
)
HALF_UNSUPPORTED = Message(
    code="plan-half-unsupported",
    what="TensorRT {version} has no strongly typed networks, so it would build this network in float32.",
    next_step="build with TensorRT 10 or newer, or set precision: fp32 in the spec",
)
TENSOR_TYPE = Message(
    code="plan-tensor-type",
    what="The network has an input or output of a type that no inference request can carry.",
    next_step="cast it to another type in the model",
)
SETTING_TOO_NEW = Message(
    code="plan-setting-too-new",
    what="{module} {version} does not support a setting of the request.",
    next_step="remove the setting, or install a newer version of the package",
)
CAPABILITY_REFUSED = Message(
    code="plan-capability-refused",
    what="The builder rejects the compute capability.",
    cause="this version of the package does not build for that GPU",
    next_step="remove it from the compute capabilities, or install a newer version of the package",
)
PROFILES_DIFFER = Message(
    code="plan-profiles-differ",
    what="The profiles do not match the inputs of the network.",
    cause="the ONNX file or the request was changed after `tritonize plan request` wrote them",
    next_step="correct profiles in the request, or write a new request with `tritonize plan request`",
)
PROFILE_REFUSED = Message(
    code="plan-profile-refused",
    what="The builder rejects an optimization profile.",
    cause="its shapes contradict the network, for example at a reshape to a fixed size",
    next_step="read the log, the .log file next to the plan, and correct the profile",
)
PLUGINS_NOT_LOADED = Message(
    code="plan-plugins-not-loaded",
    what="A plugin library cannot be loaded.",
    cause="it was built for another version of TensorRT, or a library that it needs is missing",
    next_step="run ldd on the library, and build it for the installed version of TensorRT",
)
NOTHING_BUILT = Message(
    code="plan-not-built",
    what="{module} built no plan.",
    next_step="read the whole log, the .log file next to the plan",
)
BUILD_ENDED = Message(
    code="plan-build-ended",
    what="The build process ended without a plan.",
    cause="the builder hangs, crashes, or needs more memory than the limit",
    next_step="read the log; if the build only needs more time or memory, raise deadline_s or memory_mib in the request",
)
OTHER_MODULE = Message(
    code="plan-other-module",
    what="The module or version in the header of the built plan differs from the installed one.",
    cause="the package and its libraries are of different versions",
    next_step='install the package anew: pip install --force-reinstall "tritonize[{extra}]"',
)
OTHER_GPU = Message(
    code="plan-other-gpu",
    what="The header of the built plan names another GPU than the request.",
    cause="a bug in tritonize or in the package",
    next_step="report the request and the log, the .log file next to the plan",
)
GPU_GONE = Message(
    code="plan-gpu-gone",
    what="The plan was built, but the GPU that it was built for is no longer found.",
    cause="the driver failed during the build",
    next_step="run nvidia-smi; when it lists the GPU, build again",
)

# The cache

CACHE_SIZE = Message(
    code="plan-cache-size",
    what="The size limit of the plan cache is not a number.",
    next_step="set TRITONIZE_PLAN_CACHE_GIB to a number of GiB, such as 20 (the default)",
)
CACHE_WAIT = Message(
    code="plan-cache-wait",
    what="Another process builds the same plan and did not finish in time.",
    next_step="wait for that process or end it, or raise deadline_s in the request",
)
CACHE_DAMAGED = Message(
    code="plan-cache-damaged",
    what="The plan in the cache is damaged, although it was just built anew.",
    cause="the disk of the cache does not return what was written to it",
    next_step="set TRITONIZE_CACHE to a folder on another disk",
)

# Plan files

PLAN_UNREADABLE = Message(
    code="plan-unreadable",
    what="The plan file cannot be read.",
    next_step="check the path and the permissions of the file",
)
NOT_A_PLAN = Message(
    code="plan-not-a-plan",
    what="The file is not a TensorRT plan.",
    next_step="pass a file that `tritonize plan build` or trtexec --saveEngine wrote",
)
PLAN_CUT_OFF = Message(
    code="plan-cut-off",
    what="The plan file is shorter or longer than its header says.",
    cause="an interrupted copy",
    next_step="copy the plan again, or build it again with `tritonize plan build`",
)
METADATA_UNREADABLE = Message(
    code="plan-metadata-unreadable",
    what="The plan's metadata cannot be read.",
    cause="the file was edited or damaged, or another version of tritonize wrote it",
    next_step="copy the .plan.json file again, or build the plan again with `tritonize plan build`",
)
METADATA_MISSING = Message(
    code="plan-metadata-missing",
    what="The plan has no metadata, so the ONNX file that it was built from is unknown.",
    cause="the plan was copied alone, or another tool built it",
    next_step="copy the .plan.json file too, which `tritonize plan build` writes next to each plan",
)
METADATA_DIFFERS = Message(
    code="plan-metadata-differs",
    what="The plan is not the one that its metadata describes.",
    cause="the plan or its .plan.json file was replaced or damaged",
    next_step="copy both files again, or build the plan again with `tritonize plan build`",
)
RECORD_UNREADABLE = Message(
    code="plan-record-unreadable",
    what="The plan's proof record cannot be read.",
    cause="the file was edited or damaged, or another version of tritonize wrote it",
    next_step="delete the file, and run `tritonize plan prove` again on the machine with the GPU",
)
PLANS_MISSING = Message(
    code="plans-missing",
    what="The folder or plan does not exist.",
    next_step="check the path; `tritonize plan build --out FOLDER` writes plans into FOLDER",
)
PLANS_NONE = Message(
    code="plans-none",
    what="The folders contain no plan.",
    next_step="pass the folder that `tritonize plan build --out FOLDER` wrote",
)
PLANS_MIXED = Message(
    code="plans-mixed",
    what="The plans cannot be one version of a model.",
    cause="they were built from different requests, or with different versions of TensorRT",
    next_step="build all of them from one request with one version of TensorRT: tritonize plan build --request request.json",
)
PLANS_FOLDER_IN_USE = Message(
    code="plans-folder-in-use",
    what="The folder for the plans is not empty.",
    next_step="choose a new folder with --out",
)
PLANS_OF_OTHER_SPEC = Message(
    code="plans-of-other-spec",
    what="The plans do not match the spec.",
    cause="the spec, the model or the version of PyTorch changed after the request was written",
    next_step="write a new request with `tritonize plan request`, and build the plans from it",
)

# The run on a GPU

PROOF_INPUT_MISSING = Message(
    code="proof-input-missing",
    what="The folder has no proof input for the plans.",
    next_step="pass the folder `question` of the request that `tritonize plan request` writes",
)
PROOF_INPUT_UNREADABLE = Message(
    code="proof-input-unreadable",
    what="The proof input for the plans cannot be read.",
    cause="the folder was edited or damaged, or another version of tritonize wrote it",
    next_step="copy the folder `question` of the request again",
)
PROOF_INPUT_CHANGED = Message(
    code="proof-input-changed",
    what="The proof input for the plans was changed after it was written.",
    next_step="copy the folder `question` of the request again",
)
NO_GPU_TO_RUN = Message(
    code="plan-no-gpu-to-run",
    what="This machine has no GPU that could run the plan.",
    next_step="run `tritonize plan prove` on a machine with the plan's GPU",
)
ENGINE_FAILED = Message(
    code="plan-engine-failed",
    what="The plan does not run on the GPU of this machine.",
    cause="another GPU or another version of TensorRT than the plan was built for, or too little GPU memory",
    next_step="see what the plan was built for: tritonize plan check {plan}",
)
ENGINE_ENDED = Message(
    code="plan-engine-ended",
    what="The process that runs the plan ended without outputs.",
    cause="the engine hangs or crashes, or the time or memory limit is too low",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
LAYERS_UNREADABLE = Message(
    code="plan-layers-unreadable",
    what="The output of the engine inspector cannot be parsed.",
    cause="a version of TensorRT that tritonize does not know",
    next_step="set detailed_profiling: false under builder, or use a version of TensorRT that `tritonize doctor` names",
)
