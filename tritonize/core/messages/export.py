"""Messages about the export to ONNX and the exported file."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_SIMPLIFIED = Message(
    code="not-simplified",
    what="onnxslim could not simplify the ONNX file.",
    next_step="set simplify: false in the spec (--no-simplify on the command line)",
)
UNSIMPLIFIED = Message(
    code="unsimplified",
    what="The ONNX file is not simplified because onnxslim fails on it: {reason}.",
)
CONSTANTS = Message(
    code="weights-listed-as-inputs",
    what="The ONNX file also lists {count} weights as inputs. They become constants: {names}.",
    next_step="to keep one as an optional input, list it under inputs in the spec",
)
OPTIONAL = Message(
    code="optional-input",
    what="Input {name} is optional: the ONNX file has a value for it. It is compared with and without the input.",
)
OPTIONAL_BATCHED = Message(
    code="optional-input-batched",
    what="Input {name!r} is optional (it has a default value in the ONNX file), and Triton does not support optional inputs with "
    "batching.",
    next_step="remove it from the inputs, or set max_batch_size to 0 (--no-batch on the command line)",
)
MODEL_NAME = Message(
    code="model-name",
    what="{name!r} is not a valid model name: it becomes a folder and part of a URL, so only ASCII letters, digits, '_', '-' and, "
    "inside, '.' are allowed, which clients do not encode in a URL; use {suggested!r}, for example",
)
TENSOR_NAME = Message(
    code="tensor-name",
    what="{name!r} is not a valid tensor name: a name is printable text without spaces around it and without '..' as a path "
    "component",
)
OUTPUT_IS_INPUT = Message(
    code="output-is-input",
    what="an input has the same name, and names in an ONNX graph are unique; call the output {suggested!r}, for example",
)
RENAMED = Message(
    code="output-renamed",
    what="Output {own} is served as {name} because an input has the same name. To choose another name, write "
    "outputs: {{refined: {{}}}} in the spec.",
)
SPELLED = Message(
    code="model-name-spelled",
    what="{source} is served as model {name} because Triton's HTTP endpoint accepts only ASCII names. To choose another name, use "
    "--name.",
)
RUNTIME_LACKS_OPERATOR = Message(
    code="onnxruntime-lacks-operator",
    what="ONNX Runtime's CPU provider does not implement {operator} for {type}.",
    cause="the model computes in {type}: its weights or inputs have that type, or forward() enables torch.autocast",
    next_step="make the model compute in float32: {remedy}",
)
RUNTIME_LACKS_OTHER = Message(
    code="onnxruntime-lacks-type",
    what="ONNX Runtime's CPU provider does not implement {operator} for {type}.",
    next_step="rewrite that part of the model with other operators or types",
)
EXPORT_ENDED = Message(
    code="export-ended",
    what="The export process ended without an ONNX file.",
    cause="the exporter or the model's code hangs, crashes, or needs more memory than the limit",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
EXPORT_FAILED = Message(
    code="export-failed",
    what="PyTorch's {strategy} exporter could not export the model.",
    cause="an operator or a construct that this exporter does not support",
)
EXPORTED_NAMES = Message(
    code="exported-names-differ",
    what="The {kind}s of the exported file differ from the model's in name, type or rank.",
    cause="the exporter renamed, dropped or retyped one",
    next_step="try another exporter: strategies: [legacy] or [dynamo] in the spec",
)
EXPORTED_SIZE = Message(
    code="exported-size-differs",
    what="The size of axis {axis} of {kind} {name!r} differs in the exported file.",
    cause="the model's code computes the size from something other than its inputs",
    next_step="try another exporter: strategies: [legacy] or [dynamo] in the spec",
)
EXPORTED_AXIS_FIXED = Message(
    code="exported-axis-fixed",
    what="The exporter fixed axis {axis} of {kind} {name!r}, which is dynamic in the spec.",
    cause="the model's code turns that size into a Python number",
    next_step="keep the size out of Python numbers and branches, or fix axis {axis} of {name} in the spec",
)
EXPORTER_OPSET = Message(
    code="exporter-opset",
    what="The dynamo exporter does not write opset {opset}.",
    next_step="set opset: {lowest} in the spec",
)
EXPORTER_SILENT = Message(
    code="exporter-silent",
    what="torch.onnx.export() returned nothing.",
    cause="the exporter failed without an exception",
    next_step="try another exporter: strategies: [legacy] in the spec",
)
SOURCE_NOT_REPRODUCIBLE = Message(
    code="source-not-reproducible",
    what="The source builds a different model each time it is loaded: its parameters differ from those of the reference run.",
    cause="weights that are initialized at random, with a different seed each time",
    next_step="load fixed weights: give a state dict (weights in the spec), or seed the generator in the factory",
)
RUNTIME_LIBRARY = Message(
    code="onnxruntime-library-not-loaded",
    what="ONNX Runtime does not load the library of custom operators.",
    cause="the library was built for a different version of ONNX Runtime, or a library that it needs is missing",
    next_step="run ldd on the library, and build it for the version of ONNX Runtime that `tritonize doctor` names",
)
RUNTIME_NOT_LOADED = Message(
    code="onnxruntime-not-loaded",
    what="ONNX Runtime does not load the ONNX file.",
    cause="the file is invalid, or uses an opset or operator that this version of ONNX Runtime lacks",
    next_step="write the file with another opset; of a model that tritonize exports: opset in the spec, --opset, or other "
    "exporters (strategies in the spec). `tritonize doctor` names the version of ONNX Runtime",
)
RUNTIME_INPUTS = Message(
    code="onnxruntime-inputs-differ",
    what="The inputs of the exported file differ from the model's.",
    cause="the exporter dropped an input that the model does not use, or renamed one",
    next_step="remove inputs that the model does not use, or name the inputs as forward() does",
)
RUNTIME_FAILS = Message(
    code="onnxruntime-fails",
    what="ONNX Runtime fails on the ONNX file at batch {size}.",
    cause="a size that is fixed inside the graph, or an operator that ONNX Runtime's CPU provider lacks",
    next_step="make the size dynamic in the model's code; of a model that tritonize exports, or try other exporters (strategies in "
    "the spec)",
)
INDEX_OUTSIDE = Message(
    code="onnxruntime-index-outside",
    what="An index is outside of the rows that the model selects from: ONNX Runtime fails at batch {size}.",
    cause="an integer input, such as token numbers, has samples that the model does not accept: {ranges}",
    next_step="state the valid numbers in the spec, such as `range: [0, 999]` under inputs, or correct your sample files",
)
NO_FUNCTION = Message(
    code="no-onnx-function",
    what="The {exporter} exporter has no ONNX function for the operator {operator}.",
    next_step='write one, as docs/how-to/custom-operators.md shows: @tritonize.operator("{operator}", opset=18) in a file that '
    "--operators or the spec's operators name",
)
NO_FUNCTION_FOR = Message(
    code="no-onnx-function-for-part",
    what="The {exporter} exporter cannot convert a part of the model that is not a PyTorch operator: {what}.",
    next_step="write that part with PyTorch's operators, or choose other exporters under strategies in the spec",
)
FIXED_WEIGHT = Message(
    code="fixed-weight",
    what="Input {name!r} is a weight in the ONNX file, which ONNX Runtime treats as a constant, so clients cannot send it.",
    next_step="remove it from the inputs, or save the file with ir_version 4 or newer to make it an optional input",
)
FIXED_AXIS = Message(
    code="fixed-axis",
    what="PyTorch's {strategy} exporter could not export the model: its code fixes the size of axis {axis} of {name}.",
    cause="a Python loop over the axis, or a Python number or branch that depends on its size",
    next_step=(
        "compute over the whole axis at once (nn.LSTM instead of a loop over nn.LSTMCell, tensors for Python numbers), or fix "
        "axis {axis} of {name} in the spec"
    ),
)
AUTOCAST_IN_SCRIPT = Message(
    code="autocast-in-script",
    what="PyTorch's {strategy} exporter could not export the model.",
    cause="forward() enables torch.autocast for a type that neither this exporter nor ONNX Runtime's CPU provider supports",
    next_step="remove torch.autocast from forward() and save the file again",
)
STRATEGY_FAILED = Message(
    code="export-strategy-failed",
    what="The {strategy} export failed.",
    next_step="{steps}",
)
STRATEGIES_FAILED = Message(
    code="export-strategies-failed",
    what="None of {count} export strategies made a correct ONNX file.",
    next_step="{steps}",
)
