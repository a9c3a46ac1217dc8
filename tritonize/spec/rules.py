"""Check the rules between the fields of one model; `schema.py` has the rules of single fields.

The rules are those of Triton, TensorRT and tritonize. They are checked before any work starts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from tritonize.core import suggestions
from tritonize.core.messages import export as wording
from tritonize.core.results import METRICS
from tritonize.spec import decoupled, input_rules, schema, sequences, steps

MOST_COMBINATIONS = 200_000
"""Largest number of combinations of sizes for which the profiles are checked."""
_LAST_AXIS = ("token_ids", "padding_mask", "one_hot")


def problems(model: schema.Model) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the problems of one model: the path of a field inside the model, and a sentence.

    With batching, Triton requires that the first axis of every tensor is the batch axis.
    """
    named: set[str] = set()
    yield from input_rules.problems(model)
    for name, tensor in model.inputs.items():
        named.update(size for size in tensor.shape if isinstance(size, str))
        if tensor.range and tensor.range[0] > tensor.range[1]:
            yield ("inputs", name, "range"), f"the smaller value must come first; found {list(tensor.range)}"
        if tensor.distribution == "normal" and tensor.range:
            yield ("inputs", name, "range"), "a normal distribution has no range; set distribution: uniform, or remove the range"
        if tensor.distribution in _LAST_AXIS and not tensor.shape[bool(model.max_batch_size) :]:
            needed = "an axis besides the batch axis" if model.max_batch_size else "an axis"
            yield ("inputs", name, "distribution"), f"{tensor.distribution} needs {needed}, and the input has none"
        if not model.max_batch_size:
            continue
        if not tensor.shape or not isinstance(tensor.shape[0], str):
            found = tensor.shape[0] if tensor.shape else "no axis"
            yield (
                ("inputs", name, "shape"),
                f"with max_batch_size {model.max_batch_size} the first axis must be a name, such as 'batch'; found {found}",
            )
        elif tensor.shape[0] != model.batch_axis:
            yield (
                ("inputs", name, "shape"),
                f"the first axis of every input must be {model.batch_axis!r}; found {tensor.shape[0]!r}",
            )
        elif tensor.shape[0] in tensor.shape[1:]:
            yield ("inputs", name, "shape"), f"the batch axis {tensor.shape[0]!r} must be the first axis only"
    yield from _axis_problems(model, named)
    yield from _source_problems(model)
    yield from _output_problems(model)
    yield from _plan_problems(model)
    yield from _profile_problems(model)
    if model.quality.quick and model.quality.float64 == "required":
        yield ("quality", "quick"), "leaves float64 out, which float64: required asks for; remove one of them"
    yield from _config_problems(model)
    yield from _warmup_problems(model)
    yield from steps.problems(model)
    yield from sequences.problems(model)
    yield from decoupled.problems(model)


def _config_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check that a configuration of the user's own is not also put together from other parts of the spec."""
    if model.config:
        for key in ("template", "triton", "custom_op_libraries", "warmup", "variants"):
            if getattr(model, key):
                yield (key,), "cannot be given together with config, which is published as it is; remove one of them"
        for name, output in model.outputs.items():
            if output.labels:
                yield ("outputs", name, "labels"), "cannot be given together with config; name the labels in that file"


