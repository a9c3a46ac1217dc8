"""Write down the configuration that Triton completes for a model file, with comments; neither torch nor the model is loaded.

Source: `AutoCompleteConfig` in onnxruntime_backend (`src/onnxruntime.cc`) and tensorrt_backend (`src/model_state.cc`). A test
compares the result with what the embedded server completes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import dtypes, names, onnx_graph
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import PlanError, UsageError
from tritonize.core.messages import lint as messages
from tritonize.core.onnx_graph import GraphValue
from tritonize.plans import plan_file
from tritonize.triton import config_template, model_config

DEFAULT_MAX_BATCH_SIZE = 4
"""What Triton completes for a model that can batch, unless `--backend-config=default-max-batch-size` says otherwise."""
_WIDTH = 80
_MODEL_NAMES = ("model.onnx", "model.plan")


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What is known of a model file."""

    file: str
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...] = ()
    most: int | None = None
    """The largest batch that the file takes; `None` if it sets no limit."""


def text(path: Path, *, name: str | None = None, max_batch_size: int | None = None) -> str:
    """The text of config.pbtxt for an ONNX file or a plan.

    Args:
        path: the model file.
        name: the model's name (by the file or its directory).
        max_batch_size: the largest batch (what Triton completes).

    Raises:
        UsageError: the file is no model that Triton can serve, or takes no batches of that size.
        PlanError: a plan cannot be described without the metadata that tritonize writes beside it.
    """
    if name is not None and not names.is_model(name):
        raise UsageError.of(messages.CONFIG_NAME, found=name, expected="ASCII letters, digits, '_' and '-'")
    described = _plan(path) if path.suffix == ".plan" else _onnx(path)
    blocker = _blocker(described)
    if max_batch_size and blocker:
        raise UsageError.of(messages.CONFIG_NO_BATCHES, where=str(path), found=blocker)
    if max_batch_size and described.most is not None and max_batch_size > described.most:
        found, expected = str(max_batch_size), f"at most {described.most}"
        raise UsageError.of(messages.CONFIG_BATCH, where=str(path), found=found, expected=expected)
    completed = 0 if blocker else min(DEFAULT_MAX_BATCH_SIZE, described.most or DEFAULT_MAX_BATCH_SIZE)
    size = completed if max_batch_size is None else max_batch_size
    lines = "\n".join(_lines(described, name or model_name(path), size=size, blocker=blocker)) + "\n"
    model_config.parse(lines, where="the written configuration")
    return lines


def model_name(path: Path) -> str:
    """A model's name by its file: the file's own, or its directory's if the file is called like any other of its kind."""
    place = path.absolute()
    if place.name not in _MODEL_NAMES:
        return names.model(place.stem)
    version = place.parent.name.isdecimal()
    return names.model((place.parent.parent if version else place.parent).name or "model")


