"""What is said of the model that everything is compared with: its branches on data, its modes, what loading it changes."""

from __future__ import annotations

from tritonize.core.messages import Message

FROZEN_BRANCH = Message(
    code="frozen-branch",
    what="The export freezes a decision that the model takes on data, and every sample decides it alike.",
    cause=(
        "the exporter traces one run: the file always takes the side that this run took, and no sample but zeros shows the other"
    ),
    next_step=(
        "give samples on both sides (samples.files, samples.function or a wider range of the inputs), or write it with torch.where "
        "or torch.cond; if no request ever takes the other side, accept_branches: [{sites}] in the spec"
    ),
)
BRANCH_ACCEPTED = Message(
    code="branch-accepted",
    what="The spec accepts the branch at {where}: the file always takes the side that all samples took ({seen}).",
)
BRANCH_FROZEN = Message(
    code="branch-frozen",
    what=(
        "The export freezes the decision at {where}, which the samples take in several ways ({seen}): a likely cause of the "
        "difference. Write it with torch.where or torch.cond."
    ),
)
BRANCH_NOT_TAKEN = Message(
    code="accepted-branch-not-frozen",
    what="accept_branches names {where}, where the export freezes no decision.",
)
BRANCHES_NOT_OBSERVABLE = Message(
    code="branches-not-observable",
    what=(
        "Branches on data are not observable: {source} is a traced file. Of each branch in the Python code it keeps the side that "
        "its example took, and nothing in it says where. To check branches, export the Python code (package.module:factory)."
    ),
)
EXPORTED_WAY = Message(
    code="exported-way",
    what=(
        "{where} asks whether it is being exported, so the file may compute something else than PyTorch there. Both were compared "
        "on the samples; give samples that take every branch of the code that PyTorch runs."
    ),
)
STATE_DECIDES = Message(
    code="state-decides",
    what="The same input gets another answer each time, and the model changes attributes of its own while it answers.",
    cause="an answer that depends on what earlier calls left behind (a counter, a cache), or on random numbers",
    next_step="make the state an input and an output, or compute it in __init__; random numbers likewise",
)
STATE_KEPT = Message(
    code="state-kept",
    what=(
        "The model changed attributes of its own while it answered: {changed}. The file holds what they were in the run that was "
        "exported. If forward() reads them, this is a likely cause of the difference."
    ),
)
TRAINING_MODE = Message(
    code="training-mode",
    what="The model is loaded in training mode, and the spec says training: error.",
    cause="a module is in training mode until eval() is called, and a TorchScript file is in the mode it was saved in",
    next_step="call model.eval() before it is returned or saved, or write training: eval (the default) in the spec",
)
EVALUATION_SWITCHED_ON = Message(
    code="evaluation-switched-on",
    what=(
        "Evaluation mode was switched on: the model is loaded in training mode; as loaded, its outputs differ by up to "
        "{difference} (output {output}). The version answers as in evaluation mode; training: keep in the spec keeps training mode."
    ),
)
EVALUATION_SWITCHED_ON_UNMEASURED = Message(
    code="evaluation-switched-on-unmeasured",
    what="Evaluation mode was switched on: the model is loaded in training mode, where it answers nothing to compare: {reason}.",
)
TRAINING_KEPT = Message(
    code="training-kept",
    what=(
        "The model is kept in training mode (training: keep in the spec). In evaluation mode its outputs differ by up to "
        "{difference} (output {output})."
    ),
)
TWO_ANSWERS = Message(
    code="attention-two-answers",
    what=(
        "PyTorch has two answers for this model. With attention's fast path, which PyTorch takes by itself in eval() under "
        "no_grad(), output {output} differs by up to {difference} from the same code without it, which every export computes. "
        "Usual cause: a padding mask, since the fast path writes zeros at masked positions. Mask what follows, such as a mean over "
        "positions, or choose one answer in the spec: reference: math, or reference: fast_path."
    ),
)
ANSWER_CHOSEN = Message(
    code="attention-answer-chosen",
    what=(
        "The reference is PyTorch {reference} (reference: {chosen} in the spec); the other answer differs by up to "
        "{difference} (output {output})."
    ),
)
COMPILED_DIFFERS = Message(
    code="compiled-differs",
    what=(
        "The reference is the model without torch.compile, and as loaded, compiled, output {output} differs from it by up to "
        "{difference}."
    ),
)
COMPILE_TAKEN_OFF = Message(
    code="compile-taken-off",
    what="The reference is the model without torch.compile ({parts}){compared}.",
)
ANOTHER_ANSWER_FAILED = Message(
    code="attention-not-compared",
    what="Attention's {path} could not be compared with the reference: {reason}.",
)
NOT_BATCHABLE = Message(
    code="model-not-batchable",
    what="The model is not batchable: its answer to a batch of {size} is not its answers to the samples one by one.",
    cause="the model mixes the samples of a batch, or has no batch axis",
    next_step="set max_batch_size to 0 (--no-batch on the command line), or mend the model",
)
