"""What a verification notes besides its comparisons: the first proof, what the files can be trusted for, configurations."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tritonize import repository
from tritonize.core.artifacts import ServerHandle, to_json
from tritonize.core.messages import adoption
from tritonize.core.messages import provenance as provenance_wording
from tritonize.core.messages import repository as wording
from tritonize.core.reports import Finding, Stage
from tritonize.core.stages import StageName
from tritonize.quality.golden_set import GoldenSet
from tritonize.repository.manifest import Manifest
from tritonize.triton import model_config, served_comparison, serving
from tritonize.workflows import checked_copy, grown_errors, made_config, quick_versions
from tritonize.workflows.checked_copy import Checked
from tritonize.workflows.limits import Limits


def proven(manifest: Manifest) -> tuple[str, ...]:
    """Say when the version was proven, with which verdict, and which limits were wider than the defaults."""
    created = manifest.get("created", "an unknown time")
    limits = Limits.from_manifest(manifest)
    wider = tuple(limits.notes()) if limits else ()
    if manifest.get("verdict") == "not run":
        return (
            f"The version was published unproven (--allow-unproven) on {created}: a proof that it needs could not run there.",
            *wider,
        )
    if quick := (*quick_versions.note(str(manifest.get("model")), int(manifest.get("version", 0)), manifest),):
        return (f"The version was compared on {created}, verdict then: {manifest.get('verdict', 'unknown')}.", *quick, *wider)
    return (f"The version was proven on {created}, verdict then: {manifest.get('verdict', 'unknown')}.", *wider)


def trust(key: Path | None, checked: Checked, unsigned: Sequence[Finding]) -> Iterator[str]:
    """Say what the files can be trusted for."""
    if key is None:
        yield wording.SUMS.text()
    elif not unsigned:
        yield provenance_wording.SIGNED.text(model=checked.model, version=checked.version, key=key.name)


def configuration(place: Path, checked: Checked) -> Iterator[str]:
    """Name the versions that are served with another configuration than they were proven with."""
    if repository.completed_by_triton(place / checked.model):
        config = model_config.with_completed({}, checked.manifest.get("completed", {}))
        yield adoption.WITHOUT_CONFIG_NOTE.text(config=made_config.in_words(config))
    if checked.own_config:
        yield wording.OTHER_CONFIG.text(version=checked.version)
    for version in checked_copy.unlike_config(place, checked.model):
        yield wording.SERVED_WITH_OTHER_CONFIG.text(version=version)


def details(checked: Checked, verified: served_comparison.Verification, golden: GoldenSet) -> dict[str, object]:
    """What the report says besides the comparisons: fields left out, limits, a quick run, grown errors, an adopted reference."""
    fields: dict[str, object] = {"set_aside": [to_json(each) for each in verified.set_aside]} if verified.set_aside else {}
    manifest = checked.manifest
    if limits := Limits.from_manifest(manifest):
        fields["limits"] = limits.as_json()
    if "quick" in manifest:
        fields["quick"] = manifest["quick"]
    if grown := list(grown_errors.found(golden, manifest, verified.checks)):
        fields["grown"] = grown
    return {**fields, **({"reference": manifest["reference"]} if "adopted" in manifest else {})}


def of_files(place: Path, checked: Checked, older: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings about files with the next step: to restore them, or to go back to the version before.

    Args:
        older: findings about earlier versions.
    """
    where = shlex.quote(str(place))
    step = wording.RESTORE.text(repository=where)
    if not older and any(each < checked.version for each in repository.versions(place, checked.model)):
        step = f"{step}; {wording.OR_ROLL_BACK.text(model=shlex.quote(checked.model), repository=where)}"
    return tuple(replace(each, stage=StageName.FILES, next_step=step) for each in (*checked.findings, *older))


def files_stage(checked: Checked, findings: Sequence[Finding], *, seconds: float) -> Stage:
    """The stage that compared the files with the manifest."""
    return Stage(
        name=StageName.FILES,
        verdict="failed" if findings else "passed",
        seconds=seconds,
        note=f"{len(checked.manifest['files'])} files against the manifest",
    )


def started(server: ServerHandle, seconds: float) -> Stage:
    """The start of the embedded server."""
    return Stage(
        name=StageName.SERVER_START, verdict="passed", seconds=seconds, library_seconds=seconds, note=serving.summary(server)
    )
