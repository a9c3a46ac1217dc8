"""config.pbtxt: written from a spec and an ONNX file, parsed back with Triton's own protobuf, compared field by field.

Rules: triton-inference-server/core `src/model_config_utils.cc`. With `max_batch_size` > 0 every tensor's first axis is the
batch and `dims` leave it out; `dims` are never empty, so a tensor without further axes is `[ 1 ]` with a reshape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast  # Any: the fields of a template

from google.protobuf import json_format, text_format

from tritonize.core import dtypes, names
from tritonize.core.artifacts import OnnxArtifact, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import server as messages
from tritonize.core.reports import Finding
from tritonize.onnx_model import ragged
from tritonize.spec import schema, sequences
from tritonize.triton import config_section, own_config, text_form
from tritonize.triton.protocol import ModelConfig

ENSEMBLE = "ensemble"
"""The platform of an ensemble, which has no backend."""
PYTHON = "python"
"""The backend of a Python step, which has no platform."""
PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
"""Backend to platform, as `model_config_utils.cc` pairs them; Triton has none for TensorRT-RTX."""
LABELS = "labels"
WARMUP = "warmup"
INITIAL_STATE = "initial_state"
_QUOTED = 400
"""Longest text of protobuf's about an invalid configuration."""
"""Folders in a model's directory whose files a configuration names."""


