"""Check early whether a model's configuration will differ from the published one, as far as that is known before the export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.messages import repository as wording
from tritonize.spec import schema
from tritonize.triton import model_config

_LATER = ("input", "output", "cc_model_filenames", "default_model_filename")
"""Fields that depend on the ONNX file and the plans."""


def require_none(place: Path, name: str, model: schema.Model) -> None:
    """Fail at the start of a run if its version could not be published at the end.

    If a version is pinned, the published configuration stays that of the pinned version, so it may differ.

    Raises:
        RepositoryError: the published configuration differs from the one that the spec gives; the error lists the fields.
    """
    lines = list(_lines(place, name, model))
    if lines:
        where = str(place / name / repository.CONFIG)
        raise RepositoryError.of(wording.CONFIG_DIFFERS, where=where, details=lines, file=repository.CONFIG)


def _lines(place: Path, name: str, model: schema.Model) -> Iterator[str]:
    path = place / name / repository.CONFIG
    if not path.is_file() or model.template or repository.pinned(place / name) is not None:
        return
    try:
        current = model_config.parse(repository.read_config(place, name), where=str(path))
        wanted = model_config.foreseen(name, model)
    except TritonizeError:  # reported later, when the configuration is rendered
        return
    for field in sorted({*current, *wanted} - {*_LATER}):
        yield from _differing(field, current.get(field), wanted.get(field))
    labels = model_config.label_files(current)
    for output in sorted({*labels, *(each for each, rules in model.outputs.items() if rules.labels)}):
        rules = model.outputs.get(output)
        with contextlib.suppress(OSError, UnicodeDecodeError):  # an unreadable file is reported later, when it is needed
            text = rules.labels.read_text(encoding="utf-8") if rules and rules.labels else None
            named = None if text is None else model_config.label_filename(output, text)
            yield from _differing(f"label_filename of {output}", labels.get(output), named)


def _differing(field: str, current: object, wanted: object) -> Iterator[str]:
    if current != wanted:
        yield from (f"{sign}{field}: {json.dumps(each)}" for sign, each in (("-", current), ("+", wanted)) if each is not None)