def _warmup_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check where the inputs of the warmup come from."""
    if model.ensemble and (model.warmup or model.warmup_files):
        key = "warmup" if model.warmup else "warmup_files"
        yield (key,), "does not apply to an ensemble, whose steps warm up by themselves; write it at a step's model"
    elif model.warmup and "model_warmup" in model.triton:
        yield ("warmup",), "cannot be given together with triton.model_warmup; remove one of them"
    elif model.warmup and model.warmup_files:
        yield ("warmup_files",), "cannot be given together with warmup: samples; name the files in triton.model_warmup instead"
    elif model.warmup and "sequence_batching" in model.triton:
        yield ("warmup",), "samples have no values for the controls of a sequence; write triton.model_warmup with all inputs"


def _plan_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    if model.backend == "onnxruntime":
        if model.precision == "tf32":
            yield ("precision",), "tf32 needs backend tensorrt or tensorrt_rtx; found backend onnxruntime"
        if model.precision == "bf16":
            yield ("precision",), "ONNX Runtime's CPU provider does not run bf16; use fp16, or backend tensorrt or tensorrt_rtx"
        if model.builder.changed():
            yield ("builder",), "needs backend tensorrt or tensorrt_rtx; found backend onnxruntime"
        if model.profiles:
            yield ("profiles",), "needs backend tensorrt or tensorrt_rtx; found backend onnxruntime"
    if model.builder.tf32:
        yield ("builder", "tf32"), "set precision: tf32 instead"
    if model.precision not in ("fp16", "bf16"):
        if model.keep_fp32 != schema.KeepFp32():
            yield ("keep_fp32",), f"needs precision fp16 or bf16; with {model.precision}, every node computes in fp32"
        if model.half_io:
            yield ("half_io",), f"needs precision fp16 or bf16; found {model.precision}"


def _profile_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check each profile, and that the profiles together cover all sizes."""
    named = {size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)}
    if not model.inputs or not named <= {*model.axes, model.batch_axis}:
        return  # `_axis_problems` reports axes without a range
    wrong = False
    for number, profile in enumerate(model.profiles):
        for name in profile:
            where, axis = ("profiles", str(number), name), model.axis(name) if name in named else None
            if axis is None:
                wrong = True
                yield where, f"no input has a dynamic axis {name!r}; {suggestions.hint(name, sorted(named))}"
                continue
            low, usual, high = model.span(profile, name)
            if not low <= usual <= high:
                wrong = True
                yield where, f"min <= opt <= max must hold; found {low}, {usual}, {high}"
            elif low < axis.min or high > axis.max:
                wrong = True
                yield where, f"must be within the range of the axis, {axis.min} to {axis.max}; found {low} to {high}"
    if wrong:
        return
    ways = math.prod(map(len, _cut(model, model.profiles)[2]))
    if ways > MOST_COMBINATIONS:
        yield (
            ("profiles",),
            f"{ways:,} combinations of sizes would have to be checked, and the limit is {MOST_COMBINATIONS:,}; use fewer "
            "profiles or dynamic axes",
        )
        return
    if model.profiles and (missed := _missed(model, model.profiles)):
        yield ("profiles",), f"no profile covers {missed}; the profiles must cover every combination of sizes"
        return
    if model.backend != "onnxruntime":
        yield from _group_problems(model)


