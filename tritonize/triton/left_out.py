"""Why a stage of a served comparison is not run, although the server can be reached over its transport."""

from __future__ import annotations

from tritonize.core.messages import decoupled as decoupled_wording
from tritonize.core.messages import sequences as sequence_wording
from tritonize.core.messages import server as wording
from tritonize.core.stages import TRANSPORTS, StageName, over
from tritonize.triton import classification, new_samples
from tritonize.triton.target import Target


def why(target: Target, name: StageName) -> str | None:
    """Why nothing is sent for a stage; `None` if requests are sent."""
    if name is StageName.CLASSIFICATION:
        return classification.why_not(target)
    return _unmakeable(target, name) or _by_profile(target, name)


def _unmakeable(target: Target, name: StageName) -> str | None:
    """Why no new samples can be sent."""
    samples = target.golden.samples
    if name is StageName.NEW_SAMPLES and samples.together:
        return (sequence_wording.NEVER_CACHED if samples.sequences else decoupled_wording.NEVER_CACHED).text()
    if samples.requests and (name in map(over, TRANSPORTS) or not target.server.grpc_url):
        return decoupled_wording.STREAM_ONLY.text()
    if name is not StageName.NEW_SAMPLES or target.new is None or new_samples.possible(target, target.new):
        return None
    return wording.NEW_SAMPLES_IMPOSSIBLE.text(why=target.new.origin)


def _by_profile(target: Target, name: StageName) -> str | None:
    """Why the profile leaves a stage out."""
    if name is StageName.CONCURRENT and not target.profile.clients:
        return wording.PROFILE_LEAVES_OUT.text(profile=target.profile.name)
    return None
