"""What is said of the export to ONNX and of the exported file."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_SIMPLIFIED = Message(
    code="not-simplified",
    what="onnxslim could not simplify the ONNX file.",
    next_step="set simplify: false in the spec (--no-simplify on the command line)",
)
UNSIMPLIFIED = Message(
    code="unsimplified",
    what="The ONNX file is not simplified, since onnxslim fails on it: {reason}.",
)
CONSTANTS = Message(
    code="weights-listed-as-inputs",
    what="Weights that the ONNX file lists as inputs too are constants here, since no client sends them: {names} ({count}).",
    next_step="name one under inputs in the spec to keep it as an optional input",
)
OPTIONAL = Message(
    code="optional-input",
    what="Input {name} is optional: the ONNX file has a value for it. Every comparison sent it.",
)
OPTIONAL_BATCHED = Message(
    code="optional-input-batched",
    what="Input {name!r} has a value in the ONNX file, so it is optional, and Triton takes no optional input with batching.",
    next_step="leave it out of the inputs, or set max_batch_size to 0 (--no-batch on the command line)",
)
MODEL_NAME = Message(
    code="model-name",
    what="{name!r} cannot be a model's name: it becomes a folder and a part of a URL, where ASCII letters, digits, '_' and '-' are "
    "safe; {suggested!r} can",
)
TENSOR_NAME = Message(
    code="tensor-name",
    what="{name!r} cannot be an input's or output's name: a name is text that can be printed, without spaces around it and "
    "without '..' as a folder",
)
OUTPUT_IS_INPUT = Message(
    code="output-is-input",
    what="an input has this name, and an ONNX graph has one value of a name; call the output {suggested!r}, or another name",
)
RENAMED = Message(
    code="output-renamed",
    what="Output {own} is served as {name}, since an input has its name. outputs: {{refined: {{}}}} in the spec gives another.",
)
SPELLED = Message(
    code="model-name-spelled",
    what="{source} is served as model {name}: Triton's HTTP reads ASCII names alone. --name gives another.",
)
RUNTIME_LACKS_OPERATOR = Message(
    code="onnxruntime-lacks-operator",
    what="ONNX Runtime's CPU provider has no {operator} for {type}, in which the model computes there.",
    cause="the model computes in {type}: its weights or inputs have that type, or torch.autocast is on in forward()",
    next_step="let the model compute in float32: {remedy}",
)
RUNTIME_LACKS_OTHER = Message(
    code="onnxruntime-lacks-type",
    what="ONNX Runtime's CPU provider has no {operator} for {type}.",
    next_step="write that part of the model with other operators or types",
)
NO_FUNCTION = Message(
    code="no-onnx-function",
    what="The {exporter} exporter has no ONNX function for the operator {operator}.",
    next_step='register one: @tritonize.operator("{operator}", opset=18) in a file that the spec names under operators',
)
NO_FUNCTION_FOR = Message(
    code="no-onnx-function-for-part",
    what="The {exporter} exporter has no ONNX function for a part of the model that is no operator of PyTorch's: {what}.",
)
FIXED_WEIGHT = Message(
    code="fixed-weight",
    what="Input {name!r} is a weight in the ONNX file, and ONNX Runtime takes it for a constant there, so no client can send it.",
    next_step="leave it out of the inputs; or save the file with ir_version 4 or newer, and it is an optional input",
)
FIXED_AXIS = Message(
    code="fixed-axis",
    what="PyTorch's {strategy} exporter could not export the model: its code fixes the size of axis {axis} of {name}.",
    cause="a Python loop over the axis, or a Python number or branch that is made of its size",
    next_step=(
        "compute over the whole axis at once (nn.LSTM instead of a loop over nn.LSTMCell, tensors for Python numbers), or fix "
        "axis {axis} of {name} in the spec"
    ),
)
AUTOCAST_IN_SCRIPT = Message(
    code="autocast-in-script",
    what="PyTorch's {strategy} exporter could not export the model.",
    cause="torch.autocast is on in forward(), for a type that neither this exporter nor ONNX Runtime's CPU provider computes in",
    next_step="leave torch.autocast out of forward() and save the file again",
)