def _group_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check the instance groups in the `triton:` section: Triton sends a request to any instance, so each must cover all sizes."""
    groups = model.triton.get("instance_group")
    profiles = model.profiles or [{}]  # the default is one profile that covers all sizes
    for number, group in enumerate(groups if isinstance(groups, list) else ()):
        place = ("triton", "instance_group", str(number))
        where, listed = (*place, "profile"), group.get("profile", ()) if isinstance(group, dict) else ()
        numbers = [int(each) for each in listed if str(each).isdigit() and int(each) < len(profiles)]
        if isinstance(group, dict) and group.get("kind") == "KIND_CPU":
            yield (*place, "kind"), "plans run on GPUs only; write KIND_GPU, or remove the key"
        if listed and model.backend == "tensorrt_rtx":
            yield where, "Triton supports it for platform tensorrt_plan only; an instance of backend tensorrt_rtx has all profiles"
        elif len(numbers) != len(listed):
            yield where, f"must list profiles by number, from 0 to {len(profiles) - 1}; found {list(listed)}"
        elif numbers and (missed := _missed(model, [profiles[each] for each in numbers])):
            yield where, f"its profiles do not cover {missed}, and Triton sends a request to any instance"


def profiles_are_whole(model: schema.Model) -> bool:
    """Return whether every profile covers all sizes, so that each can have its own instance group."""
    return all(_missed(model, [profile]) is None for profile in model.profiles)


def _missed(model: schema.Model, profiles: list[dict[str, schema.Span]]) -> str | None:
    """Return sizes that no profile covers, such as `batch 5, length 9`; `None` if the profiles cover all combinations.

    The ends of the profiles divide each axis into intervals in which all sizes are covered alike, so one size of each is checked.
    """
    axes, spans, starts = _cut(model, profiles)
    for chosen in itertools.product(*starts):
        if not any(all(span[name][0] <= size <= span[name][2] for name, size in zip(axes, chosen, strict=True)) for span in spans):
            limit = f" (max_batch_size is {model.max_batch_size})" if model.batch_axis in axes else ""
            return ", ".join(f"{name} {size}" for name, size in zip(axes, chosen, strict=True)) + limit
    return None


def _cut(
    model: schema.Model, profiles: list[dict[str, schema.Span]]
) -> tuple[list[str], list[dict[str, tuple[int, int, int]]], list[list[int]]]:
    """Return the dynamic axes, their range in each profile, and for each axis the first size of every interval; see `_missed`."""
    axes = sorted({size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)})
    spans = [{name: model.span(profile, name) for name in axes} for profile in profiles]
    starts = []
    for name in axes:
        axis = model.axis(name)
        cuts = {axis.min, *(span[name][0] for span in spans), *(span[name][2] + 1 for span in spans)}
        sizes = {axis.min - (axis.min - cut) // axis.step * axis.step for cut in cuts}  # rounded up to the next size of the axis
        starts.append(sorted(size for size in sizes if axis.min <= size <= axis.max))
    return axes, spans, starts


def _output_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, output in model.outputs.items():
        if (
            name in model.inputs and model.is_exported and not model.source.endswith(".onnx")
        ):  # an ONNX file may return an input unchanged
            yield ("outputs", name), wording.OUTPUT_IS_INPUT.text(suggested=f"{name}_out")
        for metric, bound in output.metrics.items():
            if metric not in METRICS:
                yield ("outputs", name, "metrics", metric), f"unknown metric; {suggestions.hint(metric, METRICS)}"
            if bound.min is None and bound.max is None:
                yield ("outputs", name, "metrics", metric), "needs min or max"


def _source_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    for library in model.custom_op_libraries:
        if "/" in library and not library.startswith("/"):
            yield (
                ("custom_op_libraries",),
                f"must be an absolute path or a bare name, since Triton passes it to the loader; found {library!r}",
            )
    if model.custom_op_libraries and "model_operations" in model.triton:
        yield ("custom_op_libraries",), "has the same meaning as triton.model_operations; use only one of them"
    if model.samples.files and model.samples.function:
        yield ("samples",), "files and function exclude each other"
    if model.samples.function and not schema.is_factory(model.samples.function):
        yield ("samples", "function"), f"must have the form package.module:function; found {model.samples.function!r}"
    if model.weights is not None and not model.is_factory:
        yield ("weights",), "needs a factory as source (package.module:factory); a model file contains its own weights"
    if model.kwargs and not model.is_factory:
        yield ("kwargs",), "needs a factory as source (package.module:factory)"


def _axis_problems(model: schema.Model, named: set[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    first = {tensor.shape[0] for tensor in model.inputs.values() if tensor.shape} if not model.max_batch_size else set()
    for name in sorted(named - set(model.axes) - {model.batch_axis or ""}):
        batch = "if it is the batch, add max_batch_size: 8; else " if first == {name} else ""
        yield ("axes",), f"the dynamic axis {name!r} has no range; {batch}add {name}: {{min: .., opt: .., max: ..}}"
    for name, axis in model.axes.items():
        if name not in named and model.inputs:
            yield ("axes", name), f"no input has a dynamic axis {name!r}; {suggestions.hint(name, sorted(named))}"
        if any((size - axis.min) % axis.step for size in (axis.opt or axis.max, axis.max)):
            yield (
                ("axes", name),
                "opt and max must be min plus a multiple of step; "
                f"found min {axis.min}, opt {axis.opt}, max {axis.max}, step {axis.step}",
            )
        if not axis.min <= (axis.opt or axis.max) <= axis.max:
            yield ("axes", name), f"min <= opt <= max must hold; found {axis.min}, {axis.opt}, {axis.max}"
        if name == model.batch_axis and (axis.max != model.max_batch_size or axis.min != 1):
            yield (
                ("axes", name),
                f"the batch axis must run from 1 to max_batch_size {model.max_batch_size}; found {axis.min} to {axis.max}",
            )