def render(
    name: str,
    model: schema.Model,
    artifact: OnnxArtifact,
    *,
    plans: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """The text of config.pbtxt, parsed back before it is returned.

    Args:
        plans: compute capability to the file name of its plan, if a version has several.
        labels: output to the name of its label file, next to the configuration.

    Raises:
        UsageError: the spec's `triton:` section or template does not make a valid configuration, or the user's own configuration
            contradicts the model; the error lists every contradiction.
    """
    kept = sequences.of(model) or sequences.Contract(controls=(), states=())  # the batcher's tensors are in its own section
    inputs = [
        _tensor(tensor, model, None, optional=tensor.name in artifact.optional)
        for tensor in ragged.client_inputs(model, artifact.inputs)
        if tensor.name not in kept.inputs
    ]
    received = ragged.client_outputs(model, artifact.outputs)
    outputs = [tensor for tensor in received if tensor.name not in kept.outputs]
    return _rendered(name, model, inputs, outputs=outputs, labels=labels or {}, plans=plans or {})


def render_tensors(
    name: str,
    model: schema.Model,
    *,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    labels: Mapping[str, str],
) -> str:
    """The text of config.pbtxt of a Python step, or of an ensemble whose steps are in the `triton:` section, parsed back.

    Args:
        inputs: with the batch axis if the model is batched.
        outputs: likewise.
        labels: output to the name of its label file, next to the configuration.

    Raises:
        UsageError: see `render`.
    """
    described = [_tensor(each, model, None, optional=bool(model.inputs[each.name].optional)) for each in inputs]
    return _rendered(name, model, described, outputs=outputs, labels=labels, plans={})


def _rendered(
    name: str,
    model: schema.Model,
    inputs: Sequence[Mapping[str, object]],
    *,
    outputs: Sequence[TensorSpec],
    labels: Mapping[str, str],
    plans: Mapping[str, str],
) -> str:
    fields: dict[str, Any] = {
        "name": name,
        **_kind(model),
        "max_batch_size": model.max_batch_size,
        "inputs": inputs,
        "outputs": [_tensor(tensor, model, labels.get(tensor.name)) for tensor in outputs],
        "extra": config_section.as_text(model, plans),
    }
    own = model.config or model.template
    from tritonize.triton import config_template  # not above: whoever reads a configuration needs no Jinja

    text = own_config.text(model.config) if model.config else config_template.rendered(model.template, fields).strip() + "\n"
    config = parse(text, where=str(own or "templates/config.pbtxt.j2"))
    lines = list(own_config.contradictions(config, name, fields)) if model.config else []
    if own and sequences.SECTION in config and sequences.SECTION not in model.triton:
        lines.append(f"{sequences.SECTION}: write it under triton in the spec, which says what a sequence is")
    if lines:
        raise UsageError.of(messages.OWN_CONFIG_DIFFERS, where=str(own), details=lines)
    found = config.get("name"), int(config.get("max_batch_size", 0))
    if model.template and found != (name, model.max_batch_size):
        raise UsageError.of(
            messages.TEMPLATE_DIFFERS,
            where=str(own),
            expected=f"name {name!r}, max_batch_size {model.max_batch_size}",
            found=f"name {found[0]!r}, max_batch_size {found[1]}",
        )
    return text


def foreseen(name: str, model: schema.Model) -> ModelConfig:
    """The fields of a configuration that are known before export, as `parse` returns them; without those of a template.

    Raises:
        UsageError: the spec's `triton:` section is invalid.
    """
    known = parse(config_section.as_text(model, {}), where="triton")
    known |= {"name": name, **{field: value for field, value in _kind(model).items() if value}}  # type: ignore[typeddict-item]
    if model.max_batch_size:  # protobuf does not distinguish zero from unset
        known["max_batch_size"] = model.max_batch_size
    return known


def _kind(model: schema.Model) -> dict[str, str | None]:
    """The platform and the backend of a model."""
    if model.ensemble:
        return {"platform": ENSEMBLE, "backend": None}
    if model.python:
        return {"platform": None, "backend": PYTHON}
    return {"platform": PLATFORMS.get(model.backend), "backend": model.backend}


def label_filename(output: str, text: str) -> str:
    """The name of an output's label file next to config.pbtxt; it contains a hash, so a configuration never uses other labels."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{LABELS}_{names.file_name(output)}.{digest[:12]}.txt"


def label_files(config: ModelConfig) -> dict[str, str]:
    """Output to the name of the file with its labels, of a parsed configuration."""
    return {output["name"]: output["label_filename"] for output in config.get("output", ()) if output.get("label_filename")}


def named_files(config: ModelConfig) -> set[str]:
    """The files beside the versions that a parsed configuration names, by their paths inside the model's directory."""
    plain = cast("Mapping[str, Any]", config)
    inputs = [each for sample in plain.get("model_warmup", ()) for each in sample.get("inputs", {}).values()]
    states = [each for state in plain.get("sequence_batching", {}).get("state", ()) for each in state.get("initial_state", ())]
    return {
        *label_files(config).values(),
        *(f"{WARMUP}/{each['input_data_file']}" for each in inputs if "input_data_file" in each),
        *(f"{INITIAL_STATE}/{each['data_file']}" for each in states if "data_file" in each),
    }


def _tensor(tensor: TensorSpec, model: schema.Model, labels: str | None, *, optional: bool = False) -> dict[str, object]:
    batched = bool(model.max_batch_size)
    shape = tensor.shape[1:] if batched else tensor.shape
    return {
        "name": tensor.name,
        "data_type": dtypes.by_name(tensor.dtype).triton,
        "dims": [size if isinstance(size, int) else -1 for size in shape] or [1],
        "axes": [_axis(size, model) for size in shape if isinstance(size, str)],
        # Without a batch, Triton rejects an empty shape, so a scalar is served as one element.
        "reshape": [] if batched and not shape else None,
        "label_filename": labels,
        "optional": optional,
        "ragged": tensor.name in model.inputs and model.inputs[tensor.name].ragged,
    }


def _axis(name: str, model: schema.Model) -> str:
    """A dynamic axis for a comment: its name, and its range if the spec gives one."""
    shown = name if name.isidentifier() else "an axis"  # a name from an ONNX file is free text
    if name not in model.axes:
        return shown
    axis = model.axes[name]
    return f"{shown} {axis.min} to {axis.max}"


def parse(text: str, *, where: str) -> ModelConfig:
    """The configuration as plain data with protobuf's field names; unset fields are left out.

    Raises:
        UsageError: the text is not a valid ModelConfig; the error contains line and column.
    """
    try:
        message = text_form.parse(text, config_section.message())
    except text_format.ParseError as error:
        found = str(error)  # it quotes the whole line
        found = found if len(found) <= _QUOTED else f"{found[: _QUOTED // 2]} … {found[-_QUOTED // 2 :]}"
        raise UsageError.of(messages.CONFIG_INVALID, where=where, found=found) from error
    return cast("ModelConfig", json_format.MessageToDict(message, preserving_proto_field_name=True))


def with_completed(config: ModelConfig, completed: Mapping[str, object]) -> ModelConfig:
    """A configuration with the fields that Triton completes in it, as an adopted version's manifest has them."""
    return cast("ModelConfig", {**config, **completed})


def versions_named(config: ModelConfig) -> tuple[int, ...] | None:
    """The versions that a parsed configuration lists for serving; `None` if its policy selects by order."""
    specific = config.get("version_policy", {}).get("specific")
    return None if specific is None else tuple(int(each) for each in specific.get("versions", ()))


def versions_served(config: ModelConfig, present: Sequence[int]) -> tuple[int, ...]:
    """The versions among `present` that Triton serves by a configuration's version policy; the newest without a policy."""
    named, policy = versions_named(config), config.get("version_policy", {})
    if named is not None:
        return tuple(each for each in sorted(present) if each in named)
    if "all" in policy:
        return tuple(sorted(present))
    count = int(policy.get("latest", {}).get("num_versions") or 1)
    return tuple(sorted(present)[-count:])


def serving(config: ModelConfig, version: int) -> ModelConfig:
    """The same configuration with a version policy that serves one version alone."""
    return {**config, "version_policy": {"specific": {"versions": [version]}}}


def served_as(text: str, name: str, version: int, *, where: str) -> str:
    """The same configuration for a model of another name, with one version to load.

    Raises:
        UsageError: the text is not a valid ModelConfig.
    """
    config = parse(text, where=where)
    return as_text(serving({**config, "name": name}, version))


def as_text(config: ModelConfig) -> str:
    """The text of a configuration that `parse` returned."""
    message = config_section.message()
    json_format.ParseDict(dict(config), message)
    served: str = text_format.MessageToString(message, as_utf8=True)
    # Protobuf leaves out a zero, and Triton would auto-complete the missing field.
    return served if config.get("max_batch_size") else f"max_batch_size: 0\n{served}"


def differences(wanted: ModelConfig, found: ModelConfig, *, where: str) -> tuple[Finding, ...]:
    """The fields of `wanted` that `found` lacks or has with another value.

    A server fills in its defaults, so `found` may have further fields.
    """
    return tuple(_differences(dict(wanted), dict(found), "", where=where))


_BEHAVIOUR = ("dynamic_batching", "sequence_batching", "ensemble_scheduling", "response_cache", "model_transaction_policy")
_FILLED_IN = ("dynamic_batching.preferred_batch_size", "sequence_batching.max_sequence_idle_microseconds")
"""Fields that Triton 2.51 adds to a configuration (observed)."""


def _differences(wanted: object, found: object, path: str, *, where: str) -> Iterator[Finding]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from _differences(value, found.get(key), f"{path}.{key}" if path else key, where=where)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (value, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(value, other, f"{path}[{index}]", where=where)
    elif str(wanted) != str(found) and not (_is_default(wanted) and found is None):  # JSON has 64-bit integers as strings too
        yield Finding(where=where, what=path, expected=str(wanted), found="nothing" if found is None else str(found))


def _is_default(value: object) -> bool:
    """Whether protobuf omits such a value: a zero, an empty text or list; an empty message is not omitted."""
    return not value and not isinstance(value, dict)


def additions(wanted: ModelConfig, found: ModelConfig, *, where: str) -> Iterator[Finding]:
    """Scheduling, batching and caching fields that `found` has and `wanted` lacks, except those that a server fills in."""
    own, theirs = (cast("Mapping[str, Mapping[str, object]]", config) for config in (wanted, found))  # of messages, in these fields
    for field in _BEHAVIOUR:
        if field in theirs and (theirs[field] or field != "model_transaction_policy"):  # an empty one is the default
            ours = own.get(field)
            for key in (None, *theirs[field]):
                path = field if key is None else f"{field}.{key}"
                if (ours is None if key is None else ours is not None and key not in ours) and path not in _FILLED_IN:
                    value = theirs[field] if key is None else theirs[field][key]
                    yield Finding(where=where, what=path, expected="nothing", found=str(value))
