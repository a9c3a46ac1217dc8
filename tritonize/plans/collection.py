"""Plans of one network for several GPU kinds, built on several machines and brought together.

They become one version of a model: Triton takes of it the plan of its own GPU (`cc_model_filenames`). So they must be of one
network, one module version and one set of settings and profiles, and each for another GPU kind.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import errors
from tritonize.core.errors import PlanError, UsageError
from tritonize.plans import plan_file, proof_record
from tritonize.plans.plan_file import PlanMetadata

_SHARED = ("module", "version", "onnx_sha256", "profiles", "settings", "tf32")
"""What all plans of a version have in common."""
_WORDS = {"version": "TensorRT versions", "onnx_sha256": "ONNX files", "tf32": "TF32 settings"}


@dataclass(frozen=True, kw_only=True)
class CollectedPlan:
    """A plan that somebody built."""

    path: Path
    metadata: PlanMetadata
    log: Path | None
    """What the builder said, where that was kept beside it."""


def read(places: Sequence[Path]) -> tuple[CollectedPlan, ...]:
    """The plans in folders, and plans named themselves; sorted by compute capability.

    Raises:
        UsageError: there is no such place or no plan, or they do not go together; every reason is listed.
        PlanError: one is damaged, or has no metadata.
    """
    if absent := [str(place) for place in places if not place.exists()]:
        raise UsageError("There is no such folder or plan.", where=", ".join(absent))
    paths = [path for place in places for path in (sorted(place.glob("*.plan")) if place.is_dir() else [place])]
    if not paths:
        raise UsageError("There is no plan in these folders.", where=", ".join(map(str, places)))
    found = [_read(path) for path in paths]
    if problems := [*_mixtures(found), *_doubles(found)]:
        raise UsageError("These plans cannot be one version of a model.", details=problems)
    kinds = {plan.metadata.compute_capability: plan for plan in reversed(found)}
    return tuple(kinds[kind] for kind in sorted(kinds, key=lambda text: tuple(map(int, text.split(".")))))


def collect(places: Sequence[Path], directory: Path) -> tuple[CollectedPlan, ...]:
    """Copy the plans of several machines into one folder, `model.sm89.plan` and so on, each with metadata, log and proof.

    Raises:
        UsageError, PlanError: see `read`; or the folder is not empty.
    """
    plans = read(places)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise UsageError("The folder for the plans is not empty.", where=str(directory))
    with errors.storage_errors(directory):
        _copy(plans, directory)
    return read([directory])


def _copy(plans: Sequence[CollectedPlan], directory: Path) -> None:
    for each in plans:
        target = directory / f"model.sm{each.metadata.compute_capability.replace('.', '')}.plan"
        if each.log:
            shutil.copyfile(each.log, target.with_suffix(".log"))
        shutil.copyfile(plan_file.metadata_path(each.path), plan_file.metadata_path(target))
        if proof_record.path(each.path).is_file():
            shutil.copyfile(proof_record.path(each.path), proof_record.path(target))
        shutil.copyfile(each.path, target)


def _read(path: Path) -> CollectedPlan:
    header, known = plan_file.read_header(path), plan_file.read_metadata(path)
    if known is None:
        raise PlanError(
            "There is no metadata beside the plan, so it is not known what it was built of.",
            where=str(path),
            expected=plan_file.metadata_path(path).name,
            next_step="bring the .plan.json along that `tritonize plan build` writes beside each plan",
        )
    if wrong := list(plan_file.contradictions(path, header, known)):
        raise PlanError("The plan is not the one that its metadata describes.", where=str(path), details=wrong)
    log = path.with_suffix(".log")
    return CollectedPlan(path=path, metadata=known, log=log if log.is_file() else None)


def _mixtures(plans: Sequence[CollectedPlan]) -> Iterator[str]:
    for field in _SHARED:
        values = {plan.path: getattr(plan.metadata, field) for plan in plans}
        first = plans[0]
        for path, value in values.items():
            if value != values[first.path]:
                what = _WORDS.get(field, field)
                yield f"they have different {what}: {values[first.path]} ({first.path}) and {value} ({path})"
                break


def _doubles(plans: Sequence[CollectedPlan]) -> Iterator[str]:
    seen: dict[str, CollectedPlan] = {}
    for plan in plans:
        known = seen.setdefault(plan.metadata.compute_capability, plan)
        if known.metadata.plan_sha256 != plan.metadata.plan_sha256:
            yield f"two different plans are for compute capability {plan.metadata.compute_capability}: {known.path} and {plan.path}"
