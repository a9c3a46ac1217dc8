"""Build TensorRT plans from ONNX files.

`build` takes a self-contained request, which any machine with the module can build, and writes plan, metadata and log. A plan
depends only on the ONNX file, the settings, the module's version and the kind of GPU; a hash of them is its key in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError

from tritonize.core import bounded_files, cache, errors, near_files, onnx_protobuf
from tritonize.core.artifacts import to_json
from tritonize.core.errors import PlanError, RepositoryError, UsageError, WorkerError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import plans as wording
from tritonize.plans import build_files, gpu, installed, placement, plan_cache, plan_file, tasks
from tritonize.plans import request as plan_request
from tritonize.plans.placement import LOG, PLAN
from tritonize.plans.plan_file import PlanMetadata
from tritonize.plans.request import BuildRequest
from tritonize.plans.tasks import BuilderSettings, PlanBuildRequest, PlanBuildResult
from tritonize.process import processes, workers
from tritonize.spec import key_places, sentences


@dataclass(frozen=True, kw_only=True)
class BuiltPlan:
    """One plan in its folder, with its metadata and log beside it."""

    path: Path
    log: Path | None
    """The builder's log; `None` for a plan that was built elsewhere and came without it."""
    metadata: PlanMetadata
    cached: bool
    """Whether the plan came from the cache."""
    seconds: float
    """Duration of this call."""

    @property
    def files(self) -> tuple[Path, Path]:
        """The files that a version contains: the plan and its metadata."""
        return self.path, plan_file.metadata_path(self.path)


def read_request(path: Path) -> BuildRequest:
    """Read a request from its JSON file; relative paths in it are relative to the file.

    Raises:
        UsageError: the request is invalid; the error lists every problem.
    """
    try:
        request = BuildRequest.model_validate(bounded_files.json_of(path))
    except FileNotFoundError as error:
        instead = near_files.missing(path, suffixes=(".json",))
        raise UsageError.of(files_wording.REQUEST_MISSING, where=str(path), found=instead.found, meant=instead.meant) from error
    except ValidationError as error:
        lines = [f"{key_places.dotted(where)}: {text}" for where, text in sentences.problems(error, BuildRequest)]
        raise UsageError.of(files_wording.REQUEST_INVALID, where=str(path), details=lines) from error
    except (OSError, ValueError) as error:
        raise UsageError.of(files_wording.REQUEST_UNREADABLE, where=str(path), found=str(error)) from error
    folder = path.parent
    plugins = tuple(folder / each for each in request.settings.plugins)
    return request.model_copy(
        update={
            "onnx": folder / request.onnx,
            "node_map": folder / request.node_map if request.node_map else None,
            "settings": request.settings.model_copy(update={"plugins": plugins}),
        }
    )


def build(
    request: BuildRequest, directory: Path, *, use_cache: bool = True, on_progress: Callable[[str], None] | None = None
) -> tuple[BuiltPlan, ...]:
    """Build the plans of a request in parallel, one per compute capability: `model.plan`, or `model.sm89.plan` if several.

    Args:
        directory: the folder for plan, `.json` and `.log`.
        use_cache: reuse a plan that was built from the same file with the same settings.

    Raises:
        MissingError: the module is not installed, or it needs a GPU and this machine has none.
        UsageError: the settings or profiles are not supported, or a file or the folder is missing.
        PlanError: the network cannot be parsed or built, or the builder hangs or crashes.
    """
    version = installed.require_possible(request.module)
    plan_request.require_supported(request, version)
    build_files.require(request)
    _make(directory)
    targets: tuple[str | None, ...] = request.compute_capabilities or (None,)
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as hashing, ThreadPoolExecutor(min(len(targets), os.cpu_count() or 1)) as pool:
        digest = hashing.submit(
            onnx_protobuf.sha256, request.onnx
        ).result  # without a cache lookup, the digest is needed only after the build
        jobs = [
            _Job(request, version, digest, target, directory / _name(target, len(targets)), on_progress, cancelled)
            for target in targets
        ]
        building = [pool.submit(_one, job, use_cache) for job in jobs]
        try:
            for each in as_completed(building):  # the first failure is raised immediately
                each.result()
        except BaseException:  # after Ctrl-C or a failure, the other builds are cancelled
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return tuple(each.result() for each in building)


def _make(directory: Path) -> None:
    """The folder for the plans."""
    with errors.storage_errors(directory):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:  # a file has that path, or the name is invalid
            raise RepositoryError.of(
                files_wording.FOLDER_NOT_WRITABLE, where=str(directory), found=error.strerror, purpose="the plans"
            ) from error


