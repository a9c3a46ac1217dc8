"""Messages about model files, factories and weights that cannot be found or loaded, and what to write instead."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_FILE = Message(code="source-no-file", what="The model file does not exist.")
DID_YOU_MEAN_FILE = Message(
    code="source-near-file",
    what="The model file does not exist; its folder has {near}.",
    next_step="write {written}",
)
DID_YOU_MEAN_FACTORY = Message(
    code="source-near-factory",
    what="This is neither an existing model file nor a factory of the form package.module:factory.",
    next_step="write {written}",
)
FACTORY_SUFFIX = Message(
    code="source-factory-suffix",
    what="A factory is written as package.module:factory, not as file.py:factory.",
    next_step="write {written}",
)
NO_FACTORY = Message(
    code="source-no-factory",
    what="The factory does not exist: module {module} has no {name}.",
    next_step="name a function or a class of that module",
)
NEAR_FACTORY = Message(
    code="source-near-attribute",
    what="The factory does not exist: module {module} has no {name}; it has {near}.",
    next_step="write {written}",
)
AOT_INDUCTOR = Message(
    code="source-aot-inductor",
    what="AOTInductor compiled this .pt2 file: it holds machine code for one machine and no program to export.",
    next_step="save the program it was compiled from: torch.export.save(torch.export.export(model, example), path)",
)
WEIGHTS_KEY = Message(
    code="weights-key",
    what="The file is not a state dict; its entry {key} is.",
    cause="a training library saved the state dict together with other data, such as the optimizer's state",
    next_step="write weights: {{{written}}} in the spec",
)
WEIGHTS_PREFIX = Message(
    code="weights-prefix",
    what="The names in the state dict have a prefix that the factory's module does not have: {prefix}",
    cause="it was saved from a wrapper: DataParallel (module.), torch.compile (_orig_mod.), a training library (model.)",
    next_step="write weights: {{{written}}} in the spec",
)
WEIGHTS_WRAPPED = Message(
    code="weights-wrapped",
    what="The names in the factory's module have a prefix that the state dict does not have: {prefix}",
    cause="the factory returns a wrapper: DataParallel (module.), torch.compile (_orig_mod.)",
    next_step="return the module inside the wrapper",
)
WEIGHTS_NO_KEY = Message(
    code="weights-no-key", what="The weights file has no entry {key}.", next_step="set weights.key in the spec to an existing entry"
)
WEIGHTS_NO_PREFIX = Message(
    code="weights-no-prefix", what="No name in the state dict starts with {prefix}", next_step="correct weights.prefix in the spec"
)
WANTS_GPU = Message(
    code="model-wants-gpu",
    what="The model's code requires a GPU, and tritonize runs PyTorch on the CPU.",
    cause="the code calls .cuda() or .to('cuda'), or sets device='cuda'",
    next_step="use the device of an input or of a weight, such as x.device",
)
MISSING_MODULE = Message(
    code="model-missing-module",
    what="The model's code imports the Python module {module}, which is not installed.",
    next_step="install it into tritonize's environment, or add its folder to search_path in the spec",
)
FROZEN_DEVICE = Message(
    code="script-frozen-device",
    what="The code of the TorchScript file requires the device {device}, and tritonize runs PyTorch and ONNX Runtime on the CPU.",
    cause="forward() creates a tensor with device='cuda', or the model was traced on a GPU; map_location moves only weights",
    next_step="move the model and its example to the CPU, and trace or script it again; in its code, use the device of an input",
)
BAKED_TRAINING = Message(
    code="baked-training",
    what="The file computes in training mode even after eval(): {operators}.",
    cause="the model was traced or exported before eval() was called",
    next_step="call model.eval() first, then trace or export it again",
)
OBSERVERS = Message(
    code="quantization-observers",
    what="The model's quantization observers are on, so it changes its own state in forward().",
    cause="the model was prepared for quantization (prepare_qat, prepare) and not converted",
    next_step=("turn them off in the factory: model.apply(torch.ao.quantization.disable_observer); fake quantization may stay on"),
)
MODEL_RAISED = Message(
    code="model-raised",
    what="The model raised an error when PyTorch ran it on a sample.",
    cause="a name, shape, type or range of values that the model does not take; it was given {described}",
    next_step="correct --input or the spec's inputs (dtype, shape, range, or the step of an axis that takes not every size), "
    "or give real samples (samples.files)",
)