def _onnx(path: Path) -> _Description:
    try:
        graph = onnx_graph.read(path)
    except OSError as error:
        raise UsageError.of(messages.MODEL_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
    except ValueError as error:
        raise UsageError.of(messages.CONFIG_NO_MODEL, where=str(path), found=str(error)) from error
    notes = tuple(
        f"{each.name!r} has a value in the file. To let requests replace it, add it as an input with `optional: true`; that takes "
        "max_batch_size: 0."
        for each in graph.overridable
    )
    inputs, outputs = (tuple(_spec(path, each) for each in values) for values in (graph.inputs, graph.outputs))
    return _Description(file=path.name, backend="onnxruntime", inputs=inputs, outputs=outputs, notes=notes)


def _spec(path: Path, value: GraphValue) -> TensorSpec:
    try:
        dtype = dtypes.by_onnx(value.element_type or 0)
    except KeyError as error:
        found = "no tensor" if value.element_type is None else f"TensorProto.DataType {value.element_type}"
        raise UsageError.of(messages.CONFIG_NO_TENSOR, where=str(path), found=f"{value.name!r} is {found}") from error
    return TensorSpec(name=value.name, dtype=dtype.name, shape=value.shape or ())


def _plan(path: Path) -> _Description:
    header = plan_file.read_header(path)
    metadata = plan_file.read_metadata(path)
    if metadata is None:
        found = f"{plan_file.metadata_path(path).name} does not exist"
        raise PlanError.of(messages.CONFIG_PLAN, where=str(path), found=found)
    dynamic = [shapes["max"][0] for profile in metadata.profiles for shapes in profile.values() if shapes["max"]]
    notes: tuple[str, ...] = (
        f"Built with {header.module} {header.version_text} for compute capability {metadata.compute_capability}.",
    )
    if header.module == "tensorrt_rtx":
        notes += ("Triton has no backend for TensorRT-RTX; tritonize's embedded server has one of this name.",)
    return _Description(
        file=path.name,
        backend=header.module,
        inputs=metadata.inputs,
        outputs=metadata.outputs,
        notes=notes,
        most=max(dynamic, default=None),
    )


def _blocker(described: _Description) -> str | None:
    """Why a model takes no batches; `None` if it does. Source: `AutoCompleteMaxBatch`."""
    for kind, tensors in (("input", described.inputs), ("output", described.outputs)):
        for each in tensors:
            if not each.shape:
                return f"{kind} {each.name!r} has no axes"
            if isinstance(each.shape[0], int):
                return f"the first axis of {kind} {each.name!r} has the fixed size {each.shape[0]}"
    return None


def _lines(described: _Description, name: str, *, size: int, blocker: str | None) -> Iterator[str]:
    yield from _comment(f"What Triton completes for {described.file}, written down: tensors and batching are read from the file.")
    for note in described.notes:
        yield from _comment(note)
    yield f"name: {config_template.quote(name)}"
    if platform := model_config.PLATFORMS.get(described.backend):
        yield f'platform: "{platform}"'
    yield f'backend: "{described.backend}"'
    if described.file not in _MODEL_NAMES:
        yield f"default_model_filename: {config_template.quote(described.file)}"
    yield ""
    yield from _batching(described, size=size, blocker=blocker)
    for kind, tensors in (("input", described.inputs), ("output", described.outputs)):
        for each in tensors:
            yield from _tensor(kind, each, batched=size > 0)
    if size > 1:
        yield ""
        yield from _comment("Requests that wait are joined to one batch. To let larger batches form, let requests wait a little:")
        yield "#   dynamic_batching { max_queue_delay_microseconds: 100 }"
        yield "dynamic_batching { }"
    yield ""
    yield from _instances(described.backend)
    yield from _comment("Triton serves the newest version. To serve others beside it:")
    yield "#   version_policy { latest { num_versions: 2 } }"


def _batching(described: _Description, *, size: int, blocker: str | None) -> Iterator[str]:
    if size:
        yield from _comment(
            "Every tensor has a dynamic first axis, which is the batch and is left out of the dims. "
            f"Triton completes {DEFAULT_MAX_BATCH_SIZE} unless --backend-config=default-max-batch-size says otherwise; write the "
            "largest batch that fits into memory." + (f" The plan takes {described.most}." if described.most is not None else "")
        )
    else:
        yield from _comment(f"The model takes no batches: {blocker or 'as asked'}. All axes are in the dims.")
    yield f"max_batch_size: {size}"


def _tensor(kind: str, tensor: TensorSpec, *, batched: bool) -> Iterator[str]:
    axes = tensor.shape[1:] if batched else tensor.shape
    dims = [size if isinstance(size, int) else -1 for size in axes] or [1]
    known = [str(size) for size in axes if isinstance(size, int) or size]
    named = any(isinstance(size, str) and size for size in axes) and len(known) == len(axes)
    yield f"{kind} ["
    yield "  {"
    yield f"    name: {config_template.quote(tensor.name)}"
    yield f"    data_type: {dtypes.by_name(tensor.dtype).triton}"
    yield f"    dims: [ {', '.join(map(str, dims))} ]" + (f"  # {_plain(known)}" if named else "")
    if batched and not axes:
        yield "    reshape { shape: [ ] }  # the tensor has no axis besides the batch"
    yield "  }"
    yield "]"


def _plain(words: Sequence[str]) -> str:
    """Axes in a comment, on one line whatever they are called."""
    return "".join(each if each.isprintable() else "?" for each in " x ".join(words))


def _instances(backend: str) -> Iterator[str]:
    default = {
        "onnxruntime": "one instance per GPU, or two on the CPU",
        "tensorrt": "one instance per GPU",
        "tensorrt_rtx": "one instance per GPU",
    }[backend]
    yield from _comment(f"Triton starts {default}. To choose the number and the device:")
    yield f"#   instance_group [ {{ kind: {'KIND_CPU' if backend == 'onnxruntime' else 'KIND_GPU'} count: 2 }} ]"


def _comment(sentence: str) -> list[str]:
    return textwrap.wrap(
        sentence, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )
