"""Prove a staged version on a running Triton: load it there under a name of its own, compare its outputs, unload it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from tritonize.core import deadline
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, RepositoryError, ServerError
from tritonize.core.messages import target as wording
from tritonize.core.reports import Stage
from tritonize.core.server_choice import ServerChoice
from tritonize.core.stages import StageName
from tritonize.repository import file_hashes
from tritonize.triton import client, on_target, remote, served_comparison
from tritonize.triton.on_target import Loaded, Part
from tritonize.triton.protocol import InstanceGroup, ModelConfig
from tritonize.triton.served_comparison import Verification
from tritonize.triton.target import Target
from tritonize.workflows.job import Job
from tritonize.workflows.stage_version import Built


def require_possible(choice: ServerChoice) -> None:
    """Fail at the start of a run if the server cannot be reached, or does not load models on request.

    Raises:
        UsageError, ServerError: see `remote.remote` and `on_target.require_possible`.
    """
    on_target.require_possible(remote.remote(choice.urls, options=choice.connection), shared=choice.shared)


def verify(job: Job, built: Built) -> Verification:
    """Load the staged version into the server, compare its outputs and unload it.

    Raises:
        ServerError: the server cannot be reached, refuses the version, or may still have it loaded.
        RepositoryError: a file of the version changed after the server got it.
    """
    choice, staged = job.options.server, built.staged
    server = remote.remote(choice.urls, options=choice.connection)
    models = on_target.parts(built.serving_root or staged.root, staged.model, staged.version)
    with contextlib.ExitStack() as stack:
        if not job.model.is_exported:  # the user's code may wait for ever, in the server too
            stack.enter_context(deadline.within(job.model.deadline_s))
        with job.recorder.stage(StageName.TARGET_LOAD) as outcome:
            started = time.perf_counter()
            loaded = stack.enter_context(
                on_target.loaded(server, models, shared=choice.shared, on_progress=job.options.on_progress)
            )
            server = replace(server, identity={**server.identity, **_facts(server, loaded)})
            outcome.library_seconds = time.perf_counter() - started
            outcome.note = wording.LOADED.text(
                name=loaded.model, version=_version(server), address=_address(server), how=loaded.how
            )
        target = Target(
            server=server,
            model=loaded.model,
            version=staged.version,
            golden=built.golden,
            config=loaded.config,
            tracker=built.tracker,
            profile_name=job.profile_name,
        )
        verified = served_comparison.verify(target, recorder=job.recorder)
        _require_unchanged(models, loaded)
        stopping = time.perf_counter()
    seconds = time.perf_counter() - stopping
    job.recorder.add(Stage(name=StageName.TARGET_UNLOAD, verdict="passed", seconds=seconds, library_seconds=seconds))
    return replace(verified, on_target=loaded, notes=(*verified.notes, *_notes(job, server, loaded)))


def _version(server: ServerHandle) -> str:
    return server.identity.get("tritonserver", "(unknown)")


def _address(server: ServerHandle) -> str:
    """The addresses without credentials."""
    return " and ".join(server.identity[name] for name in ("at http", "at grpc") if name in server.identity)


def _facts(server: ServerHandle, loaded: Loaded) -> dict[str, str]:
    """The backend and the instances that the server runs the version with, as far as it says."""
    config: ModelConfig = loaded.config
    with (
        contextlib.suppress(InferenceError, ServerError),  # it may restrict its configurations
        client.connect_to(server, "grpc" if server.grpc_url else "http") as connection,
    ):
        config = connection.model_config(loaded.model)
    groups = [_group(each) for each in config.get("instance_group", [])]
    return {
        "backend": f"{config.get('backend') or config.get('platform', 'unknown')} (its own)",
        **({"instances": ", ".join(groups)} if groups else {}),
    }


def _group(group: InstanceGroup) -> str:
    """The instances of a group, such as `2 on GPU 0, 1`."""
    gpus = ", ".join(map(str, group.get("gpus", ())))
    return f"{group.get('count', 1)} on {group.get('kind', 'KIND_AUTO').removeprefix('KIND_')} {gpus}".strip()


def _notes(job: Job, server: ServerHandle, loaded: Loaded) -> Iterator[str]:
    yield wording.PROVEN_ON.text(name=loaded.model, version=_version(server), address=_address(server), how=loaded.how)
    yield from remote.notes(job.options.server.urls, job.options.server.connection)
    if release := job.specification.target.triton:
        yield wording.OTHER_RELEASE.text(release=release, version=_version(server))


def _require_unchanged(models: list[Part], loaded: Loaded) -> None:
    """Hash the staged files again: what is published has to be what the server got."""
    for part in models:
        for place, path in part.files.items():
            if file_hashes.sha256(path) != loaded.sha256[f"{part.name}/{place}"]:
                raise RepositoryError.of(wording.CHANGED, where=f"{part.name}/{place}")
