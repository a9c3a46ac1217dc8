"""Messages about linting a repository and proposing a configuration."""

from __future__ import annotations

from tritonize.core.messages import Message

REPOSITORY_UNREADABLE = Message(
    code="lint-repository-unreadable",
    what="The model repository cannot be read.",
    next_step="check who owns it with `ls -ld`",
)
NO_RULE = Message(code="lint-no-rule", what="There is no such lint rule.", next_step="tritonize lint --rules")
FIX_LINK = Message(code="lint-fix-link", what="the configuration is behind a symbolic link")
FIX_PROVEN = Message(
    code="lint-fix-proven",
    what="a version was proven with this configuration; change the spec, and run `tritonize run --replace-config`",
)
FIX_CHANGED = Message(code="lint-fix-changed", what="the configuration changed while lint ran; run it again")
FIX_WORSE = Message(code="lint-fix-worse", what="the change would cause another problem")
ORACLE_WITH_IGNORE = Message(
    code="lint-oracle-ignore",
    what="--oracle compares the verdict of all rules, so it cannot be combined with --ignore.",
    next_step="remove --ignore",
)
MODEL_UNREADABLE = Message(
    code="config-model-unreadable",
    what="The model file cannot be read.",
    next_step="check the path, and who owns the file with `ls -l`",
)
CONFIG_NO_MODEL = Message(
    code="config-no-model",
    what="The file is not an ONNX file, so it has no configuration.",
    cause="the file was cut off, or is of another format",
    next_step="name an .onnx file, or a .plan file with its metadata",
)
CONFIG_NO_TENSOR = Message(
    code="config-no-tensor",
    what="Triton cannot serve the model: an input or output is not a tensor of a type that Triton has.",
    next_step="export the model with tensors as inputs and outputs; of scikit-learn models, without ZipMap",
)
CONFIG_PLAN = Message(
    code="config-plan-metadata",
    what="The configuration of a plan cannot be told without its metadata.",
    cause="only TensorRT on a GPU of its kind can read a plan's inputs and outputs; `tritonize plan build` writes them beside it",
    next_step="build the plan with `tritonize plan build`, or run this on the ONNX file that the plan was built from",
)
CONFIG_NO_BATCHES = Message(
    code="config-no-batches",
    what="The model takes no batches.",
    cause="it was exported without a dynamic batch axis",
    next_step="export it with a dynamic first axis, or leave out --max-batch-size",
)
CONFIG_BATCH = Message(
    code="config-batch-too-large",
    what="The plan takes no batches of this size.",
    next_step="pass a smaller --max-batch-size, or build the plan with a larger profile",
)
CONFIG_THERE = Message(
    code="config-there",
    what="The model has a config.pbtxt already, and nothing is overwritten.",
    next_step="print the other one without --write, and compare them",
)
CONFIG_PROVEN_WITHOUT = Message(
    code="config-proven-without",
    what="Version {version} was proven without a config.pbtxt, so its evidence does not cover one.",
    next_step="remove the evidence, write the file and prove the version again: rm -r {evidence} && tritonize config {directory} "
    "--write && tritonize adopt {repository} {model}",
)
CONFIG_FOLDER = Message(
    code="config-no-version",
    what="The folder has no version with a model file that describes itself: model.onnx, or model.plan with its metadata.",
    next_step="name the file; or ask a server that has loaded the model: tritonize config {directory} --url http://HOST:8000",
)
CONFIG_WRITE = Message(
    code="config-write-where",
    what="With --write, name a model's folder in its repository, or a model file in a version of it.",
    next_step="name the folder: tritonize config model_repository/MODEL --write",
)
CONFIG_SIZE_OF_SERVER = Message(
    code="config-size-of-server",
    what="--max-batch-size does not apply to a configuration that a server made.",
    next_step="leave out one of --url and --max-batch-size",
)
CONFIG_NAME = Message(
    code="config-model-name",
    what="The name is not valid for a model.",
    next_step="rename the folder: only ASCII letters, digits, '_' and '-' are allowed",
)
