"""What must hold between the fields of one model; each field's own rules are in `spec`.

The rules are Triton's, TensorRT's and ours: a mistake is named before any work starts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from tritonize.core.messages import export as wording
from tritonize.core.results import METRICS
from tritonize.spec import schema

MOST_COMBINATIONS = 200_000
_LAST_AXIS = ("token_ids", "padding_mask", "one_hot")


def problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong between the fields of one model: the path of the field and a sentence.

    The rules are Triton's: with batching the first axis of every tensor is the one dynamic batch axis.
    """
    named: set[str] = set()
    for name, tensor in model.inputs.items():
        named.update(size for size in tensor.shape if isinstance(size, str))
        if tensor.range and tensor.range[0] > tensor.range[1]:
            yield ("inputs", name, "range"), f"the smallest value comes first; found {list(tensor.range)}"
        if tensor.distribution == "normal" and tensor.range:
            yield ("inputs", name, "range"), "a normal distribution has no range; use uniform"
        if tensor.distribution in _LAST_AXIS and not tensor.shape[bool(model.max_batch_size) :]:
            yield ("inputs", name, "distribution"), f"{tensor.distribution} lies along the last axis, and there is none"
        if not model.max_batch_size:
            continue
        if not tensor.shape or not isinstance(tensor.shape[0], str):
            found = tensor.shape[0] if tensor.shape else "no axis"
            yield (
                ("inputs", name, "shape"),
                f"with max_batch_size {model.max_batch_size} the first axis is named 'batch'; found {found}",
            )
        elif tensor.shape[0] != model.batch_axis:
            yield ("inputs", name, "shape"), f"the first axis is {model.batch_axis!r} in every input; found {tensor.shape[0]!r}"
        elif tensor.shape[0] in tensor.shape[1:]:
            yield ("inputs", name, "shape"), f"the batch axis {tensor.shape[0]!r} is the first axis alone"
    yield from _axis_problems(model, named)
    yield from _text_problems(model)
    yield from _source_problems(model)
    yield from _output_problems(model)
    yield from _plan_problems(model)
    yield from _profile_problems(model)


def _text_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Inputs of text, which only an ONNX file has."""
    drawn = not model.samples.patterns and not model.samples.function
    for name, tensor in model.inputs.items():
        if tensor.dtype != "string":
            continue
        if not model.source.endswith(".onnx"):
            yield ("inputs", name, "dtype"), "PyTorch has no string tensors; describe the numbers that the model takes"
        elif drawn and name not in model.samples.texts:
            yield (
                ("samples", "texts"),
                f'input {name!r} takes text; give some: --text {name}="good morning" on the command line, '
                f"or samples: {{texts: {{{name}: [good morning, good night]}}}} in a spec, or sample files",
            )
        if tensor.range or tensor.distribution:
            yield ("inputs", name, "range" if tensor.range else "distribution"), "is of numbers; an input of text has samples.texts"
    for name, texts in model.samples.texts.items():
        if model.inputs and (name not in model.inputs or model.inputs[name].dtype != "string"):
            yield ("samples", "texts", name), "is no input of text"
        if any("\0" in each for each in texts):
            yield ("samples", "texts", name), "a text holds the character NUL, which files of samples cannot keep"
    if model.samples.texts and not drawn:
        yield ("samples", "texts"), "goes with generated samples; files and functions have texts of their own"


def _plan_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    if model.backend == "onnxruntime":
        if model.precision == "tf32":
            yield ("precision",), "tf32 is a switch of TensorRT's builder; with backend onnxruntime there is none"
        if model.precision == "bf16":
            yield ("precision",), "bf16 is not run by ONNX Runtime's CPU provider; ask for fp16, or for a backend of TensorRT's"
        if model.builder.changed():
            yield ("builder",), "there is nothing to build with backend onnxruntime"
        if model.profiles:
            yield ("profiles",), "are of TensorRT's plans; with backend onnxruntime there are none"
    if model.builder.tf32:
        yield ("builder", "tf32"), "is said by precision: tf32"
    if model.precision not in ("fp16", "bf16"):
        if model.keep_fp32 != schema.KeepFp32():
            yield ("keep_fp32",), f"goes with precision fp16 or bf16; with {model.precision} all is fp32 anyway"
        if model.half_io:
            yield ("half_io",), f"goes with precision fp16 or bf16; found {model.precision}"


def _profile_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Mistakes in single profiles, and sizes that no profile takes."""
    named = {size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)}
    if not model.inputs or not named <= {*model.axes, model.batch_axis}:
        return  # of these axes more is said elsewhere
    wrong = False
    for number, profile in enumerate(model.profiles):
        for name in profile:
            where, whole = ("profiles", str(number), name), model.axis(name) if name in named else None
            if whole is None:
                wrong = True
                yield where, f"no input has an axis {name!r}; there are {', '.join(sorted(named))}"
                continue
            low, usual, high = model.span(profile, name)
            if not low <= usual <= high:
                wrong = True
                yield where, f"min <= opt <= max must hold; found {low}, {usual}, {high}"
            elif low < whole.min or high > whole.max:
                wrong = True
                yield where, f"lies within the axis, which runs from {whole.min} to {whole.max}; found {low} to {high}"
    if wrong:
        return
    ways = math.prod(map(len, _cut(model, model.profiles)[2]))
    if ways > MOST_COMBINATIONS:
        yield ("profiles",), f"their ends meet in {ways:,} ways, and at most {MOST_COMBINATIONS:,} are checked; use fewer axes"
        return
    if model.profiles and (missed := _missed(model, model.profiles)):
        yield ("profiles",), f"no profile takes {missed}; every size of every axis needs one"
        return
    if model.backend != "onnxruntime":
        yield from _group_problems(model)


