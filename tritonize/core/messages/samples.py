"""Messages about inputs and samples."""

from __future__ import annotations

from tritonize.core.messages import Message

TEXTS = Message(
    code="texts-wanted",
    what="The text samples do not match the model's inputs.",
    next_step="name the text inputs as the model does, and give texts for text inputs alone (samples.texts, --text NAME=TEXT)",
)
INPUTS_UNKNOWN = Message(
    code="inputs-unknown",
    what="The model's inputs are not described, and tritonize cannot infer them from the model.",
    next_step="describe every input, such as {flags}; or pass a sample function, --sample-function module:function",
)
INPUTS_GUESSED = Message(
    code="inputs-guessed",
    what="The model's inputs are not described, and its file does not store their shapes.",
    cause="channels and features are those of the first layers, and the other sizes are a guess: write your own in their place",
    next_step="tritonize run {source} {flags}",
)
INPUT_NAMES = Message(
    code="input-names",
    what="The name in --input becomes the name of Triton's input: {names}, as the parameters of forward() are called, or INPUT__0, "
    "INPUT__1, … by position.",
)
INPUT_NAME_FREE = Message(code="input-name-free", what="A single input may have any other name.")
INPUTS_UNKNOWN_OBJECT = Message(
    code="inputs-unknown-object",
    what="The model's inputs are not described, and tritonize cannot infer them from the model.",
    next_step="pass example= (a tensor, a tuple or a dictionary of tensors), or inputs= as in a spec",
)
INFERRED_INVALID = Message(
    code="inferred-inputs-invalid",
    what="The inferred inputs are not valid in a spec.",
    next_step="describe the inputs, and the axes that are dynamic, in a spec",
)
NOT_BATCHED = Message(
    code="not-batched",
    what="The first axis of the inputs is fixed in {source}, so Triton forms no batches (max_batch_size 0).",
)
FIRST_AXIS_FIXED = Message(
    code="first-axis-fixed",
    what="The model cannot be batched: the first axis of its inputs is fixed in the file, or differs between them.",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or save the model with a dynamic first axis",
)
AXES_WITHOUT_RANGE = Message(
    code="axes-without-range",
    what="The file does not state the largest size of these dynamic axes: {missing}.",
    next_step="add the sizes, such as {flags}{batch}, or in a spec: axes: {{{axes}}}",
)
NO_SUCH_AXIS = Message(
    code="axis-unknown",
    what="The model has no dynamic axis {name!r}.",
    next_step="name the axis as the file does: --axis NAME=MIN:OPT:MAX, or under axes in the spec; `tritonize inspect` lists them",
)
NO_SUCH_INPUT = Message(
    code="input-unknown",
    what="The ONNX file has no input {name!r}.",
    next_step="write the names that the file has, or leave all inputs out, and they are read from the file",
)
INPUT_NOT_DESCRIBED = Message(
    code="input-not-described",
    what="Input {name!r} of the ONNX file is not described.",
    next_step="describe every input of the file (inputs, --input), or leave all out, and they are read from the file",
)
INPUT_SHAPE = Message(
    code="input-shape",
    what="The shape given for input {name!r} differs from the one in the ONNX file.",
    next_step="leave all inputs out, and they are read from the file, or write the file's shape",
)
INDEX_RANGE = Message(
    code="input-range-outside",
    what="The range of input {name!r} leads outside of the {rows} rows that the model selects from.",
    cause="its values are indices, such as token numbers, and ONNX Runtime fails on one that is too large",
    next_step="write the range of valid indices, or leave `range` out, and it is read from the file",
)
DEFAULT_RANGE = Message(
    code="integer-range-default",
    what="{name}: integers from {low} to {high}, a default: if it takes others, state its range: in the spec",
)
SERVED_SHAPE = Message(
    code="tensor-served-as",
    what="{name} is {shape} in the model and {served}, since Triton accepts no input or output without `dims` besides the batch.",
)
NO_BATCH_AXIS = Message(
    code="input-without-batch-axis",
    what="Input {name!r} has no axis for the batch.",
    next_step="set max_batch_size to 0 (--no-batch)",
)
FUNCTION_MISSING = Message(
    code="sample-function-missing",
    what="The sample function does not exist.",
    next_step="correct samples.function in the spec, or --sample-function: module:function",
)
FUNCTION_NOT_CALLABLE = Message(
    code="sample-function-not-callable",
    what="The object named as the sample function is not a function.",
    next_step="correct samples.function in the spec, or --sample-function: module:function",
)
FUNCTION_RAISED = Message(
    code="sample-function-raised",
    what="The sample function raised an error.",
    next_step="correct the function; tritonize calls it with 0, 1, 2, … and expects one sample",
)
FUNCTION_ENDED = Message(
    code="sample-function-ended",
    what="The process that runs the sample function ended without a result.",
    cause="the function crashes, hangs, or needs more time or memory than the limit",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
FUNCTION_RESULT = Message(
    code="sample-function-result",
    what="The sample function returned no inputs.",
    next_step="return a tensor, a tuple of tensors, or a dictionary from input name to tensor",
)
FUNCTION_INPUT_NAME = Message(
    code="sample-function-input-name",
    what="The sample function returned an input with an invalid name.",
    next_step="use printable names without spaces around them as keys of the dictionary",
)
FUNCTION_DIFFERS = Message(
    code="sample-function-differs",
    what="The samples that the sample function returned differ in names or types.",
    next_step="return inputs with the same names and types for every index",
)
FUNCTION_SHAPES = Message(
    code="sample-function-shapes",
    what="The samples that the sample function returned differ in shape, so tritonize cannot infer the inputs from them.",
    next_step="describe the inputs in the spec, with a name for every axis that varies and its range under axes",
)
NO_FILES = Message(
    code="sample-files-missing",
    what="No sample file matches the pattern.",
    next_step="correct samples.files in the spec, or write the files",
)
FILE_INPUTS = Message(
    code="sample-file-inputs",
    what="The arrays in a sample file do not match the model's inputs.",
    next_step="store one array (in a .json file: nested lists) per input, under the input's name",
)
FILE_TENSOR = Message(
    code="sample-file-tensor",
    what="Input {name!r} in a sample file differs from the spec in type or shape.",
    next_step="correct the file, or the input's dtype and shape in the spec",
)
FILE_BATCH_SIZES = Message(
    code="sample-file-batch-sizes",
    what="The inputs in a sample file are empty or differ in batch size.",
    next_step="give all inputs of one file the same first axis, of size 1 or more",
)
SAMPLES_EQUAL = Message(
    code="samples-equal",
    what="All samples of one shape are equal, and a batch of equal samples cannot test batching.",
    next_step="add a second, different sample of the shape: in a file of its own, or along the first axis of the same file; or set "
    "max_batch_size to 1 (--max-batch-size 1)",
)
MIRRORED = Message(
    code="samples-mirrored",
    what="Samples that are mirrored copies: {count}. A batch needs two samples that differ, and the files have one of that shape. "
    "More files make the proof stronger.",
)

NOT_THE_INPUTS = Message(
    code="inputs-not-parameters",
    what="The inputs do not match the parameters of the model's forward().",
    next_step="name every input after its parameter, or use INPUT__0, INPUT__1, … for the first, the second, and so on",
)
LEFT_OUT = Message(
    code="input-left-out",
    what="Parameter {name!r} of forward() has no input and does not accept None, so later parameters have no position.",
    next_step="name every input after its parameter, or add an input for {name!r}",
)
NONE_IN_LIST = Message(
    code="sample-none-in-list",
    what="Input {name!r} of a sample is None inside a list, where an element cannot be omitted.",
    next_step="use a dictionary and omit the entry, or pass a tensor",
)
NO_TENSOR = Message(
    code="sample-no-tensor",
    what="Input {name!r} of a sample is neither an array nor a tensor.",
    next_step="return a dictionary of NumPy arrays or torch tensors",
)
ARRAY_TYPE = Message(
    code="sample-element-type",
    what="Input {name!r} of a sample has an element type that models do not accept.",
    next_step="convert it to a boolean, integer, floating-point or text array",
)
NONFINITE = Message(
    code="nonfinite-differs",
    what="With {case} among the inputs, output {output!r} differs from PyTorch: {reason}.",
)
NONFINITE_FAILS = Message(
    code="nonfinite-fails",
    what="With {case} among the inputs, the ONNX file fails and PyTorch does not.",
)
NONFINITE_NOTE = Message(
    code="nonfinite-note",
    what="{what} PyTorch: {expected}; the file: {found}. This is a note; to make it a finding, set nan: strict under quality.",
)
NO_BATCH = Message(
    code="edge-not-batchable",
    what="the model cannot batch it with another sample: {why}",
)
NOT_PADDED = Message(
    code="not-padded",
    what="the model's output for a sample changes if zeros are in the same batch: {why}",
)
PICKLED_TEXT = Message(
    code="samples-pickled",
    what="A sample file holds pickled Python objects, and tritonize loads no pickles.",
    cause="an array of text with dtype=object",
    next_step="save text as an array of NumPy's own text type: np.savez(path, words=np.array([...], dtype=str))",
)
NOT_OPTIONAL = Message(
    code="input-not-optional",
    what="Input {name!r} is not optional: the ONNX file has no value for it.",
    next_step="remove `optional`, or save the file with an initializer of the input's name",
)
OMITTED = Message(code="inputs-omitted", what="Optional inputs were compared with and without a value: {names}.")
TEXT_LINES_INPUT = Message(
    code="text-lines-input",
    what="A file with one text per line does not describe the model's inputs.",
    next_step='write a .json file: {{"input": [["good morning"], ["good night"]], "other input": [[1], [2]]}}',
)
TEXT_LINES = Message(
    code="text-lines",
    what="The number of lines in a text file does not fill the model's input: one line is one element.",
    next_step="add or remove lines, or write a .json file; an empty line is an empty text",
)
TEXT_UNUSABLE = Message(
    code="text-unusable",
    what="Input {name!r} in a sample file has text that the model cannot get.",
    next_step="correct the file",
)
TEXT_FORM = Message(
    code="text-form",
    what="A --text flag does not name its input.",
    next_step="write --text NAME=TEXT, or --text NAME=@FILE for a file with one text per line",
)
TEXT_FILE = Message(
    code="text-file",
    what="The file that --text names cannot be read.",
    next_step="correct the path after @; the file is UTF-8 text with one text per line",
)
INPUT_TYPE = Message(
    code="input-type",
    what="The element type given for input {name!r} differs from the one in the ONNX file.",
    next_step="remove the inputs, since tritonize reads them from the file, or write the file's type",
)
ZEROS = Message(code="padded-with-zeros", what="batches padded with zeros")
NOT_NEGATIVE = Message(
    code="integers-not-negative",
    what="Integer inputs were drawn from 0 to 9 only: the model raises on negative ones.",
)
WARMUP_NAMES = Message(
    code="warmup-file-names",
    what="The folder warmup/ beside the versions has files under their own names ({count}), since the configuration {file} names "
    "them and is published as it is. If the names are confidential, rename the files, or describe the warmup in the spec's "
    "section `triton` instead of a configuration of your own: then the names are replaced.",
)
WARMUP_REAL = Message(
    code="warmup-real-samples",
    what="The folder warmup/ beside the versions has copies of {count} of your own samples. If they are confidential, such as "
    "patients' images, set `evidence: {{samples: synthetic}}` in the spec: then Triton warms up with zeros.",
)