@dataclass(frozen=True)
class _Job:
    """One plan of a request."""

    request: BuildRequest
    version: str
    onnx_sha256: Callable[[], str]
    target: str | None
    plan: Path
    on_progress: Callable[[str], None] | None
    cancelled: threading.Event

    def progress(self, text: str) -> None:
        """Report progress, with the target if there are several."""
        if self.on_progress is not None:
            self.on_progress(f"{self.target}: {text}" if self.target else text)

    def key(self) -> str:
        """A hash of everything that the plan depends on."""
        here = gpu.find()
        parts = {
            "onnx": self.onnx_sha256(),
            "name": self.request.onnx.stem,  # the name of the network, which the plan contains
            "build_steps": plan_cache.BUILD_STEPS,
            "module": self.request.module,
            "version": self.version,
            "target": self.target or (here.compute_capability if here else None),
            "gpu": here.name if here and not self.target else None,
            "profiles": self.request.shapes(),
            "settings": self.request.settings.changed(),
            "plugins": [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.request.settings.plugins],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _one(job: _Job, use_cache: bool) -> BuiltPlan:
    started = time.perf_counter()
    cached = False
    if use_cache:
        cached = plan_cache.place(
            job.key(),
            job.plan,
            lambda folder: _build(job, folder),
            on_progress=job.progress,
            cancelled=job.cancelled,
            deadline_s=job.request.deadline_s,
        )
    else:
        scratch = job.plan.with_name(f"{job.plan.name}.building")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            _build(job, scratch)
            placement.move(scratch, job.plan)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    built = plan_file.read_metadata(job.plan)
    assert built is not None
    return BuiltPlan(
        path=job.plan, log=placement.log_path(job.plan), metadata=built, cached=cached, seconds=time.perf_counter() - started
    )


def _name(target: str | None, count: int) -> str:
    return PLAN if target is None or count == 1 else f"model.sm{target.replace('.', '')}.plan"


def _build(job: _Job, folder: Path) -> None:
    """Build in a worker, read the header back, and write the metadata."""
    plan, request = folder / PLAN, job.request
    task = PlanBuildRequest(
        onnx=request.onnx.absolute(),  # not resolved: external data is next to the symlink, where it was hashed
        module=request.module,
        compute_capability=job.target,
        profiles=request.shapes(),
        settings=BuilderSettings(**request.settings.model_dump()),
        node_map=request.node_map,
        plan=plan,
        log=folder / LOG,
        timing_cache=_timing_cache(job) if request.settings.timing_cache else None,
    )
    work = folder / "work"
    work.mkdir()
    try:
        result = workers.run_worker(
            tasks.BUILD,
            task,
            directory=work,
            deadline_s=request.deadline_s,
            memory_bytes=request.memory_mib << 20 if request.memory_mib else None,
            on_progress=lambda each: job.progress(str(each)),
            cancelled=job.cancelled,
        ).value
    except WorkerError as error:
        raise PlanError.of(
            wording.BUILD_ENDED,
            where=request.onnx.name,
            found=error.what,
            details=[*processes.log_tail(folder / LOG, 10), *error.details],
        ) from error
    finally:
        _keep_log(folder / LOG, job.plan)
    shutil.rmtree(work)
    header = plan_file.read_header(plan)
    requested_version = job.version.partition(".post")[0].split(".")  # some packages name only three parts of the version
    if header.module != request.module or header.version_text.split(".")[: len(requested_version)] != requested_version:
        raise PlanError.of(
            wording.OTHER_MODULE,
            where=str(job.plan),
            expected=f"{request.module} {job.version}",
            found=f"{header.module} {header.version_text}",
            extra=request.module.replace("_", "-"),
        )
    if job.target and header.compute_capabilities and header.compute_capabilities != (job.target,):
        raise PlanError.of(
            wording.OTHER_GPU, where=str(job.plan), expected=job.target, found=", ".join(header.compute_capabilities)
        )
    plan_file.write_metadata(plan, _metadata(job, result, header.version_text))


def _timing_cache(job: _Job) -> Path:
    """The timing cache file of this module version, GPU and driver; timings from another one would be wrong."""
    here = gpu.find()
    parts = (job.request.module, job.version, here.name if here else "no GPU", here.driver if here else "no driver")
    return cache.directory() / "timings" / ("-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part) for part in parts) + ".cache")


def _keep_log(log: Path, plan: Path) -> None:
    """Copy the builder's log next to the plan's path, even if the build produced no plan."""
    if log.is_file():
        shutil.copyfile(log, placement.log_path(plan))


def _metadata(job: _Job, result: PlanBuildResult, version: str) -> PlanMetadata:
    here = gpu.find()
    return PlanMetadata(
        module=job.request.module,
        version=version,
        compute_capability=result.compute_capability,
        gpu=here.name if here else None,
        driver=here.driver if here else None,
        profiles=job.request.shapes(),
        inputs=result.inputs,
        outputs=result.outputs,
        tf32=job.request.settings.tf32,
        precision_built=None,
        onnx_sha256=job.onnx_sha256(),
        settings=job.request.settings.portable(),
        plan_sha256=result.plan_sha256,
        plan_bytes=result.plan_bytes,
        build_seconds=result.build_seconds,
        timing_cache_sha256=result.timing_cache_sha256,
        built_by=f"tritonize {metadata.version('tritonize')}",
    )


def describe(built: BuiltPlan) -> dict[str, object]:
    """A built plan as JSON-serializable data."""
    fields: dict[str, object] = to_json(built.metadata)
    return {"path": str(built.path), "log": str(built.log), "cached": built.cached, "seconds": built.seconds, **fields}
