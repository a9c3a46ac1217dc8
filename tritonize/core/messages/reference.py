"""Messages about the reference model: data-dependent branches, training mode, and what changes when it is loaded."""

from __future__ import annotations

from tritonize.core.messages import Message

FROZEN_BRANCH = Message(
    code="frozen-branch",
    what="The export freezes a data-dependent branch, and all samples take the same side of it.",
    cause="the exporter traces one run, so the file always takes the side of that run, and no drawn sample tests the other side",
    next_step=(
        "add samples that take the other side (samples.files, samples.function or a wider range of the inputs), or write the "
        "branch with torch.where or torch.cond; if no request ever takes the other side, set accept_branches: [{sites}] in the spec"
    ),
)
BRANCH_ACCEPTED = Message(
    code="branch-accepted",
    what="The spec accepts the branch at {where}: the file always takes the side that all samples took ({seen}).",
)
BRANCH_FROZEN = Message(
    code="branch-frozen",
    what=(
        "The export freezes the branch at {where}, and the samples take different sides of it ({seen}): a likely cause of the "
        "difference. Write the branch with torch.where or torch.cond."
    ),
)
BRANCH_NOT_TAKEN = Message(
    code="accepted-branch-not-frozen",
    what="accept_branches lists {where}, where the export freezes no branch.",
)
BRANCHES_NOT_OBSERVABLE = Message(
    code="branches-not-observable",
    what=(
        "tritonize cannot check data-dependent branches: {source} is a traced file, which holds only the side of each branch that "
        "its example took. To check branches, export from the Python code (package.module:factory)."
    ),
)
EXPORTED_WAY = Message(
    code="exported-way",
    what=(
        "{where} checks whether the model is being exported, so the file may compute something else than PyTorch there. Both were "
        "compared on the samples; add samples that take every branch that PyTorch runs."
    ),
)
STATE_DECIDES = Message(
    code="state-decides",
    what="The model returns different outputs for the same input, and it changes its own attributes in forward().",
    cause="the output depends on state from earlier calls (a counter, a cache) or on random numbers",
    next_step="make the state or the random numbers an input and an output of forward(), or compute them in __init__",
)
STATE_KEPT = Message(
    code="state-kept",
    what=(
        "The model changed its own attributes in forward(): {changed}. The file holds their values from the exported run. If "
        "forward() reads them, this is a likely cause of the difference."
    ),
)
TRAINING_MODE = Message(
    code="training-mode",
    what="The model is in training mode after loading, and the spec has training: error.",
    cause="a module is in training mode until eval() is called, and a TorchScript file keeps the mode in which it was saved",
    next_step="call model.eval() before you return or save the model, or set training: eval (the default) in the spec",
)
EVALUATION_SWITCHED_ON = Message(
    code="evaluation-switched-on",
    what=(
        "tritonize switched the model from training to evaluation mode. In training mode, its outputs differ by up to "
        "{difference} (output {output}). To keep training mode, set training: keep in the spec."
    ),
)
EVALUATION_SWITCHED_ON_UNMEASURED = Message(
    code="evaluation-switched-on-unmeasured",
    what=(
        "tritonize switched the model from training to evaluation mode. Its outputs in training mode were not compared: {reason}."
    ),
)
TRAINING_KEPT = Message(
    code="training-kept",
    what=(
        "The model stays in training mode (training: keep in the spec). In evaluation mode, its outputs differ by up to "
        "{difference} (output {output})."
    ),
)
TWO_OUTPUTS = Message(
    code="attention-two-answers",
    what=(
        "PyTorch computes two different outputs for this model. With attention's fast path, which PyTorch takes in eval() under "
        "no_grad(), output {output} differs by up to {difference} from the same code without it, which every export computes. "
        "Usual cause: a padding mask, since the fast path writes zeros at masked positions. Mask what follows, such as a mean over "
        "positions, or choose a reference in the spec: reference: math, or reference: fast_path."
    ),
)
REFERENCE_CHOSEN = Message(
    code="attention-answer-chosen",
    what=(
        "The reference is PyTorch {reference} (reference: {chosen} in the spec). The outputs of the other path differ by up to "
        "{difference} (output {output})."
    ),
)
COMPILED_DIFFERS = Message(
    code="compiled-differs",
    what=(
        "The reference is the model without torch.compile. Output {output} of the compiled model differs from it by up to "
        "{difference}."
    ),
)
COMPILE_TAKEN_OFF = Message(
    code="compile-taken-off",
    what="The reference is the model without torch.compile ({parts}){compared}.",
)
OTHER_PATH_FAILED = Message(
    code="attention-not-compared",
    what="Attention's {path} could not be compared with the reference: {reason}.",
)
NOT_BATCHABLE = Message(
    code="model-not-batchable",
    what="The model is not batchable: its outputs for a batch of {size} differ from its outputs for the samples one by one.",
    cause="the model mixes the samples of a batch, or has no batch axis",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or change the model",
)
BELOW_ROUNDING = Message(
    code="tolerance-below-rounding",
    what="The tolerance of output {output!r} is below the rounding of {dtype}: PyTorch's own outputs for a batch of {size} and for "
    "the samples one by one differ by more.",
    cause="rtol and atol are smaller than the rounding error of one operation; the model itself is batchable",
    next_step="set the output's tolerance to at least {{rtol: {rtol}, atol: {atol}}} (--rtol, --atol on the command line)",
)
BATCH_FAILS = Message(
    code="model-batch-fails",
    what="The model is not batchable: PyTorch runs it on one sample and fails on a batch of {size}.",
    cause="the model's code is written for one sample, or an input or output has no batch axis",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or change the model",
)
NO_SUCH_OUTPUT = Message(
    code="spec-output-unknown",
    what="The spec has rules for an output that the model does not have.",
    cause="a misspelled name under outputs",
    next_step="write one of the model's outputs under outputs in the spec",
)
OTHER_OUTPUTS = Message(
    code="outputs-vary",
    what="The model's outputs are not the same for every sample.",
    cause="forward() returns more, fewer or other outputs depending on its input",
    next_step="return the same outputs for every input",
)
OTHER_OUTPUT_TYPE = Message(
    code="output-type-varies",
    what="The element type of an output is not the same for every sample.",
    cause="forward() returns a type that depends on the values or the size of its input",
    next_step="cast the output to one type in forward()",
)
OUTPUT_NOT_SERVABLE = Message(
    code="output-type-not-servable",
    what="Output {name!r} has an element type that Triton does not serve.",
    next_step="cast it in forward() to a type that Triton serves, such as float32; split a complex tensor with view_as_real",
)
MODEL_ENDED = Message(
    code="model-process-ended",
    what="The process that loads and runs the model in PyTorch ended without outputs.",
    cause="the model's code exits, hangs, crashes, or needs more memory than the limit",
    next_step="if it only needs more time or memory, raise deadline_s or memory_mib in the spec",
)
STILL_TRAINING = Message(
    code="part-in-training-mode",
    what="A part of the model is in training mode after model.eval().",
    cause="the module overrides train() or eval(), or calls train() in forward()",
    next_step="let model.eval() reach every part of the model",
)
STATE_WRITTEN = Message(
    code="state-written",
    what="The model writes its own parameters or buffers when it runs; an ONNX file cannot do that.",
    cause="forward() writes a buffer: a counter, a running mean, a cache",
    next_step="make the state an input and an output, or do not write it in evaluation mode",
)
NOT_DETERMINISTIC = Message(
    code="not-deterministic",
    what="The model is not deterministic: it returns different outputs for the same input.",
    cause="random operators, dropout that ignores evaluation mode, time, or hidden state",
    next_step="make the random numbers an input, or switch them off in evaluation mode",
)
