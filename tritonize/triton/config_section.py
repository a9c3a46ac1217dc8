"""The `triton:` section of a spec: any field of Triton's ModelConfig, checked against its protobuf, written with comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any  # Any: values of a spec, which protobuf checks

from google.protobuf import json_format, text_format
from google.protobuf.message import Message as ProtobufMessage

from tritonize.spec import rules, schema
from tritonize.triton import section_fields

FUNCTION = "function"
"""The parameter that names the function of a Python step; `backends/python_step/model.py` reads it."""
_SCHEDULERS = {"dynamic_batching", "sequence_batching", "ensemble_scheduling"}
_WHY = {
    "model_operations": "custom_op_libraries of the spec",
    "cc_model_filenames": "one plan for each compute capability",
    "dynamic_batching": "the default, since max_batch_size is above 1",
    "model_warmup": "samples of the spec, one of each shape",
    "instance_group": "one group for each profile that covers all sizes",
}
"""Fields that do not come from the section, to the reason why they are there."""


def message() -> ProtobufMessage:
    """Return an empty ModelConfig."""
    # Imported here because it imports gRPC, which would slow down `tritonize --help`.
    from tritonclient.grpc import model_config_pb2

    empty: ProtobufMessage = model_config_pb2.ModelConfig()
    return empty


def fields(model: schema.Model, plans: Mapping[str, str]) -> dict[str, Any]:
    """Return the section with what other parts of the spec add to it.

    Args:
        model: the model's part of the spec.
        plans: compute capability to the file name of its plan, if a version has several.

    Returns:
        Field to value, as protobuf's JSON form takes it.
    """
    section = _plain_parameters(model.triton)
    if model.custom_op_libraries:
        section["model_operations"] = {"op_library_filename": model.custom_op_libraries}
    if model.python:
        function = f"{model.python_file.name}:{model.python.rpartition(':')[2]}"
        section["parameters"] = {**section.get("parameters", {}), FUNCTION: {"string_value": function}}
    if plans:
        section["cc_model_filenames"] = dict(plans)
    if len(model.profiles) > 1 and model.backend == "tensorrt":  # Triton refuses the field `profile` with other platforms
        section["instance_group"] = _instance_groups(model)
    if model.max_batch_size > 1 and not model.ensemble and not _SCHEDULERS & set(section):
        section["dynamic_batching"] = {}
    return section


def as_text(model: schema.Model, plans: Mapping[str, str]) -> str:
    """Return these fields as protobuf text; a comment says why a field is there that the section does not have.

    Raises:
        google.protobuf.json_format.ParseError: a value does not fit its field.
    """
    parts = []
    known: Mapping[str, Any] = message().DESCRIPTOR.fields_by_name
    # By number, as protobuf writes a whole message, whatever the order in the spec.
    for name, value in sorted(fields(model, plans).items(), key=lambda item: known[item[0]].number if item[0] in known else 0):
        part = message()
        json_format.ParseDict({name: value}, part)
        text = text_format.MessageToString(part, as_utf8=True).strip()
        made = name == "model_warmup" and model.warmup is not None
        reason = _WHY.get(name) if made or model.triton.get(name) != value else None
        parts.append(f"# {name}: {reason}\n{text}" if reason else text)
    return "\n".join(part for part in parts if part)


def problems(section: Mapping[str, object]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield problems in a `triton:` section: the path inside it, and a sentence."""
    plain = _plain_parameters(section)
    found = list(section_fields.problems(plain))
    yield from found
    wrong = {where[0] for where, _ in found}
    for field, value in plain.items():
        if field in wrong:
            continue
        try:
            json_format.ParseDict({field: value}, message())
        except json_format.ParseError as error:
            yield (field,), f"is not a valid ModelConfig field: {_short(error)}"


def _plain_parameters(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section with each plain value in `parameters` as Triton's `string_value`: `intra_op_thread_count: 1`."""
    parameters = section.get("parameters")
    if not isinstance(parameters, dict):
        return dict(section)
    texts = {
        str(key): value if isinstance(value, dict) or value is None else {"string_value": _as_string(value)}
        for key, value in parameters.items()
    }
    return {**section, "parameters": texts}


def _as_string(value: object) -> object:
    """Return a plain value as Triton's backends read it (`ParseBoolValue` of the backend repository takes true and false)."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _instance_groups(model: schema.Model) -> list[Mapping[str, object]]:
    """Return one group per profile if every profile covers every size; otherwise one group with all profiles.

    Triton sends a request to any free instance, and an instance refuses shapes outside of its profiles.
    """
    names = [str(number) for number in range(len(model.profiles))]
    chosen = [[name] for name in names] if rules.profiles_are_whole(model) else [names]
    groups = model.triton.get("instance_group") or [{"kind": "KIND_GPU", "count": 1}]
    return [
        group | ({} if group.get("profile") else {"profile": each})
        for group in groups
        for each in ([[]] if group.get("profile") else chosen)
    ]


def _short(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).removeprefix('Message type "inference.ModelConfig" ').strip(" .")
