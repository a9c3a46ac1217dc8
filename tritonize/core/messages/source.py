"""Messages about model files, factories, weights and operators that cannot be found, loaded or run, and what to write instead."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_FILE = Message(
    code="source-no-file",
    what="The model file does not exist.",
    next_step="check the path; for a factory, write package.module:factory",
)
NO_STEP_FILE = Message(
    code="step-no-file",
    what="The file of the Python step does not exist.",
    next_step="correct python or files in the spec; paths are relative to the spec's folder",
)
NO_WEIGHTS_FILE = Message(
    code="weights-no-file",
    what="The file with the weights does not exist.",
    next_step="correct the path; in a spec, it is relative to the spec's folder",
)
DID_YOU_MEAN_WEIGHTS = Message(
    code="weights-near-file", what="The file with the weights does not exist.", next_step="write {written}"
)
DID_YOU_MEAN_FILE = Message(
    code="source-near-file",
    what="The model file does not exist.",
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
    what="The factory does not exist: module {module} has no {name}.",
    next_step="write {written}",
)
NOT_TORCHSCRIPT = Message(
    code="source-not-torchscript",
    what="The file is not a TorchScript file.",
    next_step="save the model with torch.jit.trace(model, example).save(path) or torch.jit.script(model).save(path); "
    "or pass a factory, package.module:factory, with the state dict as weights",
)
AOT_INDUCTOR = Message(
    code="source-aot-inductor",
    what="AOTInductor compiled this .pt2 file: it holds machine code for one machine and no program to export.",
    next_step="save the program it was compiled from: torch.export.save(torch.export.export(model, example), path)",
)
NO_PYTHON_MODULE = Message(
    code="source-no-python-module",
    what="Python cannot find the module {module!r}.",
    next_step="run tritonize in the folder that contains it, put it next to the spec, add its folder to search_path, or install it",
)
FACTORY_RAISED = Message(
    code="factory-raised",
    what="The factory raised an error.",
    next_step="correct the factory, or pass other arguments (kwargs in the spec)",
)
FACTORY_RESULT = Message(
    code="factory-result",
    what="The factory did not return a torch.nn.Module.",
    next_step="return the module from the factory, or name another factory",
)
SCRIPT_NOT_LOADED = Message(
    code="torchscript-not-loaded",
    what="PyTorch cannot load the TorchScript file.",
    cause="the file is truncated, or uses custom operators that are not registered here",
    next_step="save the model again, or list the files that register its operators under operators in the spec",
)
PROGRAM_NOT_LOADED = Message(
    code="exported-program-not-loaded",
    what="PyTorch cannot load the exported program.",
    cause="the file is truncated, or another version of torch wrote it",
    next_step="save it with torch.export.save under torch {version}",
)
PROGRAM_INPUT = Message(
    code="exported-program-input",
    what="The exported program has an input that is not a tensor, and Triton serves only tensors.",
    next_step="export it with that value as a constant",
)
PROGRAM_NAMES = Message(
    code="exported-program-names",
    what="The inputs do not match those of the exported program.",
    next_step="name every input as the program does, or use INPUT__0, INPUT__1, … for the first, the second, and so on",
)
MODULE_NOT_PICKLED = Message(
    code="module-not-pickled",
    what="The module cannot be passed to a worker process: it cannot be pickled.",
    cause="it holds a lock, an open file or another object that cannot be pickled",
    next_step="pass a factory instead: package.module:factory",
)
PICKLED_MODULE_NOT_LOADED = Message(
    code="module-not-loaded",
    what="The worker process cannot load the module.",
    next_step="pass a factory instead: package.module:factory",
)
MODULE_DIFFERS = Message(
    code="module-differs",
    what="The module's outputs for the example in a worker process differ from those in your process.",
    cause="the worker imports the class by name from the file as it is now; your process changed a global or a method since",
    next_step="make what the module depends on a part of it, or pass a factory: package.module:factory",
)
EXAMPLE_RAISED = Message(
    code="example-raised",
    what="The module raised an error on its example.",
    next_step="pass an example that the module accepts (example=)",
)
INSPECTION_ENDED = Message(
    code="inspection-ended",
    what="The process that inspects the model ended without a result.",
    cause="loading the model crashes, hangs, or needs more time or memory than the limit",
    next_step="raise memory_mib or deadline_s in the spec",
)
WEIGHTS_MISSING = Message(
    code="weights-missing",
    what="The weights file does not exist.",
    next_step="correct weights in the spec; the path is relative to the spec's folder",
)
WEIGHTS_NO_STATE_DICT = Message(
    code="weights-no-state-dict",
    what="The weights file does not contain a state dict.",
    next_step="torch.save(module.state_dict(), path) writes a state dict",
)
WEIGHTS_NOT_LOADED = Message(
    code="weights-not-loaded",
    what="The weights cannot be loaded into the factory's module.",
    cause="the weights belong to another architecture, or the file pickles more than tensors, which tritonize never loads",
    next_step="torch.save(module.state_dict(), path) writes a state dict that can be loaded",
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
    cause="the model does not accept this name, shape, type or range of values: {described}",
    next_step="correct --input or the spec's inputs (dtype, shape, range, or the step of an axis that does not take every size), "
    "or pass real samples (samples.files)",
)
OUTPUT_COUNT = Message(
    code="output-count",
    what="The spec names a different number of outputs than the model has.",
    next_step="name every output of the model in the spec, or none",
)
OUTPUT_NAMES_MIXED = Message(
    code="output-names-mixed",
    what="The spec uses the model's own names for only some of the outputs.",
    next_step="use the model's names for all outputs, or other names for all of them",
)
NO_OUTPUT = Message(
    code="output-none",
    what="The model's output contains no tensor.",
    next_step="wrap the model so that it returns tensors only",
)
OUTPUT_NOT_A_TENSOR = Message(
    code="output-not-a-tensor",
    what="The model's output {name!r} is not a tensor.",
    next_step="wrap the model so that it returns tensors only",
)
SINGLE_OUTPUT_NOT_A_TENSOR = Message(
    code="single-output-not-a-tensor",
    what="The model's output is not a tensor.",
    next_step="wrap the model so that it returns tensors only",
)
OPERATOR_NAME = Message(
    code="operator-name",
    what="Invalid operator name.",
    next_step='write namespace::name, such as @tritonize.operator("mylib::my_op", opset=18)',
)
OPERATORS_MISSING = Message(
    code="operators-missing", what="The operators file does not exist.", next_step="correct operators in the spec"
)
OPERATORS_RAISED = Message(
    code="operators-raised",
    what="The operators file raised an error.",
    next_step="correct the file at the line that is named",
)
