"""Messages about Python steps and ensembles."""

from __future__ import annotations

from tritonize.core.messages import Message

RAISED = Message(
    code="step-raised",
    what="The Python step raised an error on inputs as the spec describes them: {described}.",
    next_step="correct the function, or the description of its inputs (dtype, shape, range)",
)
OPTIONAL_BY_NAME = Message(
    code="step-optional-by-name",
    what="A Python step with optional inputs needs a function with a parameter of every input's name.",
    next_step="give the parameters the names of the inputs, and the optional ones a default",
)
OUTPUTS = Message(
    code="step-outputs",
    what="The Python step returned something else than the outputs that the spec describes.",
    next_step="correct the function, or dtype and shape under outputs; a type is never changed silently",
)
NOT_LOADED = Message(
    code="step-not-loaded",
    what="The file of the Python step cannot be imported.",
    next_step=(
        "list the files that it imports or reads under files; a step may import NumPy and the standard library, and what else the "
        "server has installed"
    ),
)
NO_STEP_FUNCTION = Message(
    code="step-no-function",
    what="The file of the Python step has no function {name!r}.",
    next_step="correct python in the spec (file.py:function)",
)
VARIES = Message(
    code="step-varies",
    what="The Python step returned different values for the same inputs.",
    cause="it uses random numbers, the time, or state from earlier calls",
    next_step="make its result depend on its inputs alone",
)
ENDED = Message(
    code="step-ended",
    what="The process that ran the Python step ended before it returned.",
    next_step="correct the function; deadline_s and memory_mib of the model are its limits",
)
STEP_UNPROVEN = Message(
    code="ensemble-step-unproven",
    what="its step {step!r} was not published, and its own report says why",
)
STEP_ABSENT = Message(
    code="ensemble-step-absent",
    what="The ensemble's step {step!r} has no version in the repository.",
    next_step="run the whole spec, or the step first: -m {step}",
)
STEP_DAMAGED = Message(
    code="ensemble-step-damaged",
    what="The files of the ensemble's step {step!r} differ from what was proven.",
    next_step="run the step again: -m {step}",
)
MISFIT = Message(
    code="ensemble-misfit",
    what="The ensemble does not fit the models of its steps: {count}.",
    next_step="correct the ensemble in the spec, or its steps",
)
OTHER_VERSION = Message(
    code="ensemble-step-version",
    what="the ensemble was proven with another version of its step {step}; run the ensemble again",
)
STEP_CHANGED = Message(
    code="ensemble-step-changed",
    what="the step changed after the ensemble was proven with it",
)
STEPS_MOVED = Message(
    code="ensemble-steps-moved",
    what="A step of the ensemble changed while the ensemble was compared.",
    next_step="run the ensemble again",
)
OWN_REFERENCE = Message(
    code="step-reference",
    what=(
        "The reference is the Python step's own function, called in a process without a server. This proves that Triton runs the "
        "function as it is, and not that the function is right; an ensemble's comparison with PyTorch covers that."
    ),
)
OTHER_PYTHON = Message(
    code="step-other-python",
    what=(
        "The step ran with the Python of the embedded server and NumPy 1.26. A stock Triton has its own versions of both, which "
        "were not run here."
    ),
)
STEPS_USED = Message(code="ensemble-steps", what="The steps were served from their published versions: {steps}.")
NOTHING_EXPORTED = Message(
    code="step-nothing-exported",
    what="Nothing is exported of {name!r}, which is {kind}.",
    next_step="name a model with a source that is exported: -m MODEL",
)
STEPS_GONE = Message(
    code="ensemble-steps-gone",
    what="Outputs and latency were not compared: the repository has changed or lost their steps: {steps}. {differences}",
)
STEPS_OWN = Message(code="ensemble-steps-own", what="Each version was served with the steps that it was proven with. {differences}")
ONLY_SERVED = Message(
    code="only-served",
    what="a Python step or an ensemble is compared when it is served: use `tritonize run`",
)
