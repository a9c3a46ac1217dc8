"""Rules about an ensemble as its own configuration describes it: its steps, and the flow of tensors between them.

Source: core, `ValidateEnsembleSchedulingConfig` and `BuildEnsembleGraph` in `model_config_utils.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Edit, Rule
from tritonize.lint.scheduling import removal

SCHEDULING = Rule(
    id="TR501",
    name="ensemble-without-steps",
    severity="error",
    triton="refuses",
    what="An ensemble has no steps.",
    why='A model with `platform: "ensemble"` consists of the models in `ensemble_scheduling`.',
    fix="add `ensemble_scheduling` with a step at least",
    wrong='platform: "ensemble"',
    right='platform: "ensemble"\nensemble_scheduling { step [ { model_name: "heart" model_version: -1 … } ] }',
)
PLATFORM = Rule(
    id="TR502",
    name="ensemble-platform",
    severity="error",
    triton="refuses",
    what="A model with steps has another platform than ensemble, or a backend.",
    why="An ensemble runs in Triton itself, without a backend.",
    fix='set `platform: "ensemble"` and remove `backend`',
    wrong='platform: "ensemble"\nbackend: "python"\nensemble_scheduling { … }',
    right='platform: "ensemble"\nensemble_scheduling { … }',
)
FORBIDDEN = Rule(
    id="TR503",
    name="ensemble-field",
    severity="error",
    triton="refuses",
    what="An ensemble sets a field that belongs to its steps.",
    why="Instance groups, optimization and warmup are properties of the models that run, not of the ensemble.",
    fix="move the field to the models of the steps",
    wrong='platform: "ensemble"\ninstance_group [ { kind: KIND_CPU } ]',
    right='platform: "ensemble"',
    fixable=True,
)
STEP = Rule(
    id="TR504",
    name="incomplete-step",
    severity="error",
    triton="refuses",
    what="A step of an ensemble is incomplete.",
    why="A step needs the name of a model, and maps of its inputs and of its outputs.",
    fix="add `model_name`, `input_map` and `output_map`",
    wrong='step [ { model_name: "heart" model_version: -1 } ]',
    right='step [ { model_name: "heart" model_version: -1\n  input_map { key: "X" value: "RAW" }\n'
    '  output_map { key: "Y" value: "MASK" } } ]',
)
WRITTEN_TWICE = Rule(
    id="TR505",
    name="tensor-written-twice",
    severity="error",
    triton="refuses",
    what="Two steps of an ensemble write the same tensor.",
    why="A tensor of an ensemble is written once.",
    fix="give each step's output a name of its own",
    wrong='output_map { key: "Y" value: "T" } … output_map { key: "Y" value: "T" }',
    right='output_map { key: "Y" value: "T" } … output_map { key: "Y" value: "U" }',
)
UNUSED = Rule(
    id="TR506",
    name="unused-tensor",
    severity="error",
    triton="refuses",
    what="A tensor of an ensemble is not used.",
    why="Triton refuses inputs that no step reads, and tensors that no step and no output takes.",
    fix="remove the tensor, or map it to an input of a step",
    wrong='input [ { name: "RAW" … }, { name: "OTHER" … } ]   # no step reads OTHER',
    right='input [ { name: "RAW" … } ]',
)
NOT_WRITTEN = Rule(
    id="TR507",
    name="tensor-not-written",
    severity="error",
    triton="refuses",
    what="A tensor of an ensemble is never written.",
    why="Every output, and every input of a step, comes from an input of the ensemble or from a step; steps that wait for "
    "each other "
    "never run.",
    fix="map an output of a step to the tensor",
    wrong='output [ { name: "MASK" … } ]   # no step writes MASK',
    right='output_map { key: "Y" value: "MASK" }',
)
RULES = (SCHEDULING, PLATFORM, FORBIDDEN, STEP, WRITTEN_TWICE, UNUSED, NOT_WRITTEN)
_SCHEDULING = "ensemble_scheduling"


def is_ensemble(model: Model) -> bool:
    """Whether the configuration says that the model is an ensemble."""
    config = model.config
    return config is not None and (config.platform == "ensemble" or config.HasField(_SCHEDULING))


def check(model: Model) -> Iterator[Diagnostic]:
    """Check an ensemble by itself."""
    if not is_ensemble(model):
        return
    config = model.config
    if config.platform != "ensemble" or config.backend:
        found = f"platform {config.platform!r}" + (f", backend {config.backend!r}" if config.backend else "")
        yield model.at(PLATFORM, "backend" if config.backend else "platform", found=found, expected='platform "ensemble" alone')
    if not config.ensemble_scheduling.step:
        yield model.at(SCHEDULING, _SCHEDULING, found="no step")
        return
    for field in ("instance_group", "optimization", "model_warmup"):
        if config.HasField(field) if field == "optimization" else getattr(config, field):
            yield model.at(FORBIDDEN, field, 0, found=field, edit=_removal(model, field))
    incomplete = list(_steps(model))
    yield from incomplete
    if not incomplete:
        yield from _flow(model)


def _removal(model: Model, field: str) -> Edit | None:
    entries = model.places.root.fields.get(field, [])
    if not entries or len({each.whole for each in entries}) > 1 or (entries[0].whole is None and len(entries) > 1):
        return None
    return removal(model, field, 0)


def _steps(model: Model) -> Iterator[Diagnostic]:
    written: dict[str, int] = {}
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        place = (_SCHEDULING, "step", index)
        missing = [name for name in ("model_name", "input_map", "output_map") if not getattr(step, name)]
        if missing:
            yield model.at(STEP, *place, found=f"step {index} has no {', no '.join(missing)}")
        for tensor in step.output_map.values():
            if tensor in written:
                found = f"steps {written[tensor]} and {index} write {tensor!r}"
                yield model.at(WRITTEN_TWICE, *place, "output_map", found=found)
            written.setdefault(tensor, index)


def _flow(model: Model) -> Iterator[Diagnostic]:
    config = model.config
    steps = config.ensemble_scheduling.step
    read = {tensor for step in steps for tensor in step.input_map.values()}
    written = {tensor for step in steps for tensor in step.output_map.values()}
    outputs = {each.name for each in config.output}
    for index, each in enumerate(config.input):
        if each.name not in read | written:
            yield model.at(UNUSED, "input", index, "name", found=f"input {each.name!r}, which no step reads")
    ready = _ready(model)
    for index, each in enumerate(config.output):
        if each.name not in ready:
            found = f"output {each.name!r}" + ("" if each.name in written else ", which no step writes")
            yield model.at(NOT_WRITTEN, "output", index, "name", found=found)
    for index, step in enumerate(steps):
        for name, tensor in sorted(step.input_map.items()):
            if tensor not in ready and tensor not in outputs:
                found = f"{tensor!r}, which step {index} ({step.model_name}) reads as {name!r}"
                yield model.at(NOT_WRITTEN, *entry_path(model, index, field="input_map", key=name), found=found)
        for name, tensor in sorted(step.output_map.items()):
            if tensor not in read and tensor not in outputs:
                found = f"{tensor!r}, which step {index} ({step.model_name}) writes from {name!r}"
                yield model.at(UNUSED, *entry_path(model, index, field="output_map", key=name), found=found)


def entry_path(model: Model, index: int, *, field: str, key: str) -> tuple[str | int, ...]:
    """The path of an entry of a step's map."""
    place = (_SCHEDULING, "step", index, field)
    number = model.places.entry(place, key)
    return place if number is None else (*place, number)


def _ready(model: Model) -> set[str]:
    """The tensors that are written once the ensemble has run: its inputs, and the outputs of every step that can start."""
    steps = model.config.ensemble_scheduling.step
    lacking = [set(step.input_map.values()) for step in steps]
    readers: dict[str, list[int]] = {}
    for index, tensors in enumerate(lacking):
        for tensor in tensors:
            readers.setdefault(tensor, []).append(index)
    pending = [each.name for each in model.config.input]
    ready: set[str] = set()
    while pending:
        tensor = pending.pop()
        if tensor in ready:
            continue
        ready.add(tensor)
        for index in readers.get(tensor, ()):
            lacking[index].discard(tensor)
            if not lacking[index]:
                pending += steps[index].output_map.values()
    return ready
