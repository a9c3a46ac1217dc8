"""Messages about ensembles. They come first: such a message may quote the one about the model of a step."""

from __future__ import annotations

from tritonize.triton.load_failures.row import LoadFailure

_MANAGER = "core src/model_repository_manager/model_repository_manager.cc"
_UTILS = "core src/ensemble_scheduler/ensemble_utils.cc"
_CONFIG = "core src/model_config_utils.cc"
_STEP = "config.pbtxt of the ensemble: ensemble_scheduling.step"

TABLE = (
    LoadFailure(
        code="ensemble-step-refused",
        pattern=r"depends on '(?P<step>[^']*)' which (?:is not valid|has no loaded version)",
        cause="the model {step} of a step is not loaded, and an ensemble loads only with all its models",
        fix="correct {step} first: its own message gives the reason",
        where="{step}",
        source=_MANAGER,
    ),
    LoadFailure(
        code="ensemble-step-version",
        pattern=r"depends on '(?P<step>[^']*)' whose required version (?P<version>\d+) is not loaded",
        cause="a step names version {version} of {step}, which the server does not load",
        fix="publish version {version} of {step}, widen its version_policy, or write model_version: -1 for the newest one",
        where=f"{_STEP}.model_version; config.pbtxt of {{step}}: version_policy",
        source=_MANAGER,
    ),
    LoadFailure(
        code="ensemble-step-missing",
        pattern=r"contains models that are not available or ambiguous: (?P<step>.+)",
        cause="the repository has no usable model {step}, or two repositories have one of that name",
        fix="add {step} to the repository, correct its config.pbtxt, or correct model_name in the step",
        where=f"{_STEP}.model_name",
        source=_MANAGER,
    ),
    LoadFailure(
        code="ensemble-circle",
        pattern=r"circular dependency between ensembles: (?P<names>.+)",
        cause="the ensembles {names} contain each other",
        fix="remove one of the steps",
        where=f"{_STEP}.model_name",
        source=_MANAGER,
    ),
    LoadFailure(
        code="ensemble-batch-size",
        pattern=r"allows maximum batch size (?P<own>\d+), but it contains model (?P<step>\S+) which only allows.* to be (?P<its>\d+)",
        cause="the ensemble accepts batches of {own} and its step {step} only of {its}",
        fix="set max_batch_size of the ensemble to at most {its}, or raise that of {step}",
        where="config.pbtxt of the ensemble: max_batch_size",
        source=_UTILS,
    ),
    LoadFailure(
        code="ensemble-map-unknown",
        pattern=r"ensemble tensor (?P<tensor>\S*) is mapp(?:ing to|ed from) non-existing (?P<kind>input|output) (?P<name>.*) in model (?P<step>\S+)",
        cause="the step's model {step} has no {kind} {name}",
        fix="write a name of {step}'s config.pbtxt as the key of {kind}_map",
        where=f"{_STEP}.{{kind}}_map",
        source=_UTILS,
    ),
    LoadFailure(
        code="ensemble-input-unmapped",
        pattern=r"input (?P<name>.*) in model (?P<step>\S+) is not mapped to any ensemble tensors",
        cause="the step's model {step} needs input {name}, which input_map leaves out",
        fix="add an entry with the key {name} to input_map",
        where=f"{_STEP}.input_map",
        source=_UTILS,
    ),
    LoadFailure(
        code="ensemble-map-twice",
        pattern=r"is mapped to multiple ensemble tensors|are mapped to the same ensemble tensor|can appear in an output map only once",
        cause="two entries of the steps' maps give one tensor two sources",
        fix="give each output its own tensor name, and each input one source",
        where=f"{_STEP}: input_map, output_map",
        source=_UTILS,
    ),
    LoadFailure(
        code="ensemble-types",
        pattern=r"inconsistent (?P<what>data type|shape): (?P<left>.+?) is inferred from model (?P<one>\S+) while (?P<right>.+?) is inferred from model (?P<other>\S+)",
        cause="{one} has {what} {left} and {other} has {right} for the tensor that connects them",
        fix="give both models the same {what}, or add a step between them that converts it",
        where="config.pbtxt of {one} and of {other}",
        source=_UTILS,
    ),
    LoadFailure(
        code="ensemble-unused",
        pattern=r"ensemble (?P<kind>input|output|tensor) '(?P<name>[^']*)' (?:for ensemble .*is not used|is unused)",
        cause="no step uses or produces the ensemble's {kind} {name}",
        fix="connect {name} in a step's input_map or output_map, or remove it",
        where=_STEP,
        source=_CONFIG,
    ),
    LoadFailure(
        code="ensemble-without-steps",
        pattern=r"must specify '(?P<field>step|model_name|input_map|output_map)'.* ensemble '|ensemble scheduling must be set for ensemble",
        cause="the ensemble's configuration is incomplete",
        fix="describe each step with model_name, input_map and output_map",
        where=_STEP,
        source=_CONFIG,
    ),
    LoadFailure(
        code="ensemble-field",
        pattern=r"(?P<field>instance group|optimization|model_warmup) (?:should not|can not) be specified for ensemble",
        cause="an ensemble runs no code of its own, so it has no {field}",
        fix="remove the field from the ensemble, and set it for the models of the steps",
        where="config.pbtxt of the ensemble: {field}",
        source=_CONFIG,
    ),
    LoadFailure(
        code="steps-without-ensemble",
        pattern=r"ensemble scheduling cannot be set for model|must have platform type 'ensemble' and empty backend type",
        cause="the configuration has ensemble_scheduling and another platform",
        fix='write platform: "ensemble" without a backend, or remove ensemble_scheduling',
        where="config.pbtxt: platform",
        source=_CONFIG,
    ),
)
