"""Messages of ONNX Runtime, of Triton's backend for it, and of tritonize's own backend in the embedded server.

Longer than 300 lines: the table has a row for each way in which a file and its configuration disagree.
"""

from __future__ import annotations

from tritonize.triton.load_failures.row import LoadFailure

_ORT = "microsoft/onnxruntime onnxruntime/core/"
_LOADER = f"{_ORT}session/inference_session.cc"
_MODEL = f"{_ORT}graph/model.cc"
_GRAPH = f"{_ORT}graph/graph.cc"
_STOCK = "onnxruntime_backend src/onnxruntime.cc"
_STOCK_SHAPES = "onnxruntime_backend src/onnxruntime_utils.cc"
_OWN = "tritonize/backends/onnxruntime/native/"
_UPGRADE = "serve with a newer Triton (a later image of nvcr.io/nvidia/tritonserver), or export for an older {what}"

TABLE = (
    LoadFailure(
        code="onnx-not-parsed",
        pattern=r"(?P<path>\S*) failed:\s*Protobuf parsing failed",
        cause="the file is no ONNX file: a Git LFS pointer, an interrupted copy, or another format",
        fix="check its size and first bytes (head -c 100 model.onnx); for a pointer: git lfs pull; else copy it again",
        where="the version directory: {path}",
        source=_MODEL,
    ),
    LoadFailure(
        code="onnx-empty",
        pattern=r"No graph was found in the protobuf",
        cause="the file is empty, or no ONNX model",
        fix="copy or export the file again",
        where="the version directory: model.onnx",
        source=_MODEL,
    ),
    LoadFailure(
        code="onnx-ir-version",
        pattern=r"Unsupported model IR version: (?P<has>\d+), max supported IR version: (?P<most>\d+)",
        cause="the file has IR version {has}; the server's ONNX Runtime reads at most {most}",
        fix=_UPGRADE.format(what="IR version"),
        where="the version directory: model.onnx",
        source=_MODEL,
    ),
    LoadFailure(
        code="onnx-opset",
        pattern=r"guarantees\*? support for models stamped with official released onnx opset versions.*[Oo]pset (?P<has>\d+) is under development",
        cause="the file uses opset {has}, which the server's ONNX Runtime does not know",
        fix=_UPGRADE.format(what="opset"),
        where="the version directory: model.onnx",
        source=f"{_ORT}graph/model_load_utils.h",
    ),
    LoadFailure(
        code="onnx-custom-operator",
        pattern=r"(?:Fatal error: )?(?P<operator>[\w.]+:\w+)\S* is not a registered function/op|No opset import for domain '(?P<domain>[^']*)'",
        cause="the file uses a custom operator or domain ({operator}{domain}) that the server has not loaded",
        fix="name its library in model_operations: op_library_filename, or export without it",
        where="config.pbtxt: model_operations",
        source=_GRAPH,
    ),
    LoadFailure(
        code="onnx-unknown-operator",
        pattern=r"No [Oo]p registered for (?P<operator>\w+) with domain_version of (?P<version>\d+)",
        cause="opset {version} has no operator {operator}",
        fix="export again with an opset that has it, or register it as a custom operator in a domain of its own",
        where="the version directory: model.onnx",
        source=_GRAPH,
    ),
    LoadFailure(
        code="onnx-no-kernel",
        pattern=r"Could not find an implementation for (?P<operator>\S+) node",
        cause="the server's ONNX Runtime has no implementation of {operator} for these types on this device",
        fix="export with float32 in place of the type, or serve with a newer Triton",
        where="the version directory: model.onnx",
        source=f"{_ORT}framework/session_state.cc",
    ),
    LoadFailure(
        code="onnx-weights-missing",
        pattern=r"External data path (?:does not exist|validation failed)|open file \"(?P<path>[^\"]*)\" failed: No such file",
        cause="the file with the weights, which model.onnx names, is not beside it",
        fix="copy the file with the weights into the version directory, under the name that model.onnx has for it",
        where="the version directory",
        source=f"{_ORT}framework/tensorprotoutils.cc",
    ),
    LoadFailure(
        code="onnx-file-missing",
        pattern=r"there is no file (?P<file>\S+) in version directory (?P<version>\d+)|unable to find '(?P<path>[^']*\.onnx)' for model instance|Load model from (?P<other>\S+) failed.*File doesn't exist",
        cause="the version directory has no file {file}{path}{other}",
        fix="name the file model.onnx, or write its name as default_model_filename",
        where="the version directory; config.pbtxt: default_model_filename",
        source=f"{_STOCK}; {_OWN}model.c",
    ),
    LoadFailure(
        code="onnx-invalid-graph",
        pattern=r"This is an invalid model|Invalid model\. Node input '(?P<name>[^']*)' is not a graph input|Type Error: Type parameter|Duplicate definition of name",
        cause="the graph in the file is not valid ONNX; the message names the node",
        fix="check the file: python -c \"import onnx; onnx.checker.check_model('model.onnx', full_check=True)\"; export it again",
        where="the version directory: model.onnx",
        source=_GRAPH,
    ),
    LoadFailure(
        code="onnx-input-count",
        pattern=r"configuration expects (?P<own>\d+) inputs, model provides (?P<its>\d+)",
        cause="the configuration has {own} inputs, the file has {its}",
        fix="list exactly the file's inputs; tritonize inspect model.onnx prints them",
        where="config.pbtxt: input",
        source=_STOCK,
    ),
    LoadFailure(
        code="onnx-tensor-names",
        pattern=r"the configuration has inputs (?P<own>.+?), the (?:model|plan) has (?P<its>[^;]+)",
        cause="the configuration has inputs {own}, the file has {its}",
        fix="write the file's names; a sequence control or batch_input counts as an input too",
        where="config.pbtxt: input",
        source=f"{_OWN}contract.c",
    ),
    LoadFailure(
        code="onnx-output-name",
        pattern=r"(?P<kind>output|state output|batch_output) '(?P<name>[^']*)' is not in the model, which has (?P<its>.+)",
        cause="the file has no output {name}; it has {its}",
        fix="write a name of the file",
        where="config.pbtxt: {kind}",
        source=f"{_OWN}contract.c",
    ),
    LoadFailure(
        code="tensor-name-unknown",
        pattern=r"unexpected inference (?P<kind>input|output) '(?P<name>[^']*)'.*allowed (?:inputs|outputs) are: (?P<its>.+)",
        cause="the file has no {kind} {name}; it has {its}",
        fix="write a name of the file",
        where="config.pbtxt: {kind}",
        source="backend src/backend_common.cc",
    ),
    LoadFailure(
        code="onnx-type",
        pattern=r"configuration expects datatype (?P<own>\w+) for (?P<kind>input|output|output state) '(?P<name>[^']*)', model provides (?P<its>\w+)",
        cause="{kind} {name} is {its} in the file and {own} in the configuration",
        fix="write data_type: {its} for {name}",
        where="config.pbtxt: {kind}.data_type",
        source=_STOCK,
    ),
    LoadFailure(
        code="tensor-type",
        pattern=r"(?P<kind>\w+) '(?P<name>[^']*)': the configuration says (?P<own>TYPE_\w+), the model has (?P<its>TYPE_\w+)",
        cause="{kind} {name} is {its} in the file and {own} in the configuration",
        fix="write data_type: {its} for {name}",
        where="config.pbtxt: {kind}.data_type",
        source=f"{_OWN}contract.c",
    ),
    LoadFailure(
        code="tensor-shape",
        pattern=r"(?P<kind>\w+) '(?P<name>[^']*)': the configuration says dims (?P<own>\[.*?\]).*, the model has (?P<its>\[.*?\])",
        cause="{kind} {name} has shape {its} in the file and {own} in the configuration",
        fix="write the file's dims, -1 for a dynamic one; with max_batch_size above 0, without the batch, which must be dynamic",
        where="config.pbtxt: {kind}.dims, max_batch_size",
        source=f"{_OWN}contract.c",
    ),
    LoadFailure(
        code="stock-shape",
        pattern=r"tensor '(?P<name>[^']*)': the model expects (?P<rank>\d+) dimensions \(shape (?P<its>\[.*?\])\) but the model configuration specifies (?P<other>\d+) dimensions \(.*?shape (?P<own>\[.*?\])\)",
        cause="{name} has shape {its} in the file and {own} in the configuration",
        fix="write the file's dims; with max_batch_size above 0, without the batch, which Triton adds in front",
        where="config.pbtxt: dims of {name}, max_batch_size",
        source=_STOCK_SHAPES,
    ),
    LoadFailure(
        code="stock-no-batch",
        pattern=r"tensor '(?P<name>[^']*)': for the model to support batching the shape should have at least 1 dimension and the first dimension must be -1; but shape expected by the model is (?P<its>\S+)",
        cause="max_batch_size is above 0, and the first dimension of {name} is fixed in the file: {its}",
        fix="set max_batch_size to 0 and write all dims, or export the model with a dynamic batch dimension",
        where="config.pbtxt: max_batch_size",
        source=_STOCK_SHAPES,
    ),
    LoadFailure(
        code="autofill-no-batch",
        pattern=r"autofill failed for model '[^']*': model does not support batching while non-zero max_batch_size is specified",
        cause="max_batch_size is above 0, and the file's first dimension is fixed",
        fix="set max_batch_size to 0, or export the model with a dynamic batch dimension",
        where="config.pbtxt: max_batch_size",
        source=_STOCK,
    ),
    LoadFailure(
        code="optional-input-batched",
        pattern=r"optional input '(?P<name>[^']*)' is not supported for models that support batching|input '(?P<own>[^']*)': an optional input is not possible in a model with batching",
        cause="{name}{own} is optional, which needs max_batch_size 0",
        fix="set max_batch_size to 0, or make the input required",
        where="config.pbtxt: input.optional, max_batch_size",
        source=f"{_STOCK}; {_OWN}contract.c",
    ),
    LoadFailure(
        code="sequence-control-input",
        pattern=r"configuration specified sequence control '(?P<name>[^']*)', but model does not provide that input",
        cause="the file has no input {name} for the sequence control",
        fix="name an input of the file, or remove the control",
        where="config.pbtxt: sequence_batching.control_input",
        source=_STOCK,
    ),
    LoadFailure(
        code="accelerator-unknown",
        pattern=r"unknown Execution Accelerator '(?P<name>[^']*)' is requested|_execution_accelerator: the embedded server does not support '(?P<own>[^']*)'",
        cause="the server's ONNX Runtime has no execution accelerator {name}{own}",
        fix="remove it, or write tensorrt or cuda for a GPU, and openvino for a CPU in an image that has it",
        where="config.pbtxt: optimization.execution_accelerators",
        source=f"{_STOCK}; {_OWN}options.c",
    ),
    LoadFailure(
        code="parameter-value",
        pattern=r"parameter (?P<name>\w+): expected (?P<wanted>.+), found '?(?P<own>[^']*)'?|failed to convert '?(?P<value>[^']*)'? to (?:boolean|integral number|double number)",
        cause="a parameter has a value that the backend cannot read: {name} {own}{value}",
        fix="write a value of its kind: a whole number, or true or false",
        where="config.pbtxt: parameters",
        source=f"backend src/backend_common.cc; {_OWN}options.c",
    ),
)
