"""Find models whose newest published version was made from exactly what the spec, its files and the libraries are now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from tritonize import repository
from tritonize.core.errors import TritonizeError
from tritonize.core.messages import repository as wording
from tritonize.core.reports import Report
from tritonize.core.results import PASSED, PROVEN
from tritonize.source import identification
from tritonize.spec import ensembles, schema
from tritonize.workflows import ensemble_steps, left_out, made_from
from tritonize.workflows.made_from import Origin


def reports(
    specification: schema.Spec, models: Sequence[str] = (), *, replace_config: bool = False, quick: bool = False
) -> dict[str, Report]:
    """Return a report for every model that is up to date, by name. Nothing is loaded, run or written.

    Args:
        models: names of the models; all models if empty.
        replace_config: call a model up to date only if the configuration in place is that of its newest version.
        quick: whether the proof of a quick run is enough. It also is for a model whose spec has `quality.quick`.
    """
    names = specification.selected(models)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # hashing releases Python's lock
        found = pool.map(lambda name: _report(specification, name, replace_config=replace_config, quick=quick), names)
        current = {name: report for name, report in zip(names, found, strict=True) if report is not None}
    for name in ensembles.ordered(specification.models, names):  # an ensemble is run again after any of its steps
        if any(step.model in names and step.model not in current for step in specification.models[name].ensemble or ()):
            current.pop(name, None)
    return current


def _report(specification: schema.Spec, name: str, *, replace_config: bool, quick: bool) -> Report | None:
    place, model = specification.repository, specification.models[name]
    present = repository.versions(place, name)
    if not present or made_from.why_not_repeatable(model):
        return None
    newest = present[-1]
    directory = place / name / str(newest)
    try:
        known = repository.read_manifest(directory)
        origin = known.get("made_from")
        enough = PASSED if quick or model.quality.quick else PROVEN
        verdict = next((each for each in enough if each == known.get("verdict")), None)
        if verdict is None or not isinstance(origin, dict):
            return None
        if replace_config and repository.proven_config(place, name, newest) != repository.read_config(place, name):
            return None
        now = made_from.given(specification, name, identification.identify(model).sha256)
        if made_from.difference(cast("Origin", origin), now, model) is not None:
            return None
        if repository.integrity(place, name, newest, known=known) or ensemble_steps.changes(place, name, known):
            return None
    except (TritonizeError, OSError, ValueError, KeyError, TypeError, AttributeError):  # the run reports what is wrong
        return None
    pinned = repository.pinned(place / name)
    created = str(known.get("created", "an unknown date"))
    notes = [wording.UP_TO_DATE.text(version=newest, created=created)]
    other = {} if pinned in (None, newest) else {"pinned": pinned}
    if other:
        notes.append(wording.PINNED.text(pinned=pinned, repository=place, model=name, version=newest))
    return Report(
        command="run",
        model=name,
        version=newest,
        verdict=verdict,
        notes=tuple(notes),
        details={"up_to_date": True, **other},
        left_out=left_out.proven(known),
        location=directory,
        published=True,
    )
