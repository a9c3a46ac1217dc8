"""Check early whether a model's configuration will differ from the published one, as far as that is known before the export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core import bounded_files
from tritonize.core.errors import RepositoryError, TritonizeError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.repository import manifest
from tritonize.spec import schema
from tritonize.triton import config_changes, model_config
from tritonize.triton.protocol import ModelConfig

_LATER = ("input", "output", "cc_model_filenames", "default_model_filename", "ensemble_scheduling")
"""Fields that depend on the ONNX file, the plans or the models of the steps."""


def require_none(place: Path, name: str, model: schema.Model) -> None:
    """Fail at the start of a run if its version could not be published at the end.

    Raises:
        RepositoryError: the published configuration differs from the one that the spec gives; the error lists the fields.
    """
    lines = list(_lines(place, name, model))
    if lines:
        where = str(place / name / repository.CONFIG)
        raise RepositoryError.of(wording.CONFIG_DIFFERS, where=where, details=lines, file=repository.CONFIG)


def require_nothing_dropped_early(place: Path, name: str, model: schema.Model) -> None:
    """`require_nothing_dropped` at the start of a run, as far as the new configuration is known then."""
    with contextlib.suppress(UsageError):  # reported later, when the configuration is rendered
        if not model.template and not model.config:
            require_nothing_dropped(place, name, model_config.foreseen(name, model), unknown=("cc_model_filenames", "model_warmup"))


def require_nothing_dropped(place: Path, name: str, config: ModelConfig, *, unknown: Sequence[str] = ()) -> None:
    """Fail if a configuration would drop fields of a published one that was written by hand.

    Args:
        place: the model repository.
        name: the model's name.
        config: the new configuration. Inputs and outputs are not compared.
        unknown: fields that the configuration may get later.

    Raises:
        RepositoryError: the error lists the fields that it drops.
    """
    path = place / name / repository.CONFIG
    if not path.is_file() or is_proven(path.parent):
        return
    current = model_config.parse(repository.read_config(place, name), where=str(path))
    kept = {field: value for field, value in current.items() if field not in ("input", "output", *unknown)}
    if lines := config_changes.dropped(kept, config):
        raise RepositoryError.of(wording.CONFIG_DROPS, where=str(path), details=lines, file=repository.CONFIG)


def kept(place: Path, name: str, text: str, *, file: str = repository.CONFIG) -> str:
    """Return the published configuration if it says the same as a new one, else the new one, to be proven as it will be published.

    Args:
        place: the model repository.
        name: the model's name.
        text: the new configuration.
        file: its name in the model's directory.
    """
    try:
        current = bounded_files.text(place / name / file)
    except (OSError, ValueError):  # there is none, or it differs, which is reported later
        return text
    return text if config_changes.between(current, text) else current


def is_proven(directory: Path, name: str = repository.CONFIG) -> bool:
    """Return whether a published configuration, or a named variant of it, is that of a version, or a pinned one."""
    found = repository.sha256(directory / name)
    return found in manifest.listed_beside(directory).get(name, {}) or found in manifest.pinned_files(directory).get(name, {})


def _lines(place: Path, name: str, model: schema.Model) -> Iterator[str]:
    path = place / name / repository.CONFIG
    if not path.is_file() or model.template or model.config or repository.pinned(place / name) is not None:
        return
    try:
        wanted = model_config.foreseen(name, model)
    except TritonizeError:  # reported later, when the configuration is rendered
        return
    try:
        current = model_config.parse(repository.read_config(place, name), where=str(path))
    except TritonizeError as error:
        yield wording.CONFIG_INVALID.text(found=error.found)
        return
    later = (*_LATER, "model_warmup") if model.warmup or model.warmup_files else _LATER
    yield from config_changes.between_fields(*({f: v for f, v in each.items() if f not in later} for each in (current, wanted)))
    labels = model_config.label_files(current)
    for output in sorted({*labels, *(each for each, rules in model.outputs.items() if rules.labels)}):
        rules = model.outputs.get(output)
        with contextlib.suppress(OSError, UnicodeDecodeError):  # an unreadable file is reported later, when it is needed
            text = rules.labels.read_text(encoding="utf-8") if rules and rules.labels else None
            named = None if text is None else model_config.label_filename(output, text)
            old, new = labels.get(output) or config_changes.ABSENT, named or config_changes.ABSENT
            if old != new:
                yield f"label_filename of {output}: {old} -> {new}"
