"""What only the target can run: fields that this machine's server leaves out of a configuration, and the verdict with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritonize.core.artifacts import SetAside
from tritonize.core.messages import verdict as wording
from tritonize.core.reports import Stage
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.spec import schema


def verdict(found: Verdict, fields: Sequence[SetAside], target: schema.Target) -> Verdict:
    """The verdict of a version that was served without some fields of its configuration.

    Args:
        found: the verdict of everything that ran.
        fields: the fields that it was served without.
        target: the target that the spec declares.

    Returns:
        A version that passed otherwise is *passed here* if the target declares a place for each field, else *not run*.
    """
    if found != "passed" or not fields:
        return found
    return "not run" if _undeclared(fields, target) else "passed here"


def release_of(*manifests: Mapping[str, object]) -> str:
    """The release of Triton that all manifests which declare one agree on; empty if none does, or they differ."""
    targets = [target for each in manifests if isinstance(target := each.get("target"), dict)]
    releases = {str(target["triton"]) for target in targets if target.get("triton")}
    return releases.pop() if len(releases) == 1 else ""


def stages(fields: Sequence[SetAside], target: schema.Target) -> tuple[Stage, ...]:
    """The stage that did not run here: loading the configuration with these fields; none without fields."""
    if not fields:
        return ()
    by_reason: dict[str, list[str]] = {}
    for each in fields:
        by_reason.setdefault(each.reason, []).append(f"{each.field} {each.value}".strip())
    note = "; ".join(wording.SET_ASIDE.text(fields=", ".join(names), reason=reason) for reason, names in by_reason.items())
    if missing := _undeclared(fields, target):
        note += wording.UNDECLARED.text(keys=" and ".join(missing))
    return (Stage(name=StageName.SET_ASIDE, verdict="not run", seconds=0.0, note=note, optional=not missing),)


def _undeclared(fields: Sequence[SetAside], target: schema.Target) -> list[str]:
    """The keys of the spec's `target` that would declare a place for the fields."""
    keys = {"gpu": "compute_capabilities", "triton": "triton"}
    return [
        f"target.{key}" for need, key in keys.items() if not getattr(target, key) and any(each.needs == need for each in fields)
    ]
