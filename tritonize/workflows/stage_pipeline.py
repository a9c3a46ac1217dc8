"""Write a version that is not exported: a Python step with its files, or an ensemble, whose steps are published already."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import reference, repository
from tritonize.core import resources
from tritonize.core.artifacts import SampleSet, StagedVersion, TensorSpec, to_json
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import steps as wording
from tritonize.core.reports import Finding
from tritonize.core.stages import StageName
from tritonize.quality import golden_set
from tritonize.reference import python_step
from tritonize.reference.baseline import Baseline
from tritonize.source.drawing import Drawn
from tritonize.spec import ensembles, schema, steps
from tritonize.triton import model_config
from tritonize.triton.server import view
from tritonize.workflows import checked_copy, ensemble_steps, evidence, quick_versions, stage_beside
from tritonize.workflows.ensemble_steps import UsedStep
from tritonize.workflows.job import Job
from tritonize.workflows.stage_beside import Beside
from tritonize.workflows.stage_version import PACKAGES, Built, labels_of

_NO_BYTECODE = "__pycache__"
"""An empty file of this name keeps Python from writing bytecode into a proven version: Triton's Python backend imports `model.py`
from there, and takes no option against it (observed)."""


def stage(job: Job, drawn: Drawn) -> Built:
    """Compute the baseline of a Python step or an ensemble, and write its version.

    Raises:
        UsageError, ExportError: the baseline cannot be computed, or the ensemble does not fit its steps.
        RepositoryError: a step differs from its own proof.
    """
    return _python(job, drawn) if job.model.python else _ensemble(job, drawn)


def _python(job: Job, drawn: Drawn) -> Built:
    model, folder = job.model, job.work / "step"
    folder.mkdir()
    for path in model.python_files:
        shutil.copyfile(path, folder / path.name)
    baseline = python_step.compute(model, job.source, drawn, folder=folder, work=job.work, recorder=job.recorder)
    inputs, outputs = drawn.samples.files.tensors, python_step.output_specs(model)
    with job.recorder.stage(StageName.STAGE):
        version = repository.next_version(job.place, job.name)
        served = (resources.package() / "backends" / "python_step" / "model.py").read_text(encoding="utf-8")
        beside = _beside(job, model, drawn.samples, inputs=inputs, outputs=outputs)
        texts = {**beside.texts, f"{version}/{steps.SERVED_FILE}": served}
        texts[f"{version}/{_NO_BYTECODE}"] = ""
        files = shutil.copytree(folder, job.work / "served", ignore=shutil.ignore_patterns("__pycache__"))
        moved = {**beside.files, **{f"{version}/{path.name}": files / path.name for path in model.python_files}}
        staged = repository.stage(job.run, job.name, version, files=moved, texts=texts)
        stage_beside.require_sound_variants(staged)
        built = _built(job, staged, baseline)
        return replace(built, notes=(*built.notes, *beside.notes))


def _ensemble(job: Job, drawn: Drawn) -> Built:
    """Wire the steps before PyTorch runs, so that what does not fit is reported first."""
    prepared = _prepared(job)
    model, inputs = job.model, tuple(replace(each, shape=_with_axis(each, job)) for each in drawn.samples.files.tensors)
    baseline = reference.compute(model, job.source, drawn, work=job.work, recorder=job.recorder)
    scheduled = model.model_copy(update={"triton": {**model.triton, "ensemble_scheduling": _scheduling(model, prepared.wiring)}})
    with job.recorder.stage(StageName.STAGE):
        texts = _beside(job, scheduled, drawn.samples, inputs=inputs, outputs=prepared.outputs).texts
        staged = repository.stage(job.run, job.name, repository.next_version(job.place, job.name), files={}, texts=texts)
        view.link_entries(prepared.root, {job.name: staged.model_directory})
        built = _built(job, staged, baseline)
    used = ", ".join(f"{name} version {each['version']}" for name, each in prepared.used.items())
    return replace(
        built,
        serving_root=prepared.root,
        notes=(
            *built.notes,
            wording.STEPS_USED.text(steps=used),
            *(note for name, each in prepared.used.items() for note in quick_versions.notes(job.place, name, [each["version"]])),
        ),
        details={**built.details, "steps": prepared.used},
    )


def _with_axis(tensor: TensorSpec, job: Job) -> tuple[int | str, ...]:
    """The shape of an ensemble's tensor as its steps see it: with an axis of size 1 if it has none besides the batch."""
    return tensor.shape if len(tensor.shape) > bool(job.model.max_batch_size) else (*tensor.shape, 1)


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """The steps of an ensemble, checked against their manifests and wired."""

    root: Path
    """A model repository with the steps only."""
    wiring: ensembles.Wiring
    outputs: tuple[TensorSpec, ...]
    """The ensemble's, in the order of the spec."""
    used: Mapping[str, UsedStep]


