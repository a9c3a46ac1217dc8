"""Rules about instance groups, and about options that a backend reads from the configuration.

Source: core, `ValidateInstanceGroup` in `model_config_utils.cc`; onnxruntime_backend, `src/onnxruntime.cc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.pbtxt import Path
from tritonize.lint.rule import Diagnostic, Edit, Rule, Verdict
from tritonize.lint.scheduling import removal
from tritonize.triton import set_aside

GPUS = Rule(
    id="TR401",
    name="gpus-without-gpu",
    severity="error",
    triton="refuses",
    what="An instance group names GPUs and is not of KIND_GPU.",
    why="KIND_CPU runs on no GPU, and with KIND_MODEL the model itself chooses (core, `ValidateInstanceGroup`).",
    fix="remove `gpus`, or set `kind: KIND_GPU`",
    wrong="instance_group [ { kind: KIND_CPU gpus: [ 0 ] } ]",
    right="instance_group [ { kind: KIND_CPU } ]",
    fixable=True,
)
PROFILE = Rule(
    id="TR402",
    name="profile-without-tensorrt",
    severity="error",
    triton="refuses",
    what="An instance group chooses an optimization profile, and the model is not a TensorRT plan.",
    why="Only TensorRT has profiles (core, `ValidateInstanceGroup`).",
    fix="remove `profile`",
    wrong='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU profile: [ "0" ] } ]',
    right='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]',
    fixable=True,
)
PROFILE_NUMBER = Rule(
    id="TR403",
    name="profile-number",
    severity="error",
    triton="refuses",
    what="An optimization profile is not named by a number.",
    why="Profiles are texts that hold a number from 0 (core, `GetProfileIndex`).",
    fix="name the profile by its number, in quotes",
    wrong='instance_group [ { kind: KIND_GPU profile: [ "small" ] } ]',
    right='instance_group [ { kind: KIND_GPU profile: [ "0" ] } ]',
)
COUNT = Rule(
    id="TR404",
    name="instance-count",
    severity="warning",
    triton="accepts",
    what="The number of instances is negative.",
    why="Triton takes any number below 1 for unset and chooses: 2 on the CPU for ONNX Runtime, else 1 (core, "
    "`NormalizeInstanceGroup`).",
    fix="write the number of instances that the model needs",
    wrong="instance_group [ { kind: KIND_CPU count: -1 } ]",
    right="instance_group [ { kind: KIND_CPU count: 1 } ]",
)
PARAMETER = Rule(
    id="TR411",
    name="parameter-value",
    severity="error",
    triton="refuses",
    what="A parameter of the ONNX Runtime backend has a value that it cannot read.",
    why="Values are texts; the backend parses those of numbers and switches when it loads the model.",
    fix="write a whole number, or true or false",
    wrong='parameters { key: "intra_op_thread_count" value { string_value: "four" } }',
    right='parameters { key: "intra_op_thread_count" value { string_value: "4" } }',
)
ACCELERATOR = Rule(
    id="TR412",
    name="execution-accelerator",
    severity="error",
    triton="refuses",
    what="The ONNX Runtime backend does not know this execution accelerator.",
    why="It knows `tensorrt` and `cuda` on a GPU and `openvino` on the CPU, each if it was built with it.",
    fix="correct the name, or remove the accelerator",
    wrong='optimization { execution_accelerators { cpu_execution_accelerator [ { name: "mkl" } ] } }',
    right='optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }',
)
OPERATORS = Rule(
    id="TR413",
    name="operator-library-missing",
    severity="error",
    triton="depends",
    what="A library of custom operators does not exist on this machine.",
    why="The server loads it by the path in `op_library_filename`, relative to its own working directory.",
    fix="install the library under that path where the server runs",
    wrong='model_operations { op_library_filename: "/opt/missing/libops.so" }',
    right='model_operations { op_library_filename: "/opt/ops/libops.so" }',
)
RULES = (GPUS, PROFILE, PROFILE_NUMBER, COUNT, PARAMETER, ACCELERATOR, OPERATORS)

_NUMBERS = ("execution_mode", "intra_op_thread_count", "inter_op_thread_count")
_SWITCHES = ("enable_mem_arena", "enable_mem_pattern", "share_session_between_instances")


def groups(model: Model) -> Iterator[Diagnostic]:
    """Check the instance groups."""
    plan = model.completed.platform == "tensorrt_plan"
    for index, group in enumerate(model.config.instance_group):
        place = ("instance_group", index)
        kind = group.Kind.Name(group.kind) if group.kind in group.Kind.values() else str(group.kind)
        if group.gpus and kind in ("KIND_CPU", "KIND_MODEL"):
            yield model.at(GPUS, *place, "gpus", found=f"{kind} with gpus {list(group.gpus)}", edit=_without(model, index, "gpus"))
        if group.profile and not plan:
            found = (
                f"the platform {model.completed.platform!r}" if model.completed.platform else f"backend {model.completed.backend!r}"
            )
            yield model.at(PROFILE, *place, "profile", found=found, edit=_without(model, index, "profile"))
        for number, name in enumerate(group.profile if plan else ()):
            if not re.match(r"\s*\+?\d", name):
                yield model.at(PROFILE_NUMBER, *place, "profile", number, found=repr(name), expected="a number such as '0'")
        if group.count < 0:
            yield model.at(COUNT, *place, "count", found=str(group.count), expected="1 or more")


def _without(model: Model, index: int, field: str) -> Edit | None:
    """The change that removes a list of a group, if it is written once, as a list or as a single value."""
    node = model.places.node(("instance_group", index))
    entries = node.fields.get(field, []) if node else []
    if not entries or len({each.whole for each in entries}) > 1 or (entries[0].whole is None and len(entries) > 1):
        return None
    return removal(model, "instance_group", index, field, 0)


def options(model: Model) -> Iterator[Diagnostic]:
    """Check what the ONNX Runtime backend reads from the configuration."""
    if model.completed.backend != "onnxruntime":
        return
    for name, parameter in model.config.parameters.items():
        value = parameter.string_value
        entry = model.places.entry(("parameters",), name)
        place: Path = ("parameters",) if entry is None else ("parameters", entry, "value", "string_value")
        if name in _NUMBERS and not re.fullmatch(r"[+-]?\d{1,9}", value.strip()):
            yield model.at(PARAMETER, *place, found=f"{name}: {value!r}", expected="a whole number")
        elif name == "execution_mode" and value.strip() not in ("0", "1"):
            yield model.at(PARAMETER, *place, found=f"{name}: {value!r}", expected="0 (sequential) or 1 (parallel)")
        elif name in _SWITCHES and value.lower() not in ("true", "false", "1", "0", "on", "off"):
            yield model.at(PARAMETER, *place, found=f"{name}: {value!r}", expected="true or false")
    yield from _accelerators(model)
    for index, name in enumerate(model.config.model_operations.op_library_filename):
        if not files.is_file(FilePath(name)):
            yield model.at(
                OPERATORS, "model_operations", "op_library_filename", index, found=f"there is no file {name!r} on this machine"
            )


def _accelerators(model: Model) -> Iterator[Diagnostic]:
    chosen = model.config.optimization.execution_accelerators
    on_gpu = any(group.kind == group.KIND_GPU for group in model.config.instance_group)
    for field, known in set_aside.ACCELERATORS.items():
        for index, each in enumerate(getattr(chosen, field)):
            if each.name not in known:
                place = ("optimization", "execution_accelerators", field, index)
                verdict: Verdict | None = None if field.startswith("cpu") or on_gpu else "depends"
                yield model.at(ACCELERATOR, *place, found=repr(each.name), expected=" or ".join(known), triton=verdict)
