"""Rules about what belongs to inputs and outputs: labels, and the tensors that Triton derives from a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

LABELS_MISSING = Rule(
    id="TR221",
    name="labels-missing",
    severity="error",
    triton="refuses",
    what="The label file of an output does not exist.",
    why="Triton reads it from the model's directory, not from the version's (core, `Model::Init`).",
    fix="add the file next to config.pbtxt, or remove `label_filename`",
    wrong='label_filename: "missing.txt"',
    right='label_filename: "labels.txt"   # next to config.pbtxt',
)
LABELS_OUTSIDE = Rule(
    id="TR222",
    name="labels-outside",
    severity="error",
    triton="depends",
    what="The label file of an output is outside the model's directory.",
    why="Current releases of Triton refuse a path that leads out of the model's directory (core, `Model::Init`); 2.51 read it.",
    fix="copy the file into the model's directory",
    wrong='label_filename: "../labels.txt"',
    right='label_filename: "labels.txt"',
)
LABELS_COUNT = Rule(
    id="TR223",
    name="label-count",
    severity="warning",
    triton="accepts",
    what="The number of labels differs from the number of classes.",
    why="The classification extension takes line i of the file for element i of the output. An element without a line has "
    "no label.",
    fix="write one line per element, in the model's order",
    wrong='dims: [ 3 ] label_filename: "labels.txt"   # 2 lines',
    right='dims: [ 3 ] label_filename: "labels.txt"   # 3 lines',
)
BATCH_INPUT = Rule(
    id="TR224",
    name="batch-input",
    severity="error",
    triton="refuses",
    what="A batch input is incomplete or names an unknown input.",
    why="A batch input has exactly one source, which is an input of the configuration (core, `ValidateBatchIO`).",
    fix="name one input in `source_input`",
    wrong='batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 source_input: "Q" } ]',
    right='batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 source_input: "X" } ]',
)
BATCH_INPUT_TYPE = Rule(
    id="TR225",
    name="batch-input-type",
    severity="error",
    triton="refuses",
    what="A batch input has another type than TYPE_INT32 or TYPE_FP32.",
    why="Triton computes batch inputs in these two types alone (core, `ValidateBatchIO`).",
    fix="set data_type to TYPE_INT32 or TYPE_FP32",
    wrong='batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT64 source_input: "X" } ]',
    right='batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 source_input: "X" } ]',
)
BATCH_OUTPUT = Rule(
    id="TR226",
    name="batch-output",
    severity="error",
    triton="refuses",
    what="A batch output is incomplete, or names an unknown input or output.",
    why="A batch output has exactly one source, an input, and each of its targets is an output, named once (core, "
    "`ValidateBatchIO`).",
    fix="name one input in `source_input`, and outputs of the configuration in `target_name`",
    wrong='batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "Q" source_input: "X" } ]',
    right='batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "Y" source_input: "X" } ]',
)
RULES = (LABELS_MISSING, LABELS_OUTSIDE, LABELS_COUNT, BATCH_INPUT, BATCH_INPUT_TYPE, BATCH_OUTPUT)
_LABELS_LIMIT = 16 * 2**20


def labels(model: Model) -> Iterator[Diagnostic]:
    """Check the label files of all outputs."""
    for index, output in enumerate(model.config.output):
        name = output.label_filename
        if not name:
            continue
        place, path = ("output", index, "label_filename"), model.directory / name
        if _escapes(path, model.directory):
            yield model.at(LABELS_OUTSIDE, *place, found=f"output {output.name!r}: {name!r}")
        elif not files.is_file(path):
            yield model.at(LABELS_MISSING, *place, found=f"output {output.name!r}: there is no file {name!r}")
        elif len(output.dims) == 1 and output.dims[0] > 1:
            yield from _count(model, index, path)


def _escapes(path: Path, directory: Path) -> bool:
    """Whether a path leads out of the model's directory, links included, as Triton checks it."""
    try:
        return not path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):
        return True


def _count(model: Model, index: int, path: Path) -> Iterator[Diagnostic]:
    output = model.config.output[index]
    try:
        count = len(bounded_files.content(path, limit=_LABELS_LIMIT).splitlines())
    except OSError as error:
        yield model.at(LABELS_MISSING, "output", index, "label_filename", found=error.strerror or str(error), triton="depends")
        return
    if count != output.dims[0]:
        found, expected = f"output {output.name!r}: {count} labels", f"{output.dims[0]} labels"
        yield model.at(LABELS_COUNT, "output", index, "label_filename", found=found, expected=expected)


def batch_tensors(model: Model) -> Iterator[Diagnostic]:
    """Check batch inputs and batch outputs."""
    inputs = {each.name for each in model.config.input}
    outputs = {each.name for each in model.config.output}
    types = model.config.DESCRIPTOR.fields_by_name["batch_input"].message_type.fields_by_name["data_type"].enum_type
    for index, each in enumerate(model.config.batch_input):
        yield from _sources(model, BATCH_INPUT, field="batch_input", index=index, inputs=inputs)
        name = types.values_by_number[each.data_type].name if each.data_type in types.values_by_number else str(each.data_type)
        if name not in ("TYPE_INT32", "TYPE_FP32"):
            yield model.at(BATCH_INPUT_TYPE, "batch_input", index, "data_type", found=name, expected="TYPE_INT32 or TYPE_FP32")
    for index, each in enumerate(model.config.batch_output):
        yield from _sources(model, BATCH_OUTPUT, field="batch_output", index=index, inputs=inputs)
        for position, target in enumerate(each.target_name):
            if target not in outputs or target in each.target_name[:position]:
                found = f"{target!r} twice" if target in outputs else f"no output {target!r}"
                yield model.at(BATCH_OUTPUT, "batch_output", index, "target_name", position, found=found)


def _sources(model: Model, rule: Rule, *, field: str, index: int, inputs: set[str]) -> Iterator[Diagnostic]:
    sources = getattr(model.config, field)[index].source_input
    if len(sources) != 1:
        yield model.at(rule, field, index, found=f"{len(sources)} sources", expected="1 source")
    for position, source in enumerate(sources):
        if source not in inputs:
            found, known = f"no input {source!r}", files.listed(sorted(inputs))
            yield model.at(rule, field, index, "source_input", position, found=found, expected=known)