def _group_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Instance groups of the `triton:` section that cannot answer every request: Triton hands a request to any instance."""
    groups = model.triton.get("instance_group")
    profiles = model.profiles or [{}]  # without any there is one of the whole axes
    for number, group in enumerate(groups if isinstance(groups, list) else ()):
        place = ("triton", "instance_group", str(number))
        where, asked = (*place, "profile"), group.get("profile", ()) if isinstance(group, dict) else ()
        numbers = [int(each) for each in asked if str(each).isdigit() and int(each) < len(profiles)]
        if isinstance(group, dict) and group.get("kind") == "KIND_CPU":
            yield (*place, "kind"), "plans run on GPUs alone; write KIND_GPU, or leave it out"
        if asked and model.backend == "tensorrt_rtx":
            yield where, "Triton takes it for platform tensorrt_plan alone; an instance of backend tensorrt_rtx has all profiles"
        elif len(numbers) != len(asked):
            yield where, f"names profiles by number, from 0 to {len(profiles) - 1}; found {list(asked)}"
        elif numbers and (missed := _missed(model, [profiles[each] for each in numbers])):
            yield where, f"its profiles do not take {missed}, and Triton hands a request to any instance"


def profiles_are_whole(model: schema.Model) -> bool:
    """Whether every profile takes all sizes, so that each can have instances of its own."""
    return all(_missed(model, [profile]) is None for profile in model.profiles)


def _missed(model: schema.Model, profiles: list[dict[str, schema.Span]]) -> str | None:
    """Sizes of the axes, in words, that none of these profiles takes together; `None` where there are none.

    Where the profiles' ends cut every axis, all sizes between two cuts are alike, so one of each is asked about.
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
    """The dynamic axes, what each profile takes of them, and of each axis the sizes at which some profile begins or ends."""
    axes = sorted({size for tensor in model.inputs.values() for size in tensor.shape if isinstance(size, str)})
    spans = [{name: model.span(profile, name) for name in axes} for profile in profiles]
    starts = []
    for name in axes:
        whole = model.axis(name)
        cuts = {whole.min, *(span[name][0] for span in spans), *(span[name][2] + 1 for span in spans)}
        sizes = {whole.min - (whole.min - cut) // whole.step * whole.step for cut in cuts}  # the next size that the axis has
        starts.append(sorted(size for size in sizes if whole.min <= size <= whole.max))
    return axes, spans, starts


def _output_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, output in model.outputs.items():
        if name in model.inputs and not model.source.endswith(".onnx"):  # in such a file the output is the input itself
            yield ("outputs", name), wording.OUTPUT_IS_INPUT.text(suggested=f"{name}_out")
        for metric, bound in output.metrics.items():
            if metric not in METRICS:
                yield ("outputs", name, "metrics", metric), f"is no metric; there are {', '.join(METRICS)}"
            if bound.min is None and bound.max is None:
                yield ("outputs", name, "metrics", metric), "has neither min nor max"


def _source_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    for library in model.custom_op_libraries:
        if "/" in library and not library.startswith("/"):
            yield ("custom_op_libraries",), f"is absolute or a bare name, since Triton hands it to the loader; found {library!r}"
    if model.custom_op_libraries and "model_operations" in model.triton:
        yield ("custom_op_libraries",), "says what triton.model_operations says too; give one of them"
    if model.samples.files and model.samples.function:
        yield ("samples",), "files and function exclude each other"
    if model.samples.function and not schema.is_factory(model.samples.function):
        yield ("samples", "function"), f"is package.module:function; found {model.samples.function!r}"
    if model.weights is not None and not model.is_factory:
        yield ("weights",), "weights go with a factory (package.module:factory); a TorchScript file carries its own"
    if model.kwargs and not model.is_factory:
        yield ("kwargs",), "kwargs go with a factory (package.module:factory)"


def _axis_problems(model: schema.Model, named: set[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    first = {tensor.shape[0] for tensor in model.inputs.values() if tensor.shape} if not model.max_batch_size else set()
    for name in sorted(named - set(model.axes) - {model.batch_axis or ""}):
        batch = "if it is the batch, add max_batch_size: 8; else " if first == {name} else ""
        yield ("axes",), f"the dynamic axis {name!r} has no range; {batch}add {name}: {{min: .., opt: .., max: ..}}"
    for name, axis in model.axes.items():
        if name not in named and model.inputs:
            yield ("axes", name), f"no input has an axis {name!r}"
        if any((size - axis.min) % axis.step for size in (axis.opt or axis.max, axis.max)):
            yield (
                ("axes", name),
                f"opt and max are min and a multiple of step; found {axis.min}, {axis.opt}, {axis.max}, {axis.step}",
            )
        if not axis.min <= (axis.opt or axis.max) <= axis.max:
            yield ("axes", name), f"min <= opt <= max must hold; found {axis.min}, {axis.opt}, {axis.max}"
        if name == model.batch_axis and (axis.max != model.max_batch_size or axis.min != 1):
            yield (
                ("axes", name),
                f"the batch axis runs from 1 to max_batch_size {model.max_batch_size}; found {axis.min} to {axis.max}",
            )
