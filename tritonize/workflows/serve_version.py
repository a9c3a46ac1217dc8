"""Serve a staged version on this machine and compare the server's outputs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from tritonize.core import arrays, deadline
from tritonize.core.reports import Stage
from tritonize.core.server_choice import Start
from tritonize.core.stages import StageName
from tritonize.plans import proof as plan_proof
from tritonize.triton import classification, inference, served_comparison, serving
from tritonize.triton.served_comparison import Verification
from tritonize.triton.target import Target
from tritonize.workflows import prove_on_target
from tritonize.workflows.job import Job
from tritonize.workflows.stage_version import Built


def serve_and_verify(job: Job, built: Built) -> Verification | None:
    """Compare the outputs of a server that has the staged version; returns `None` if none gets it.

    None does for `build`, for a version that failed already, or if no plan runs on this machine and no running server was given.

    Raises:
        MissingError, ServerError: the server does not start, or refuses the model.
    """
    on_target = bool(job.options.server.urls)
    if not job.serve or not built.passed or not _can_be_served(built, on_target=on_target):
        return None
    return prove_on_target.verify(job, built) if on_target else _serve_here(job, built)


def _serve_here(job: Job, built: Built) -> Verification:
    staged = built.staged
    probe = arrays.load(built.golden.samples.files, 0)
    with contextlib.ExitStack() as stack:
        if not job.model.is_exported:  # the user's code may wait for ever, in the server too
            stack.enter_context(deadline.within(job.model.deadline_s))
        with job.recorder.stage(StageName.SERVER_START) as outcome:
            started = time.perf_counter()
            handle = stack.enter_context(
                serving.serve(
                    built.serving_root or staged.root,
                    models=[staged.model],
                    versions={staged.model: staged.version},
                    probes={staged.model: inference.as_served(probe, built.config, "input")},
                    directory=job.work / "server",
                    plugins=job.model.builder.plugins,
                    ready_timeout_s=serving.READY_TIMEOUT_S if job.model.is_exported else job.model.deadline_s,
                    start=Start(way=job.options.server.way, release=job.specification.target.triton or ""),
                    on_progress=job.options.on_progress,
                )
            )
            outcome.library_seconds = time.perf_counter() - started
            outcome.note = serving.summary(handle)
        target = Target(
            server=handle,
            model=staged.model,
            version=staged.version,
            golden=built.golden,
            config=built.config,
            tracker=built.tracker,
            labels=classification.read(staged.model_directory, built.config),
            profile_name=job.profile_name,
        )
        verified = replace(served_comparison.verify(target, recorder=job.recorder), embedded=handle.way == "embedded")
        stopping = time.perf_counter()
    seconds = time.perf_counter() - stopping
    job.recorder.add(Stage(name=StageName.SERVER_STOP, verdict="passed", seconds=seconds, library_seconds=seconds))
    return verified


def _can_be_served(built: Built, *, on_target: bool) -> bool:
    """Whether a server can have the version: a plan needs its GPU, here or at the target, and must not have failed its proof."""
    if not built.plans:
        return True
    return plan_proof.overall(built.plans) != "failed" and (on_target or plan_proof.served_here(built.plans))
