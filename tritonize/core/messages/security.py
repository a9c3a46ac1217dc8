"""Messages about input that tritonize refuses to execute, and about the isolation of workers."""

from __future__ import annotations

from tritonize.core.messages import Message

ARCHIVE_AMBIGUOUS = Message(
    code="archive-ambiguous",
    what="Archive readers can disagree about the contents of the model file, so tritonize does not load it.",
    cause="the file is damaged, was repacked with another tool, or was crafted to hide something",
    next_step="save the model again with torch.export.save or torch.jit.save",
)
ARCHIVE_EXPANDS = Message(
    code="archive-expands",
    what="The model file expands to more bytes than its size allows.",
    cause="the file was crafted to fill the memory; PyTorch compresses only code, and only slightly",
    next_step="save the model again from its source",
)
MODEL_UNREADABLE = Message(
    code="model-unreadable",
    what="The model file cannot be read.",
    next_step="check the path, and who owns the file with `ls -l`",
)
EXPRESSION_REFUSED = Message(
    code="expression-refused",
    what="The model file holds an expression that is not arithmetic; PyTorch would execute it as Python.",
    cause="the file was crafted to run code when it is loaded",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
NAME_REFUSED = Message(
    code="name-refused",
    what="The model file holds a name that is not a Python identifier; PyTorch would write it into Python code.",
    cause="the file was crafted to run code when it is loaded",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
TARGET_REFUSED = Message(
    code="target-refused",
    what="The model file calls a Python function that is not a graph operator.",
    cause="the file was crafted to run code, or another version of PyTorch wrote it",
    next_step="export the model again from its own code, with torch.export.export and torch.export.save",
)
OPERATOR_REFUSED = Message(
    code="operator-refused",
    what="The model uses the operator {operator}, which {reason}; tritonize does not run it.",
    next_step="remove the call from the model and save it again",
)
CLASS_REFUSED = Message(
    code="class-refused",
    what="The model file holds an object of the C++ class {name}, which is not a packed weight; tritonize does not create it.",
    next_step="replace the object in the model with tensors and save it again",
)
PAYLOAD_REFUSED = Message(
    code="payload-refused",
    what="The model file holds {payload}, which runs code when it is loaded.",
    next_step="export the model again with plain tensors: torch.export.save(program, path)",
)
CODE_REFUSED = Message(
    code="code-refused",
    what="The code of the TorchScript file calls an operator in a form that torch.jit.save never writes.",
    cause="the file's code was changed by hand",
    next_step="save the model again with torch.jit.save",
)
PROGRAM_UNREADABLE = Message(
    code="program-unreadable",
    what="The program description in the model file does not have the format that torch.export.save writes.",
    next_step="export the model again with torch.export.save",
)
TEMPLATE_UNUSABLE = Message(
    code="template-unusable",
    what="The configuration template cannot be used.",
    next_step="correct the template at the line that is named",
)
TEMPLATE_REFUSED = Message(
    code="template-refused",
    what="The configuration template uses an operation that the sandbox forbids.",
    cause="the template accesses Python internals, or builds a value without a size limit",
    next_step="use only the names, filters and loops of templates/config.pbtxt.j2",
)
TEMPLATE_FILE_REFUSED = Message(
    code="template-file-refused",
    what="The configuration template includes a file that it is not allowed to read.",
    next_step="put the file next to the template, with the suffix .j2",
)
TEMPLATE_UNENDING = Message(
    code="template-unending",
    what="Rendering the configuration template exceeds the limit on time or size.",
    cause="a loop over a large range, or a text that is repeated very often",
    next_step="shorten the loops in the template",
)
ISOLATION_MISSING = Message(
    code="isolation-missing",
    what="This machine cannot isolate workers, so nothing was run.",
    next_step="run `tritonize doctor` to see what is missing; on a disposable machine, run without --isolate",
)
ISOLATION_UNKNOWN = Message(
    code="isolation-unknown",
    what="The test for worker isolation on this machine did not complete.",
    next_step="run `tritonize doctor`; on a disposable machine, run without --isolate",
)
ISOLATION_OPENS_HOME = Message(
    code="isolation-opens-home",
    what="The folder of the model's code is or contains your home directory, and an isolated worker could read all of it.",
    next_step="move the code into its own folder and run tritonize from there",
)
ISOLATION_REFUSED = Message(
    code="isolation-refused",
    what="The kernel refused a part of the isolation, so the worker was not started.",
    next_step="run `tritonize doctor` to see what this machine supports",
)
