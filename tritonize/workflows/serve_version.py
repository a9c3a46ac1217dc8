"""Serve a staged version on this machine and compare the server's outputs."""

from __future__ import annotations

import contextlib
import time

from tritonize.core import arrays, deadline
from tritonize.core.artifacts import Stage
from tritonize.core.stages import StageName
from tritonize.plans import proof as plan_proof
from tritonize.triton import inference, served_comparison, serving
from tritonize.triton.served_comparison import Verification
from tritonize.triton.target import Target
from tritonize.workflows.job import Job
from tritonize.workflows.stage_version import Built


def serve_and_verify(job: Job, built: Built) -> Verification | None:
    """Start the server on the staged version and compare its outputs; returns `None` if no server is started.

    No server is started for `build`, for a version that failed already, or if no plan runs on this machine.

    Raises:
        MissingError, ServerError: the server does not start, or refuses the model.
    """
    if not job.serve or not built.passed or not _can_be_served(built):
        return None
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
        )
        verified = served_comparison.verify(target)
        for stage in verified.stages:
            job.recorder.add(stage)
        stopping = time.perf_counter()
    seconds = time.perf_counter() - stopping
    job.recorder.add(Stage(name=StageName.SERVER_STOP, verdict="passed", seconds=seconds, library_seconds=seconds))
    return verified


def _can_be_served(built: Built) -> bool:
    """Whether to start a server here: a plan needs its GPU, and a plan that failed its proof is not served."""
    return not built.plans or (plan_proof.overall(built.plans) != "failed" and plan_proof.served_here(built.plans))
