"""What is said of a model's files and of the code that makes it: what cannot be found or loaded, and what to write instead."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_FILE = Message(code="source-no-file", what="There is no such model file.")
DID_YOU_MEAN_FILE = Message(
    code="source-near-file",
    what="There is no such model file; beside it there is {near}.",
    next_step="write {written}",
)
DID_YOU_MEAN_FACTORY = Message(
    code="source-near-factory",
    what="A factory is named package.module:factory, and there is no such model file either.",
    next_step="write {written}",
)
FACTORY_SUFFIX = Message(
    code="source-factory-suffix",
    what="A factory is named by its module, not by its file.",
    next_step="write {written}",
)
NO_FACTORY = Message(
    code="source-no-factory",
    what="There is no such factory: module {module} has no {name}.",
    next_step="name a function or a class of it",
)
NEAR_FACTORY = Message(
    code="source-near-attribute",
    what="There is no such factory: module {module} has no {name}; it has {near}.",
    next_step="write {written}",
)
AOT_INDUCTOR = Message(
    code="source-aot-inductor",
    what="This .pt2 was compiled by AOTInductor: it holds machine code for one machine, and no program that can be exported.",
    next_step="save the program it was compiled from: torch.export.save(torch.export.export(model, example), path)",
)
WEIGHTS_KEY = Message(
    code="weights-key",
    what="The state dict is not the file itself, but an entry of it: {key}.",
    cause="a training library saved it with other things, such as the optimizer's state",
    next_step="weights: {{{written}}} in the spec",
)
WEIGHTS_PREFIX = Message(
    code="weights-prefix",
    what="The names in the state dict have a prefix that the factory's module does not have: {prefix}",
    cause="it was saved from a wrapper: DataParallel (module.), torch.compile (_orig_mod.), a training library (model.)",
    next_step="weights: {{{written}}} in the spec",
)
WEIGHTS_WRAPPED = Message(
    code="weights-wrapped",
    what="The factory's module has a prefix in its names that the state dict does not have: {prefix}",
    cause="the factory returns a wrapper: DataParallel (module.), torch.compile (_orig_mod.)",
    next_step="return the module inside the wrapper",
)
WEIGHTS_NO_KEY = Message(code="weights-no-key", what="The weights file has no entry {key}.", next_step="name an entry that it has")
WEIGHTS_NO_PREFIX = Message(
    code="weights-no-prefix", what="No name in the state dict starts with {prefix}", next_step="correct weights.prefix in the spec"
)
WANTS_GPU = Message(
    code="model-wants-gpu",
    what="The model's code asks for a GPU, and PyTorch runs on the CPU here.",
    cause="a call of .cuda() or .to('cuda'), or device='cuda'",
    next_step="use the device of the input or of a weight, such as x.device",
)
MISSING_MODULE = Message(
    code="model-missing-module",
    what="The model's code imports the Python module {module}, which is not installed here.",
    next_step="install it beside tritonize, or put it where the spec's search_path finds it",
)
FROZEN_DEVICE = Message(
    code="script-frozen-device",
    what="The TorchScript file has a device in its code: {device}. PyTorch runs on the CPU here, and so does ONNX Runtime.",
    cause="a tensor that forward() makes with device='cuda', or a trace of a model on a GPU; map_location moves weights alone",
    next_step="move the model and its example to the CPU, and trace or script it again; in its code, use the device of an input",
)
BAKED_TRAINING = Message(
    code="baked-training",
    what="The file computes in training mode whatever eval() says: {operators}.",
    cause="it was traced or exported before eval() was called",
    next_step="call model.eval() first, then trace or export it again",
)
OBSERVERS = Message(
    code="quantization-observers",
    what="The model observes its values for quantization, and so changes itself when it answers.",
    cause="it was prepared for quantization (prepare_qat, prepare) and not converted, and its observers are on",
    next_step=(
        "switch them off in the factory: model.apply(torch.ao.quantization.disable_observer); fake quantization may stay on"
    ),
)
MODEL_RAISED = Message(
    code="model-raised",
    what="The model raised an error when PyTorch ran it on a sample.",
    cause="a name, shape, type or range of values that the model does not take; it was given {described}",
    next_step="correct --input or the spec's inputs (dtype, shape, range, or the step of an axis that takes not every size), "
    "or give real samples (samples.files)",
)
