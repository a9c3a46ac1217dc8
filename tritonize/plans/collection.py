"""Collect the plans of one network that were built on several machines, one per compute capability.

They become one version of a model, from which Triton loads the plan of its own GPU (`cc_model_filenames`). Therefore all of them
must come from the same ONNX file with the same module version, settings and profiles.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import errors, near_files
from tritonize.core.errors import PlanError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans import plan_file, proof_record
from tritonize.plans.plan_file import PlanMetadata

_SHARED = ("module", "version", "onnx_sha256", "profiles", "settings", "tf32")
"""The metadata fields that are the same for all plans of a version."""
_LABELS = {"version": "TensorRT versions", "onnx_sha256": "ONNX files", "tf32": "TF32 settings"}


@dataclass(frozen=True, kw_only=True)
class CollectedPlan:
    """A plan that was built before, on this machine or another one."""

    path: Path
    metadata: PlanMetadata
    log: Path | None
    """The builder's log next to the plan; `None` if the file does not exist."""


def read(places: Sequence[Path]) -> tuple[CollectedPlan, ...]:
    """Read plans, sorted by compute capability. Of two identical plans only one is returned.

    Args:
        places: folders with `*.plan` files, and paths of plans.

    Raises:
        UsageError: a path does not exist, there is no plan, or the plans cannot be one version; the error lists every reason.
        PlanError: a plan is damaged or has no metadata.
    """
    if absent := [str(place) for place in places if not place.exists()]:
        instead = near_files.missing(absent[0], folder=not absent[0].endswith(".plan"))
        raise UsageError.of(wording.PLANS_MISSING, where=", ".join(absent), found=instead.found, meant=instead.meant)
    paths = [path for place in places for path in (sorted(place.glob("*.plan")) if place.is_dir() else [place])]
    if not paths:
        raise UsageError.of(wording.PLANS_NONE, where=", ".join(map(str, places)), expected="a file *.plan")
    found = [_read(path) for path in paths]
    if problems := [*_different(found), *_duplicates(found)]:
        raise UsageError.of(wording.PLANS_MIXED, where=", ".join(map(str, places)), details=problems)
    kinds = {plan.metadata.compute_capability: plan for plan in reversed(found)}
    return tuple(kinds[kind] for kind in sorted(kinds, key=lambda text: tuple(map(int, text.split(".")))))


def collect(places: Sequence[Path], directory: Path) -> tuple[CollectedPlan, ...]:
    """Copy plans into one folder as `model.sm89.plan` and so on, each with its metadata, log and proof record.

    Raises:
        UsageError, PlanError: see `read`; or the folder is not empty.
        RepositoryError: the disk is full.
    """
    plans = read(places)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise UsageError.of(wording.PLANS_FOLDER_IN_USE, where=str(directory))
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
    header, metadata = plan_file.read_header(path), plan_file.read_metadata(path)
    if metadata is None:
        raise PlanError.of(wording.METADATA_MISSING, where=str(path), expected=f"a file {plan_file.metadata_path(path).name}")
    if differences := list(plan_file.contradictions(path, header, metadata)):
        raise PlanError.of(wording.METADATA_DIFFERS, where=str(path), details=differences)
    log = path.with_suffix(".log")
    return CollectedPlan(path=path, metadata=metadata, log=log if log.is_file() else None)


def _different(plans: Sequence[CollectedPlan]) -> Iterator[str]:
    """The fields in which the plans differ although all plans of a version have them in common, a sentence each."""
    for field in _SHARED:
        values = {plan.path: getattr(plan.metadata, field) for plan in plans}
        first = plans[0]
        for path, value in values.items():
            if value != values[first.path]:
                what = _LABELS.get(field, field)
                yield f"they have different {what}: {values[first.path]} ({first.path}) and {value} ({path})"
                break


def _duplicates(plans: Sequence[CollectedPlan]) -> Iterator[str]:
    """The compute capabilities for which there are two different plans, a sentence each."""
    seen: dict[str, CollectedPlan] = {}
    for plan in plans:
        first = seen.setdefault(plan.metadata.compute_capability, plan)
        if first.metadata.plan_sha256 != plan.metadata.plan_sha256:
            yield f"two different plans are for compute capability {plan.metadata.compute_capability}: {first.path} and {plan.path}"
