"""Rules about TensorRT plans: their header, the metadata beside them, and what the configuration says.

Only the header and the metadata (`model.plan.json`) are read; without a GPU nothing else of a plan can be.
Source: tensorrt_backend, `tensorrt_model.cc` and `instance_state.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import PlanError
from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule
from tritonize.plans import plan_file
from tritonize.plans.plan_file import Header, PlanMetadata

_BACKEND = "The TensorRT backend compares the configuration with the plan when it loads it."

MISSING = Rule(
    id="TR701",
    name="plan-missing",
    severity="error",
    triton="refuses",
    what="A plan that the configuration names does not exist.",
    why="The backend loads the file that `cc_model_filenames` names for the GPU's compute capability, else "
    "`default_model_filename`, else "
    "model.plan. A file for another GPU is not needed until the model is loaded there.",
    fix="add the plan, or remove its name",
    wrong='cc_model_filenames { key: "8.9" value: "model.sm89.plan" }   # there is no such file',
    right='cc_model_filenames { key: "8.9" value: "model.plan" }',
)
INVALID = Rule(
    id="TR702",
    name="plan-invalid",
    severity="error",
    triton="refuses",
    what="The file is not a TensorRT plan.",
    why="A plan of TensorRT begins with `ftrt`; an ONNX file, an archive, or a pointer of Git LFS does not.",
    fix="build the plan with `tritonize plan build` or trtexec, or copy it again",
    wrong="1/model.plan   # an ONNX file of another name",
    right="1/model.plan",
)
RTX = Rule(
    id="TR703",
    name="plan-of-tensorrt-rtx",
    severity="error",
    triton="refuses",
    what="The plan is one of TensorRT-RTX, which Triton's TensorRT backend cannot load.",
    why="TensorRT-RTX has a format of its own (`vtrt`), and versions of its own.",
    fix='build the plan with TensorRT, or serve it with `backend: "tensorrt_rtx"` of tritonize',
    wrong='backend: "tensorrt"   # 1/model.plan begins with vtrt',
    right='backend: "tensorrt_rtx"',
)
METADATA = Rule(
    id="TR704",
    name="plan-metadata",
    severity="error",
    triton="accepts",
    what="The metadata beside a plan are not those of this plan.",
    why="tritonize writes version, compute capability, tensors and profiles of a plan into `model.plan.json`. Triton does "
    "not read it.",
    fix="copy plan and metadata together, or build the plan again",
    wrong='model.plan.json: "version": "10.1.0.27"   # the plan\'s header says 10.16.1.11',
    right='model.plan.json: "version": "10.16.1.11"',
)
ON_CPU = Rule(
    id="TR705",
    name="plan-on-cpu",
    severity="error",
    triton="refuses",
    what="A plan has an instance group that is not on a GPU.",
    why="The TensorRT backend runs on GPUs only.",
    fix="set `kind: KIND_GPU`, or remove the instance group",
    wrong='backend: "tensorrt"\ninstance_group [ { kind: KIND_CPU } ]',
    right='backend: "tensorrt"\ninstance_group [ { kind: KIND_GPU } ]',
)
VERSIONS = Rule(
    id="TR706",
    name="plans-of-several-versions",
    severity="warning",
    triton="depends",
    what="The plans of one model version were built by different versions of TensorRT.",
    why="A server has one TensorRT, and loads only plans that exactly this version has built, unless they are version-compatible.",
    fix="build all plans with the TensorRT of the server's image",
    wrong="model.sm80.plan of TensorRT 10.3.0.26, model.sm89.plan of TensorRT 10.16.1.11",
    right="both of TensorRT 10.16.1.11",
)
PROFILES = Rule(
    id="TR707",
    name="plan-profile-missing",
    severity="error",
    triton="refuses",
    what="An instance group chooses an optimization profile that the plan does not have.",
    why="Profiles count from 0.",
    fix="choose one of the plan's profiles",
    wrong='profile: [ "1" ]   # the plan has one profile',
    right='profile: [ "0" ]',
)
BATCH = Rule(
    id="TR708",
    name="plan-batch-size",
    severity="error",
    triton="refuses",
    what="`max_batch_size` is larger than what the plan's profiles take.",
    why=_BACKEND,
    fix="lower max_batch_size, or build the plan with a larger profile",
    wrong="max_batch_size: 16   # the largest profile ends at 8",
    right="max_batch_size: 8",
)
TENSORS = Rule(
    id="TR709",
    name="plan-tensors",
    severity="error",
    triton="refuses",
    what="The configuration has other inputs or outputs than the plan.",
    why=_BACKEND + " Names, data types and dims have to be those of the plan; -1 fits a dynamic axis.",
    fix="use the plan's names, types and dims",
    wrong='input [ { name: "x" … } ]   # the plan has X',
    right='input [ { name: "X" … } ]',
)
TYPES = Rule(
    id="TR710",
    name="plan-types",
    severity="error",
    triton="refuses",
    what="A tensor of a plan has a data type that TensorRT does not have.",
    why="TensorRT has FP32, FP16, BF16, INT8, UINT8, INT32, INT64 and BOOL.",
    fix="use the type that the plan has",
    wrong='backend: "tensorrt"\ninput [ { … data_type: TYPE_FP64 } ]',
    right='backend: "tensorrt"\ninput [ { … data_type: TYPE_FP32 } ]',
)
RULES = (MISSING, INVALID, RTX, METADATA, ON_CPU, VERSIONS, PROFILES, BATCH, TENSORS, TYPES)
_BACKENDS = ("tensorrt", "tensorrt_rtx")


def check(model: Model) -> Iterator[Diagnostic]:
    """Check the plans of every served version."""
    backend = model.completed.backend
    if backend not in _BACKENDS or (model.config is None and model.text is not None):
        return
    if model.config is not None:
        yield from _configured(model)
    for version in model.served:
        headers: dict[str, Header] = {}
        for name, place in _files(model).items():
            path = Path(f"{model.directory}/{version}/{name}")
            if not model.may_read(path):
                continue
            if not files.is_file(path):
                yield from _missing(model, version, name=name, place=place)
                continue
            yield from _plan(model, path, headers=headers)
        if len({each.version for each in headers.values()}) > 1:
            found = ", ".join(f"{name} of {header.version_text}" for name, header in sorted(headers.items()))
            yield model.of(VERSIONS, str(version), found=found)


def _files(model: Model) -> Mapping[str, tuple[str, ...]]:
    """The names of the plans, with the field that names each."""
    named = {} if model.config is None else model.config.cc_model_filenames
    files = dict.fromkeys(named.values(), ("cc_model_filenames",))
    written = "" if model.config is None else model.config.default_model_filename
    return files if files and not written else files | {written or "model.plan": ("default_model_filename",)}


def _missing(model: Model, version: int, *, name: str, place: tuple[str, ...]) -> Iterator[Diagnostic]:
    found = f"version {version} has no file {name}"
    several = model.config is not None and len(model.config.cc_model_filenames) > 1
    yield model.at(MISSING, *place, found=found, triton="depends" if several else None)


def _configured(model: Model) -> Iterator[Diagnostic]:
    for index, group in enumerate(model.config.instance_group):
        if group.kind in (group.KIND_CPU, group.KIND_MODEL) and model.completed.backend == "tensorrt":
            yield model.at(ON_CPU, "instance_group", index, "kind", found=group.Kind.Name(group.kind), expected="KIND_GPU")
    for field in ("input", "output"):
        for index, tensor in enumerate(getattr(model.config, field)):
            name = _type_name(tensor)
            if tensor.data_type and (name not in _TRITON or not dtypes.by_triton(name).tensorrt):
                yield model.at(TYPES, field, index, "data_type", found=f"{field} {tensor.name!r}: {name}")


_TRITON = {each.triton for each in dtypes.TABLE}


def _type_name(tensor: object) -> str:
    types = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number  # type: ignore[attr-defined]  # a message
    number = tensor.data_type  # type: ignore[attr-defined]
    return str(types[number].name) if number in types else str(number)


def _plan(model: Model, path: Path, *, headers: dict[str, Header]) -> Iterator[Diagnostic]:
    name = f"{path.parent.name}/{path.name}"
    try:
        header = headers[path.name] = plan_file.read_header(path)
    except PlanError as error:
        yield model.of(INVALID, name, found=error.found or error.what, expected=error.expected)
        return
    if header.module != model.completed.backend:
        rule = RTX if header.module == "tensorrt_rtx" else INVALID
        yield model.of(rule, name, found=f"a plan of {header.module} {header.version_text}")
    try:
        metadata = plan_file.read_metadata(path)
    except PlanError as error:
        yield model.of(METADATA, f"{name}.json", found=error.found or error.what)
        return
    if metadata is None:
        return
    for sentence in _contradictions(path, header, metadata):
        yield model.of(METADATA, f"{name}.json", found=sentence)
    if model.config is not None:
        yield from _contract(model, metadata)


def _contradictions(path: Path, header: Header, metadata: PlanMetadata) -> Iterator[str]:
    """What does not need the plan's content: `plan_file.contradictions` hashes it too."""
    if (metadata.module, metadata.version) != (header.module, header.version_text):
        yield f"{metadata.module} {metadata.version}, and the plan's header says {header.module} {header.version_text}"
    if metadata.plan_bytes != files.size(path):
        yield f"{metadata.plan_bytes:,} bytes, and the plan has {files.size(path):,}"