def _prepared(job: Job) -> _Prepared:
    folder = job.work / "steps"
    folder.mkdir()
    used: dict[str, UsedStep] = {}
    ports: dict[str, ensembles.Ports] = {}
    pending = [step.model for step in job.model.ensemble or ()]
    direct = set(pending)
    while pending:
        name = pending.pop(0)
        if name in used:
            continue
        checked = checked_copy.check(job.place, name, ensemble_steps.current(job.place, name), folder=folder)
        _require_proven(name, checked.findings)
        used[name] = ensemble_steps.used(checked.manifest)
        config = model_config.parse(repository.read_config(checked.root, name), where=f"{name}/{repository.CONFIG}")
        if name in direct:
            ports[name] = ensemble_steps.ports(config)
        pending += ensemble_steps.members(config)
    wiring = ensembles.wire(job.model, ports)
    if wiring.problems:
        lines = [f"models.{job.name}.{'.'.join(map(str, where))}: {text}" for where, text in wiring.problems]
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise UsageError.of(wording.MISFIT, where=job.name, details=lines, count=count)
    outputs = []
    for name in job.model.outputs:
        port = wiring.outputs[name]
        assert port.dtype is not None
        assert port.shape is not None
        shape = port.shape if job.model.max_batch_size else tuple("?" if isinstance(size, str) else size for size in port.shape)
        outputs.append(TensorSpec(name=name, dtype=port.dtype, shape=shape))
    return _Prepared(root=folder / "checked", wiring=wiring, outputs=tuple(outputs), used=used)


def _require_proven(step: str, findings: tuple[Finding, ...]) -> None:
    if findings:
        lines = [f"{each.where}: {each.what}" for each in findings]
        raise RepositoryError.of(wording.STEP_DAMAGED, where=step, details=lines, step=step)


def _scheduling(model: schema.Model, wiring: ensembles.Wiring) -> dict[str, object]:
    """Triton's `ensemble_scheduling`; every step takes the newest version of its model."""
    pairs = zip(model.ensemble or (), wiring.steps, strict=True)
    return {
        "step": [
            {"model_name": step.model, "model_version": -1, "input_map": dict(maps.inputs), "output_map": dict(maps.outputs)}
            for step, maps in pairs
        ]
    }


def _beside(
    job: Job, model: schema.Model, samples: SampleSet, *, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> Beside:
    """Write what lies beside the version."""
    labels = labels_of(model, outputs)
    named = {output: model_config.label_filename(output, text) for output, text in labels.items()}

    def render(changed: schema.Model) -> str:
        return model_config.render_tensors(job.name, changed, inputs=inputs, outputs=outputs, labels=named)

    made = stage_beside.prepare(job.specification, job.name, model, render=render, samples=samples, folder=job.work)
    return replace(made, texts={**made.texts, **{named[output]: text for output, text in labels.items()}})


def _built(job: Job, staged: StagedVersion, baseline: Baseline) -> Built:
    config = model_config.parse((staged.model_directory / repository.CONFIG).read_text(), where=repository.CONFIG)
    golden_set.write(baseline.golden, staged.version_directory / repository.EVIDENCE / "golden")
    source = {
        **to_json(baseline.source),
        "location": job.model.source if job.model.is_factory else Path(baseline.source.location).name,
    }
    return Built(
        staged=staged,
        golden=baseline.golden,
        tracker=baseline.tracker(),
        source=baseline.source,
        config=config,
        checks=baseline.checks,
        passed=not baseline.findings,
        versions=evidence.versions(*PACKAGES),
        notes=baseline.notes,
        details={
            "source": source,
            "parameters": baseline.parameters,
            "target": job.specification.target.model_dump(mode="json", exclude_none=True),
            "reference": dict(baseline.facts),
        },
        findings=baseline.findings,
        left_out=baseline.left_out,
    )
