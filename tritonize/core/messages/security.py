"""Messages about input that tritonize refuses to execute, and about the isolation of workers."""

from __future__ import annotations

from tritonize.core.messages import Message

ARCHIVE_AMBIGUOUS = Message(
    code="archive-ambiguous",
    what="The model file is not an archive that every reader reads alike, so tritonize does not load it.",
    cause="a file that was damaged, packed again with another tool, or made to hide something",
    next_step="save the model again with torch.export.save or torch.jit.save",
)
ARCHIVE_EXPANDS = Message(
    code="archive-expands",
    what="The model file expands to more bytes than its size allows.",
    cause="a file that is made to fill the memory; PyTorch compresses code alone, and that little",
)
MODEL_UNREADABLE = Message(code="model-unreadable", what="The model file cannot be read.")
EXPRESSION_REFUSED = Message(
    code="expression-refused",
    what="The model file holds an expression that is not arithmetic; PyTorch would execute it as Python.",
    cause="a file that is made to run code when it is loaded",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
NAME_REFUSED = Message(
    code="name-refused",
    what="The model file holds a name that is not a name; PyTorch would write it into Python code.",
    cause="a file that is made to run code when it is loaded",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
TARGET_REFUSED = Message(
    code="target-refused",
    what="The model file calls a Python function that is not an operator of a graph.",
    cause="a file that is made to run code, or a program of another version of PyTorch",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
OPERATOR_REFUSED = Message(
    code="operator-refused",
    what="The model uses the operator {operator}, which {reason}; tritonize does not run it.",
    next_step="remove the call from the model and save it again",
)
CLASS_REFUSED = Message(
    code="class-refused",
    what="The model file holds an object of the C++ class {name}, which is no packed weight; tritonize does not make it.",
    next_step="replace the object in the model with tensors and save it again",
)
PAYLOAD_REFUSED = Message(
    code="payload-refused",
    what="The model file holds {payload}, which runs code when it is loaded.",
    next_step="export the model again with plain tensors: torch.export.save(program, path)",
)
CODE_REFUSED = Message(
    code="code-refused",
    what="The code of the TorchScript file reaches an operator in a way that PyTorch's own writer never writes.",
    cause="a file whose code was changed by hand",
    next_step="save the model again with torch.jit.save",
)
PROGRAM_UNREADABLE = Message(
    code="program-unreadable",
    what="The model file's description of the program is not what torch.export.save writes.",
    next_step="export the model again with torch.export.save",
)
TEMPLATE_UNUSABLE = Message(code="template-unusable", what="The configuration template cannot be used.")
TEMPLATE_REFUSED = Message(
    code="template-refused",
    what="The configuration template does something that a template may not do.",
    cause="a template that reaches for Python's own objects, or makes something without bound",
    next_step="use the names, filters and loops of templates/config.pbtxt.j2 alone",
)
TEMPLATE_FILE_REFUSED = Message(
    code="template-file-refused",
    what="The configuration template includes a file that it may not read.",
    next_step="put the file beside the template, with the suffix .j2",
)
TEMPLATE_UNENDING = Message(
    code="template-unending",
    what="The configuration template does not end, or its text does not.",
    cause="a loop over a large range, or a text that is repeated very often",
)
ISOLATION_MISSING = Message(
    code="isolation-missing",
    what="This machine cannot isolate workers, so nothing was run.",
    next_step="see `tritonize doctor`; on a machine that you can lose, run without --isolate",
)
ISOLATION_UNKNOWN = Message(code="isolation-unknown", what="What this machine has to isolate workers could not be tried.")
ISOLATION_OPENS_HOME = Message(
    code="isolation-opens-home",
    what="The folder of the model's code is your home directory, or holds it: an isolated worker would read all of it.",
    next_step="put the code into a folder of its own and run from there",
)
ISOLATION_REFUSED = Message(
    code="isolation-refused",
    what="The kernel refused a part of the isolation, so the worker was not started.",
    next_step="see `tritonize doctor` for what this machine has",
)