def _contract(model: Model, metadata: PlanMetadata) -> Iterator[Diagnostic]:
    config, count = model.config, len(metadata.profiles)
    chosen: set[int] = set()
    for index, group in enumerate(config.instance_group):
        for number, name in enumerate(group.profile):
            if name.isdecimal():
                chosen.add(int(name))
                if int(name) >= count:
                    place = ("instance_group", index, "profile", number)
                    yield model.at(PROFILES, *place, found=f"profile {name}", expected=f"0 to {count - 1}")
    profiles = [profile for number, profile in enumerate(metadata.profiles) if number in (chosen or range(count))]
    most = max((min(shapes["max"][0] for shapes in profile.values()) for profile in profiles if profile), default=0)
    if most and config.max_batch_size > most:
        yield model.at(BATCH, "max_batch_size", found=str(config.max_batch_size), expected=f"at most {most}")
    for field, specs in (("input", metadata.inputs), ("output", metadata.outputs)):
        yield from _tensors(model, field, {each.name: each for each in specs})


def _tensors(model: Model, field: str, specs: Mapping[str, TensorSpec]) -> Iterator[Diagnostic]:
    tensors = getattr(model.config, field)
    batched = model.config.max_batch_size > 0
    for index, tensor in enumerate(tensors):
        spec = specs.get(tensor.name)
        if spec is None:
            found, known = f"{field} {tensor.name!r}", files.listed(specs)
            yield model.at(TENSORS, field, index, "name", found=found, expected=known)
            continue
        wanted = dtypes.by_name(spec.dtype).triton
        if _type_name(tensor) != wanted:
            found = f"{field} {tensor.name!r}: {_type_name(tensor)}"
            yield model.at(TENSORS, field, index, "data_type", found=found, expected=wanted)
        shape = [size if isinstance(size, int) else -1 for size in (spec.shape[1:] if batched else spec.shape)]
        dims = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
        if len(shape) != len(dims) or any(-1 not in pair and pair[0] != pair[1] for pair in zip(shape, dims, strict=True)):
            found = f"{field} {tensor.name!r}: {dims}"
            yield model.at(
                TENSORS, field, index, "dims", found=found, expected=f"{shape}" + (", behind the batch" if batched else "")
            )
    for name in specs if field == "input" and tensors else ():
        if name not in {each.name for each in tensors}:
            yield model.at(TENSORS, "input", found=f"input {name!r} of the plan is missing", expected=files.listed(specs))
