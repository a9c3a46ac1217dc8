"""What is said of inputs and samples."""

from __future__ import annotations

from tritonize.core.messages import Message

TEXTS = Message(code="texts-wanted", what="The samples of text do not go with the model's inputs.")

NOT_THE_INPUTS = Message(
    code="inputs-not-parameters",
    what="The inputs are not those of the model's forward().",
    next_step="name every input after its parameter, or use INPUT__0, INPUT__1, … for the first, the second, and so on",
)
LEFT_OUT = Message(
    code="input-left-out",
    what="Parameter {name!r} of forward() gets no input, and None is not a value of it, so those behind it have no place.",
    next_step="name every input after its parameter, or give one for {name!r} too",
)
NONE_IN_LIST = Message(
    code="sample-none-in-list",
    what="Input {name!r} of a sample is None inside a list, where it cannot be left out.",
    next_step="use a dictionary, whose entry may be left out, or give a tensor",
)
NO_TENSOR = Message(
    code="sample-no-tensor",
    what="Input {name!r} of a sample is no array or tensor.",
)
NONFINITE = Message(
    code="nonfinite-differs",
    what="With {case} among the inputs, output {output!r} is not what PyTorch answers: {reason}.",
)
NONFINITE_FAILS = Message(
    code="nonfinite-fails",
    what="With {case} among the inputs, PyTorch answers and the ONNX file fails.",
)
NONFINITE_NOTE = Message(
    code="nonfinite-note",
    what="{what} PyTorch: {expected}; the file: {found}. That is a note; nan: strict under quality makes it a finding.",
)
NO_BATCH = Message(
    code="edge-not-batchable",
    what="the model cannot batch it with another sample: {why}",
)
NOT_PADDED = Message(
    code="not-padded",
    what="The server is not asked for samples beside zeros, as clients pad: the model does not answer them as alone: {why}.",
)
PICKLED_TEXT = Message(
    code="samples-pickled",
    what="A sample file holds Python objects, which only a pickle can hold, and no pickle is loaded.",
    cause="an array of text with dtype=object",
    next_step="save text as an array of NumPy's own text type: np.savez(path, words=np.array([...], dtype=str))",
)
TEXT_FORM = Message(
    code="text-form",
    what="A text does not say which input it is for.",
    next_step="write --text NAME=TEXT, or --text NAME=@FILE for a file with one text per line",
)
TEXT_FILE = Message(
    code="text-file",
    what="The file of texts cannot be read.",
)
INPUT_TYPE = Message(
    code="input-type",
    what="Input {name!r} of the ONNX file has another element type than the one that is described.",
    next_step="leave the inputs out, since the file says them, or write the file's type",
)
EDGE_CASE_DROPPED = Message(
    code="edge-case-dropped",
    what="Edge case {name} is not among the samples: {why}.",
)
NOT_NEGATIVE = Message(
    code="integers-not-negative",
    what="Integer inputs were proven for 0 to 9 only: the model refuses negative ones.",
)
