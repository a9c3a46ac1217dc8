"""Messages about arguments of the command line and of the Python API."""

from __future__ import annotations

from tritonize.core.messages import Message

ADDRESS = Message(
    code="address-not-local",
    what="This is an address with a scheme, and only a local path is supported here.",
    next_step="name a path of this machine; `push`, `run`, `list`, `lint` and `verify` of tritonize take addresses",
)
BATCH_FLAGS = Message(
    code="flags-no-batch-and-size",
    what="--no-batch and --max-batch-size cannot be combined.",
    next_step="remove one of the two",
)
OUTPUT_TWICE = Message(
    code="flag-output-twice",
    what="Two --output flags have the same name.",
    next_step="give each output its own name",
)
INPUT_TWICE = Message(
    code="flag-input-twice",
    what="Two --input flags have the same name.",
    next_step="give each input its own name",
)
INPUT_WITHOUT_AXES = Message(
    code="flag-input-without-axes",
    what="An input without axes cannot be batched.",
    next_step="add --no-batch",
)
INPUT_FORM = Message(
    code="flag-input-form",
    what="Invalid --input flag.",
    next_step="write --input NAME:TYPE:SHAPE with the sizes between x, such as --input INPUT__0:fp32:1x3x224x224",
)
AXIS_FORM = Message(
    code="flag-axis-form",
    what="Invalid --axis flag.",
    next_step="write --axis NAME=MIN:OPT:MAX with sizes, such as --axis H=64:224:512",
)
AXIS_TWICE = Message(code="flag-axis-twice", what="Two --axis flags have the same name.", next_step="give each axis one range")
AXIS_MISSING = Message(
    code="flag-axis-missing",
    what="A dynamic axis has no range of sizes.",
    next_step="add its smallest, usual and largest size, such as {flags}",
)
INVALID_FLAGS = Message(
    code="flags-invalid",
    what="The flags do not describe a valid model.",
    next_step="correct the flags in the lines below",
)
ARGUMENT_COUNT = Message(code="argument-count", what="Wrong number of arguments.")
PROMOTE_WHICH = Message(
    code="promote-which-version",
    what="`tritonize promote` does not say which version to serve.",
    next_step="add a version of `tritonize list`, as in `{command} 3`; or serve the newest, without a pin: `{command} --newest`",
)
MODEL_WITHOUT_SPEC = Message(
    code="flag-model-without-spec",
    what="--model selects models of a spec, and the source is not a spec.",
    next_step="remove --model, or pass a spec (.yaml)",
)
FLAGS_WITH_SPEC = Message(
    code="flags-with-spec",
    what="Flags that describe a model cannot be combined with a spec.",
    next_step="write these settings into {source}",
)
VERSION_NUMBERS = Message(
    code="version-numbers",
    what="A version is not a number.",
    next_step="write version numbers; `tritonize list` has all versions",
)
SPEC_AND_FILE = Message(
    code="locate-spec-and-file",
    what="With a spec, `tritonize locate` takes no second file: it compares the model with its own export.",
    next_step="remove the second argument, or pass two ONNX files",
)
LOCATE_ARGUMENTS = Message(
    code="locate-arguments",
    what="`tritonize locate` compares two ONNX files, or the model of a spec with its export.",
    next_step="pass two ONNX files, or a spec (.yaml)",
)
TWO_TARGETS = Message(
    code="plan-check-two-targets",
    what="--triton and --trt-version cannot be combined.",
    next_step="remove one of the two",
)
TENSORRT_VERSION = Message(
    code="tensorrt-version-form",
    what="Invalid TensorRT version.",
    next_step="write it as trtexec prints it, such as 10.13.2.6",
)
TRITON_RELEASE = Message(
    code="triton-release-form",
    what="Invalid Triton release.",
    next_step="write year and month, such as --triton 26.06",
)
NO_REPORT = Message(
    code="report-missing",
    what="The version has no report.",
    cause="an older tritonize published it, or another tool",
    next_step="publish it again with `tritonize run`, or check its files with `tritonize verify`",
)
NO_REPORT_FILE = Message(
    code="report-not-a-page",
    what="The file is no report of tritonize.",
    next_step="give a report.html or report.json, a version's directory, or a model repository",
)
OUTPUT_WITHOUT_INDEX = Message(
    code="report-output-without-index",
    what="--output is for the page over a repository, and one report already is a file.",
    next_step="leave out --output, or leave out --model, --version and --json",
)
GOLDEN_WITH_REPOSITORY = Message(
    code="golden-with-repository",
    what="--golden verifies a running server and cannot be combined with a repository.",
    next_step="remove the repository",
)
GOLDEN_UNSIGNED = Message(
    code="golden-require-signature",
    what="--golden cannot be combined with --require-signature: signatures are those of versions in a repository.",
    next_step="verify the server with the repository: tritonize verify REPOSITORY --url URL --require-signature KEY",
)
GOLDEN_MODELS = Message(
    code="golden-several-models",
    what="A golden file belongs to one model, and --model names several.",
    next_step="pass --model once, or not at all",
)
NOTHING_TO_VIEW = Message(
    code="view-no-source",
    what="The file or model repository does not exist.",
    next_step="check the path; `tritonize view` opens an .onnx file or a model of a repository",
)
VIEW_SEVERAL = Message(
    code="view-several-models",
    what="The repository has several models, and `tritonize view` opens one.",
    next_step="select one with --model",
)
VIEW_NO_ONNX = Message(
    code="view-no-onnx",
    what="The version has no ONNX file.",
    next_step="open the ONNX file that the plan was built from, by its path",
)
VERIFY_WHAT = Message(
    code="api-verify-what",
    what="verify takes either a model repository or a golden file.",
    next_step='pass one of them: verify("model_repository") or verify(golden="heart-1.golden", urls=["http://host:8000"])',
)
NO_SUBJECT = Message(
    code="api-no-subject",
    what="The first argument is neither a specification nor a model.",
    next_step="pass a tritonize.Spec, the path of a spec or a model file, a torch.nn.Module, or 'package.module:factory'",
)
DESCRIPTION_WITH_SPEC = Message(
    code="api-description-with-spec",
    what="Keyword arguments that describe a model cannot be combined with a specification.",
    next_step="write them into the specification",
)
INVALID_DESCRIPTION = Message(
    code="api-description-invalid",
    what="The keyword arguments do not describe a valid model.",
    next_step="correct the keyword arguments in the lines below",
)
OUTPUT_COUNTS_DIFFER = Message(
    code="check-output-counts-differ",
    what="The two models differ in their number of outputs.",
    next_step="compare models with the same outputs",
)
DIFF_SAME_VERSION = Message(
    code="diff-same-version",
    what="`tritonize diff` needs two different versions.",
    next_step="name another version: tritonize diff {repository} {model} {before} {after}",
)
GOLDEN_HAS_NO_MODEL = Message(code="golden-has-no-model", what="a golden file has no model to compute others")
GOLDEN_WITHOUT_SERVER = Message(
    code="golden-without-server",
    what="A golden file is verified against a running server, and no address is given.",
    next_step="add --url http://host:8000 or --url grpc://host:8001",
)
GOLDEN_OTHER_MODEL = Message(
    code="golden-other-model",
    what="The golden file belongs to another model than the one that the server serves.",
    cause="another model has that name on the server, or the wrong golden file was passed",
    next_step="name the model with --model, or pass the golden file of the served model",
)
WEIGHT_INVALID = Message(
    code="weight-invalid",
    what="verify cannot send requests with these values.",
    next_step="pass a profile and a rate such as profile='standard', rate=10",
)
SERVER_UNKNOWN = Message(
    code="server-choice-unknown",
    what="Unknown value of --server.",
    next_step="for a running server write its address, such as --server http://host:8000",
)
SERVERS_MIXED = Message(
    code="server-choice-mixed",
    what="--server takes one way to start a server, or the HTTP and the gRPC address of one running server.",
    next_step="keep one of them",
)
SERVER_STARTED_HERE = Message(
    code="server-choice-no-address",
    what="This command starts its server itself, so --server takes no address here.",
    next_step="verify a running server with `tritonize verify --url`; measure it with `tritonize bench --url`",
)
SHARED_WITHOUT_URL = Message(
    code="server-repository-without-url",
    what="--server-repository belongs to a running server, and --server gives no address.",
    next_step="add --server http://host:8000",
)
CLEAN_UNCONFIRMED = Message(
    code="clean-unconfirmed",
    what="Nothing was removed: there is no terminal on which to ask.",
    next_step="add --yes to remove what is listed, or --dry-run to list it alone",
)
