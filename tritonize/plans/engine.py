"""Run a TensorRT plan on the GPU of this machine: choose the batches of each profile, and run them in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import PlanError, WorkerError
from tritonize.core.messages import plans as wording
from tritonize.plans import gpu, tasks
from tritonize.plans import layers as plan_layers
from tritonize.plans.layers import Layers
from tritonize.plans.plan_file import PlanMetadata
from tritonize.plans.tasks import Batch, EngineRequest, EngineResult, Profile
from tritonize.process import processes, workers

ENDS = ("min", "opt", "max")
LOG = "engine.log"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The batches that are run, and the sizes of the plan's profiles that no sample has."""

    batches: tuple[Batch, ...]
    gaps: tuple[str, ...]
    """The minimum, optimal and maximum sizes of profiles that no sample has, a sentence each."""
    unreached: tuple[str, ...]
    """Profiles that no sample fits and samples that fit no profile, a sentence each; they make a proof incomplete."""


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """The outputs of an engine, batch by batch, and the layers that the engine inspector reports."""

    engine: EngineResult
    layers: Layers
    library_seconds: float
    """Seconds in the module and the driver: import, loading and inference."""
    peak_memory: int
    """Peak host memory of the worker, in bytes."""

    @property
    def seconds(self) -> tuple[float, ...]:
        """Duration of each batch, with the copies to and from the GPU."""
        return self.engine.seconds

    def batch_outputs(self, position: int) -> arrays.Arrays:
        """The outputs of batch number `position`, by name."""
        return arrays.load(self.engine.outputs[position], 0)


def not_possible(metadata: PlanMetadata) -> str | None:
    """Why a plan cannot run on this machine (no GPU, or one of another compute capability); `None` if it can."""
    here = gpu.find()
    if here is None:
        return "no GPU"
    if not _fits(metadata, here.compute_capability):
        return f"no GPU of compute capability {metadata.compute_capability} here; this one is {here.compute_capability}"
    return None


def _fits(metadata: PlanMetadata, here: str) -> bool:
    """Whether a plan runs on a compute capability: its own, or 8.0 and newer with `hardware_compatibility: ampere_plus`."""
    level = metadata.settings.get("hardware_compatibility")
    if level == "ampere_plus":
        return tuple(map(int, here.split("."))) >= (8, 0)
    return here == metadata.compute_capability


def schedule(profiles: Sequence[Profile], samples: SampleSet) -> Schedule:
    """The batches that run every sample at the min, opt and max batch size of every profile that its other sizes fit.

    A plan without profiles has fixed shapes only and is treated as one profile that takes every sample.
    """
    members = arrays.groups(samples) if samples.batched else [[index] for index in range(samples.files.count)]
    shapes = [{name: array.shape for name, array in arrays.load(samples.files, each[0]).items()} for each in members]
    batches: list[Batch] = []
    gaps: list[str] = []
    unreached: list[str] = []
    fitting: set[int] = set()
    for number, profile in enumerate(profiles or [{}]):
        taken = [position for position, each in enumerate(shapes) if _takes(profile, each, batched=samples.batched)]
        fitting.update(taken)
        if not taken:
            unreached.append(f"profile {number}: no sample fits its sizes")
        for size in _batch_sizes(profile) if samples.batched else (1,):
            for position in taken:
                batches += [Batch(profile=number, samples=batch) for batch in _cut(members[position], size)]
        gaps += _gaps(number, profile, [shapes[position] for position in taken], batched=samples.batched)
    for position in range(len(shapes)):
        if position not in fitting:
            sizes = ", ".join(f"{name} {list(shape)}" for name, shape in shapes[position].items())
            unreached.append(f"{len(members[position])} samples of shape {sizes}: they fit no profile")
    return Schedule(batches=tuple(batches), gaps=tuple(gaps), unreached=tuple(unreached))


def _cut(members: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """All members in batches of one size; the last batch is filled up from the first members."""
    for start in range(0, len(members), size):
        yield tuple(members[(start + offset) % len(members)] for offset in range(size))


def _batch_sizes(profile: Profile) -> tuple[int, ...]:
    first = next(iter(profile.values()), None)
    return (1,) if first is None else tuple(sorted({first[end][0] for end in ENDS}))


def _takes(profile: Profile, shapes: Mapping[str, tuple[int, ...]], *, batched: bool) -> bool:
    """Whether samples of these shapes fit a profile, whatever their batch."""
    skip = 1 if batched else 0
    for name, ends in profile.items():
        triples = zip(ends["min"][skip:], shapes[name][skip:], ends["max"][skip:], strict=True)
        if not all(low <= size <= high for low, size, high in triples):
            return False
    return True


def _gaps(number: int, profile: Profile, shapes: Sequence[Mapping[str, tuple[int, ...]]], *, batched: bool) -> Iterator[str]:
    """The min, opt and max sizes of a profile that no sample has, without the batch axis, a sentence each."""
    for name, ends in profile.items() if shapes else ():
        for axis in range(1 if batched else 0, len(ends["min"])):
            sizes = {each[name][axis] for each in shapes}
            for end in ENDS:
                if ends[end][axis] not in sizes:
                    found = ", ".join(map(str, sorted(sizes)))
                    yield f"profile {number}: {end} {ends[end][axis]} of {name} axis {axis} was not run: samples have {found}"


def run(
    plan: Path,
    metadata: PlanMetadata,
    samples: SampleSet,
    *,
    batches: Sequence[Batch],
    directory: Path,
    deadline_s: float,
    memory_bytes: int | None = None,
    plugins: Sequence[Path] = (),
) -> EngineRun:
    """Load a plan on the GPU of this machine and run the batches.

    Args:
        metadata: the plan's metadata; its settings tell whether the plan is version-compatible.
        batches: sorted by profile, as `schedule` returns them.
        directory: the folder for outputs, the inspector's output and the log.
        plugins: libraries with plugins, loaded before the plan.

    Raises:
        MissingError: there is no GPU, or the module is not installed or does not start on this machine.
        PlanError: the plan cannot be loaded, or the engine fails, hangs or crashes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = EngineRequest(
        plan=plan,
        module=metadata.module,
        samples=samples,
        batches=tuple(batches),
        directory=directory,
        log=directory / LOG,
        plugins=tuple(plugins),
        version_compatible=bool(metadata.settings.get("version_compatible")),
    )
    try:
        result = workers.run_worker(tasks.RUN, request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes)
    except WorkerError as error:
        raise PlanError.of(
            wording.ENGINE_ENDED,
            where=plan.name,
            found=error.what,
            details=[*processes.log_tail(directory / LOG, 10), *error.details],
        ) from error
    return EngineRun(
        engine=result.value,
        layers=_layers(result.value.layers),
        library_seconds=result.value.library_seconds + result.import_seconds,
        peak_memory=result.peak_memory,
    )


def _layers(path: Path) -> Layers:
    """The layers from the inspector's output; no layers if it cannot be parsed, since the engine's outputs can still be right."""
    try:
        return plan_layers.read(path.read_text(encoding="utf-8"))
    except PlanError:
        return Layers(total=0, precisions={}, formats={}, computing={})
