"""What is said of inputs and samples."""

from __future__ import annotations

from tritonize.wording import Message

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
