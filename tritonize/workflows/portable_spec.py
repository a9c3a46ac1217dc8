"""A model's part of the spec without paths and secrets of this machine, since it is copied to other machines."""

from __future__ import annotations

from pathlib import Path

from tritonize.core import redaction
from tritonize.core.json_types import JsonObject
from tritonize.spec import schema
from tritonize.workflows import sample_names, warmup


def portable(model: schema.Model) -> JsonObject:
    """Return the model's part of the spec with bare file names."""
    plain = model.model_dump(mode="json", exclude_defaults=True, exclude={"search_path"})
    plain |= _source(model)
    for key, path in (("template", model.template), ("config", model.config)):
        plain |= {key: path.name} if path else {}
    if model.state_dict:
        plain["weights"] = (
            {**plain["weights"], "file": model.state_dict.file.name}
            if isinstance(plain["weights"], dict)
            else model.state_dict.file.name
        )
    if model.builder.plugins:
        plain["builder"]["plugins"] = [path.name for path in model.builder.plugins]
    if model.kwargs:
        plain["kwargs"] = redaction.redacted(plain["kwargs"])
    if model.custom_op_libraries:
        plain["custom_op_libraries"] = [Path(name).name for name in model.custom_op_libraries]
    if model.operators:
        plain["operators"] = [path.name for path in model.operators]
    if model.warmup_files:  # how many: their names may be those of patients
        plain["warmup_files"] = len(model.warmup_files)
        plain["triton"] = warmup.without_names(model.triton, model)
        plain |= {"variants": {name: warmup.without_names(each, model) for name, each in model.variants.items()}}
    for output in plain.get("outputs", {}).values():
        if output.get("labels"):
            output["labels"] = Path(output["labels"]).name
    if model.samples.function:
        plain["samples"].pop("files", None)
    elif model.samples.patterns:
        plain["samples"]["files"] = [sample_names.INSTEAD] * len(model.samples.patterns)
    return plain


def _source(model: schema.Model) -> JsonObject:
    """Return the names of the files that a model is made of."""
    if model.python:
        return {"python": Path(model.python).name, **({"files": [path.name for path in model.files]} if model.files else {})}
    return {} if model.is_factory or not model.source else {"source": Path(model.source).name}


def has_secrets(model: schema.Model) -> bool:
    """Whether a factory has arguments that `portable` leaves out, so that two different specs can look the same."""
    return redaction.redacted(model.kwargs) != model.kwargs
