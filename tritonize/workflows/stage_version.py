"""Write a version into the staging area: model file or plans, configuration and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import repository
from tritonize.core import served_shape
from tritonize.core.artifacts import OnnxArtifact, Source, StagedVersion, TensorSpec, to_json
from tritonize.core.error_location import Location
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.core.messages import specification as specification_wording
from tritonize.core.reports import Check, Finding
from tritonize.core.results import LeftOut
from tritonize.core.stages import StageName
from tritonize.export.proven import ProvenOnnx
from tritonize.plans import placement, proof_record
from tritonize.plans import proof as plan_proof
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.proof import PlanProof
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig
from tritonize.workflows import evidence, stage_beside
from tritonize.workflows.build_plans import ProvenPlans
from tritonize.workflows.job import Job
from tritonize.workflows.stage_beside import Beside

PACKAGES = ("onnx", "onnxslim", "numpy", "tritonclient")
"""Packages whose versions a report names, beside those that the workers report."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A staged version whose ONNX file was compared with PyTorch, and all results about it."""

    staged: StagedVersion
    golden: GoldenSet
    tracker: ErrorTracker
    """Holds the errors of all comparisons so far."""
    source: Source
    config: ModelConfig
    checks: tuple[Check, ...]
    passed: bool
    """Whether ONNX Runtime's outputs match PyTorch's."""
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    details: Mapping[str, object]
    located: Location | None = None
    """Node where the ONNX file goes wrong, if it fails and the node was found."""
    findings: tuple[Finding, ...] = ()
    """Findings other than wrong outputs."""
    left_out: tuple[LeftOut, ...] = ()
    """What the reference leaves out."""
    plans: tuple[PlanProof, ...] = ()
    """TensorRT plans of the ONNX file, with the proof of each whose GPU is in this machine."""
    serving_root: Path | None = None
    """The model repository that the server serves, if it is not `staged.root`: an ensemble's, with its steps."""


def _reshaped(model: schema.Model, artifact: OnnxArtifact) -> Iterator[str]:
    """Yield a note for each tensor that clients send or get in another shape than the model's own."""
    for tensor in (*artifact.inputs, *artifact.outputs):
        if served := served_shape.note(tensor.shape, batched=bool(model.max_batch_size)):
            yield wording.SERVED_SHAPE.text(name=tensor.name, shape=f"[{', '.join(map(str, tensor.shape))}]", served=served)


def stage(job: Job, proven: ProvenOnnx, plans: ProvenPlans, *, located: Location | None) -> Built:
    """Write the version's files, with the golden set for the comparison with its server.

    Raises:
        UsageError: the labels of an output do not fit it.
        RepositoryError: see `repository.stage`.
    """
    model, golden, proofs = job.model, proven.golden, plans.proofs
    findings = (*plans.findings, *(proven.nonfinite if model.quality.nan == "strict" else ()))
    with job.recorder.stage(StageName.STAGE) as outcome:
        outcome.note = f"max_batch_size {model.max_batch_size}"
        if job.options.default_batch:
            outcome.note += " (--max-batch-size sets it)"
        beside = _beside(job, proven, plans=[each.plan for each in proofs])
        staged = _stage(job, proven.artifact, beside, plans=[each.plan for each in proofs])
        config = model_config.parse((staged.model_directory / repository.CONFIG).read_text(), where=repository.CONFIG)
    notes = (*proven.baseline.notes, *proven.notes, *beside.notes, *_reshaped(model, proven.artifact))
    if model.quality.nan == "note":
        notes += tuple(map(_nonfinite_note, proven.nonfinite))
    return Built(
        staged=staged,
        golden=golden,
        tracker=proven.tracker,
        source=proven.baseline.source,
        config=config,
        checks=(*proven.all_checks, *plan_proof.checks_of(proofs)),
        passed=proven.passed,
        versions={**evidence.versions(*PACKAGES), **proven.versions},
        notes=notes,
        details={
            **evidence.details(
                model, job.specification.target, proven.artifact, reference=proven.baseline.reference, attempts=proven.attempts
            ),
            "reference": dict(proven.baseline.facts),
            **({"plans": [each.as_json() for each in proofs]} if proofs else {}),
            **({"location": to_json(located)} if located else {}),
        },
        located=located,
        findings=(*proven.baseline.findings, *findings),
        left_out=proven.baseline.left_out,
        plans=proofs,
    )


def _nonfinite_note(finding: Finding) -> str:
    """Describe a difference that appears only with NaN or infinities as a note."""
    return wording.NONFINITE_NOTE.text(what=finding.what, expected=finding.expected or "an answer", found=finding.found)


def _beside(job: Job, proven: ProvenOnnx, *, plans: Sequence[BuiltPlan]) -> Beside:
    """Write what lies beside the version."""
    artifact, model = proven.artifact, job.model
    # Triton loads model.plan unless the configuration names a file per GPU type; a single collected plan has such a name too.
    plan_names = {each.metadata.compute_capability: each.path.name for each in plans if each.path.name != placement.PLAN}
    labels = labels_of(model, artifact.outputs)
    named = {output: model_config.label_filename(output, text) for output, text in labels.items()}

    def render(changed: schema.Model) -> str:
        return model_config.render(job.name, changed, artifact, plans=plan_names, labels=named)

    made = stage_beside.prepare(
        job.specification, job.name, model, render=render, samples=proven.baseline.golden.samples, folder=job.work
    )
    return replace(made, texts={**made.texts, **{named[output]: text for output, text in labels.items()}})


def _stage(job: Job, artifact: OnnxArtifact, beside: Beside, *, plans: Sequence[BuiltPlan]) -> StagedVersion:
    place, name = job.place, job.name
    version = repository.next_version(place, name)
    served = [artifact.path, artifact.data] if not plans else [path for each in plans for path in each.files]
    files = {f"{version}/{path.name}": path for path in served if path}
    for each in plans:
        if each.log:
            files[f"{version}/{repository.EVIDENCE}/{each.log.name}"] = each.log
        if (proof := proof_record.path(each.path)).is_file():
            files[f"{version}/{repository.EVIDENCE}/{proof.name}"] = proof
    if artifact.node_map:
        files[f"{version}/{repository.EVIDENCE}/{artifact.node_map.name}"] = artifact.node_map
    staged = repository.stage(job.run, name, version, files={**files, **beside.files}, texts=beside.texts)
    stage_beside.require_sound_variants(staged)
    return staged


def labels_of(model: schema.Model, outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return the text of the label file of every output that has one in the spec.

    Raises:
        UsageError: the labels of an output do not fit it.
    """
    return {output: _labels(output, rules.labels, outputs) for output, rules in model.outputs.items() if rules.labels}


def _labels(output: str, path: Path, outputs: Sequence[TensorSpec]) -> str:
    """Return the text of a label file, one label per class."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError.of(specification_wording.LABELS_UNREADABLE, where=str(path), found=str(error), output=output) from error
    tensor = next((tensor for tensor in outputs if tensor.name == output), None)
    classes, lines = tensor.shape[-1] if tensor and tensor.shape else None, len(text.splitlines())
    if isinstance(classes, int) and classes != lines:
        raise UsageError.of(
            specification_wording.LABELS_COUNT, where=str(path), expected=f"{classes} lines", found=f"{lines} lines", output=output
        )
    return text
