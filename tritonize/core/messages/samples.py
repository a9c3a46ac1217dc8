"""Messages about inputs and samples."""

from __future__ import annotations

from tritonize.core.messages import Message

TEXTS = Message(code="texts-wanted", what="The text samples do not match the model's inputs.")

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
    what="The padded-batch check is skipped, since the model's output for a sample changes if zeros are in the same batch: {why}.",
)
PICKLED_TEXT = Message(
    code="samples-pickled",
    what="A sample file holds pickled Python objects, and tritonize loads no pickles.",
    cause="an array of text with dtype=object",
    next_step="save text as an array of NumPy's own text type: np.savez(path, words=np.array([...], dtype=str))",
)
TEXT_FORM = Message(
    code="text-form",
    what="A --text flag does not name its input.",
    next_step="write --text NAME=TEXT, or --text NAME=@FILE for a file with one text per line",
)
TEXT_FILE = Message(
    code="text-file",
    what="The file that --text names cannot be read.",
)
INPUT_TYPE = Message(
    code="input-type",
    what="The element type given for input {name!r} differs from the one in the ONNX file.",
    next_step="remove the inputs, since tritonize reads them from the file, or write the file's type",
)
EDGE_CASE_DROPPED = Message(
    code="edge-case-dropped",
    what="Edge case {name} is not among the samples: {why}.",
)
NOT_NEGATIVE = Message(
    code="integers-not-negative",
    what="Integer inputs were drawn from 0 to 9 only: the model raises on negative ones.",
)
