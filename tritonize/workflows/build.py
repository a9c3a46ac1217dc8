"""One model from its spec to a staged version that ONNX Runtime, or the plans, answer like PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import repository
from tritonize.core.artifacts import Check, Finding, OnnxArtifact, PublishedVersion, Source, StagedVersion, to_json
from tritonize.core.error_location import Location
from tritonize.core.errors import PlanError, TritonizeError, UsageError
from tritonize.core.messages import samples as wording
from tritonize.core.plain_data import JsonObject
from tritonize.core.recorder import Listener, Recorder
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.export import ladder
from tritonize.locate import search as locate_search
from tritonize.plans import compatibility, from_spec, placement, proof_input, proof_record
from tritonize.plans import proof as plan_proof
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.proof import PlanProof
from tritonize.precision import comparison as precision_comparison
from tritonize.precision import reduction
from tritonize.quality import golden_set, noise_floor
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import baseline
from tritonize.repository import Run
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig
from tritonize.workflows import evidence, keep_fp32

PACKAGES = ("onnx", "onnxslim", "numpy", "tritonclient")
"""Whose versions a report names, beside those that a worker told."""
TRIALS = 16
"""How often half precision is tried again with other nodes kept in float32, where it failed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run behaves, apart from what the spec says."""

    replace_config: bool = False
    """Put a differing configuration in place of the published one."""
    allow_unproven: bool = False
    """Publish a version although a proof that it needs could not run here."""
    plans: tuple[Path, ...] = ()
    """Folders with plans that were built elsewhere, of the request that `request` writes; nothing is built then."""
    command: str | None = None
    """What builds the same again on a command line, for the report."""
    on_published: Callable[[PublishedVersion], None] = lambda _published: None
    """Told of every version right when it is in place; an interrupt comes before or after, never in between."""
    on_stage: Listener | None = None
    on_progress: Callable[[str], None] | None = None
    """Told in one line what a long step is doing, such as installing the server."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A staged version whose ONNX file was compared with PyTorch, and all that is known of it."""

    staged: StagedVersion
    golden: GoldenSet
    tracker: ErrorTracker
    """Has seen every answer so far."""
    source: Source
    config: ModelConfig
    checks: tuple[Check, ...]
    passed: bool
    """Whether ONNX Runtime answered like PyTorch."""
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    details: JsonObject
    located: Location | None = None
    """Where the ONNX file goes wrong, if it does and that was found."""
    findings: tuple[Finding, ...] = ()
    """What is wrong beside the answers."""
    plans: tuple[PlanProof, ...] = ()
    """What was built of the ONNX file for TensorRT, and what became of each where there is a GPU of its kind."""


def build(specification: schema.Spec, name: str, source: Source, run_: Run, recorder: Recorder, options: Options) -> Built:
    """Export, prove, reduce, build plans and stage.

    Raises:
        TritonizeError: see `ladder.prove`, `from_spec.build`, `repository.stage`.
    """
    model = specification.models[name]
    proven, located = prove(model, source, run_.work, recorder)
    whole = asked_of_plans(model, proven)
    plans, findings = _plans(specification, model, proven, whole, run_, recorder, options)
    findings += proven.nonfinite if model.quality.nan == "strict" else ()
    with recorder.stage(StageName.STAGE):
        staged = _stage(specification, name, proven.artifact, [each.plan for each in plans], run_)
        config = model_config.parse((staged.model_directory / repository.CONFIG).read_text(), where=repository.CONFIG)
        golden_set.write(whole, staged.version_directory / repository.EVIDENCE / "golden")
    return Built(
        staged=staged,
        golden=whole,
        tracker=proven.tracker,
        source=proven.reference.source,
        config=config,
        checks=(*proven.checks, *plan_proof.answered(plans)),
        passed=proven.passed,
        versions={**evidence.versions(*PACKAGES), **proven.versions},
        notes=(*proven.notes, *(_told(each) for each in proven.nonfinite if model.quality.nan == "note")),
        details={
            **evidence.details(model, specification.target, proven.artifact, proven.reference, proven.attempts),
            "reference": dict(proven.facts),
            **({"plans": [each.as_json() for each in plans]} if plans else {}),
            **({"location": to_json(located)} if located else {}),
        },
        located=located,
        findings=(*proven.findings, *findings),
        plans=plans,
    )


def _told(finding: Finding) -> str:
    """A difference that only NaN or infinities show, as a note."""
    return wording.NONFINITE_NOTE.text(what=finding.what, expected=finding.expected or "an answer", found=finding.found)


def asked_of_plans(model: schema.Model, proven: ladder.Proven) -> GoldenSet:
    """The golden set of what was proven: what a version carries, and what its plans and its server have to answer.

    Of TF32 its noise floors are set here: from now on the tracker judges what is not ONNX Runtime in float32 by them.
    """
    exact = proven.tracker.golden.exact
    if model.precision == "tf32" and exact:
        own = proven.tracker.golden.expected
        proven.tracker.judge_reduced_by(noise_floor.noise_floors(proven.samples, own, exact, "tf32"))
    return replace(proven.tracker.golden, samples=proven.samples, expected=proven.reference.outputs, floors=proven.tracker.floors)


def prove(model: schema.Model, source: Source, work: Path, recorder: Recorder) -> tuple[ladder.Proven, Location | None]:
    """The ONNX file in the spec's precision, and where it goes wrong if it does.

    One in half precision is made of a file that was right in float32.
    """
    proven = ladder.prove(model, source, work, recorder)
    if proven.findings:
        return proven, None
    if not proven.passed and model.precision in reduction.HALF:
        recorder.not_run(StageName.PRECISION, "the fp32 file already differs from PyTorch")
    if not proven.passed:
        return proven, _located(model, source, proven, work, recorder)
    if model.precision not in reduction.HALF:
        return proven, None
    question = precision_comparison.Question(
        samples=proven.samples,
        reference=proven.reference,
        tolerances={tensor.name: baseline.tolerance(model, tensor.name) for tensor in proven.outputs},
        tracker=proven.tracker,
    )
    done = precision_comparison.reduce(model, proven.artifact, question, work, recorder)
    reduced = replace(
        proven,
        artifact=done.artifact,
        samples=done.samples,
        reference=done.reference,
        checks=(*proven.checks, *done.checks),
        notes=(*proven.notes, *done.notes),
    )
    if reduced.passed:
        return reduced, None
    place = ladder.made(work / "locate")
    return reduced, _looked(lambda: keep_fp32.repair(model, proven.artifact, question, place, recorder, trials=TRIALS), recorder)


def _located(model: schema.Model, source: Source, proven: ladder.Proven, work: Path, recorder: Recorder) -> Location | None:
    """Where an ONNX file that is not right parts from the module."""
    if source.kind == "onnx":
        return None
    place, batch = ladder.made(work / "locate"), locate_search.failing(proven.checks)
    return _looked(
        lambda: locate_search.locate(model, source, proven.artifact, proven.samples, place, recorder, batch=batch), recorder
    )


def _looked(look: Callable[[], Location], recorder: Recorder) -> Location | None:
    """What was found out about a file that failed; that it could not be found out is told, and is no second failure."""
    try:
        return look()
    except TritonizeError as error:
        recorder.not_run(StageName.LOCATE, error.what)
        return None


def _plans(
    specification: schema.Spec,
    model: schema.Model,
    proven: ladder.Proven,
    whole: GoldenSet,
    run_: Run,
    recorder: Recorder,
    options: Options,
) -> tuple[tuple[PlanProof, ...], tuple[Finding, ...]]:
    """The plans of a right ONNX file, where the backend is one of TensorRT's, each run where its GPU is here."""
    if model.backend == "onnxruntime" or not proven.passed:
        return (), ()
    place, target = run_.work / "plans", specification.target
    with recorder.stage(StageName.PLAN) as outcome:
        if options.plans:
            built = from_spec.take(model, target, proven.artifact, options.plans, place)
        else:
            with _logs_kept(run_, place):
                built = from_spec.build(model, target, proven.artifact, place, options.on_progress)
        outcome.library_seconds = sum(each.metadata.build_seconds for each in built if not each.cached)
        targets = ", ".join(each.metadata.compute_capability for each in built)
        outcome.note = f"{built[0].metadata.module} {built[0].metadata.version} for {targets}"
    findings = _at_target(built[0], target.triton, recorder) if target.triton else ()
    question = plan_proof.Question(
        samples=proven.samples,
        reference=proven.reference,
        tolerances={tensor.name: baseline.tolerance(model, tensor.name) for tensor in proven.outputs},
        precision=model.precision,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        plugins=model.builder.plugins,
        tracker=proven.tracker,
        sha256=proof_input.digest(whole, model.precision),
    )
    return plan_proof.prove(built, question, run_.work / "engines", recorder, options.on_progress), findings


_LOADING: dict[str, Verdict] = {"loads": "passed", "does not load": "failed", "unknown": "not run"}


def _at_target(built: BuiltPlan, release: str, recorder: Recorder) -> tuple[Finding, ...]:
    """Whether a plan will load in the Triton that the spec declares; all plans of a version are of one TensorRT."""
    with recorder.stage(StageName.TARGET) as outcome:
        if built.metadata.module == "tensorrt_rtx":
            outcome.note = (
                f"the stock Triton {release} has no backend for plans of TensorRT-RTX; whether one of yours is there, nobody asked"
            )
            outcome.verdict = "not run"
            return ()
        image = compatibility.of_image(release)
        found = compatibility.check(built.path, image.version, image=True)
        has = f"{image.image} has TensorRT {image.version or 'unknown'} ({image.source})"
        outcome.note = f"{'; '.join(found.reasons)}; {has}"
        outcome.verdict = _LOADING[found.verdict]
    if found.verdict != "does not load":
        return ()
    return (
        Finding(where=built.path.name, what=f"it does not load in Triton {release}", expected=has, found="; ".join(found.reasons)),
    )


@contextmanager
def _logs_kept(run_: Run, place: Path) -> Iterator[None]:
    """Where no plan is built, what the builder said stays, and the error says where."""
    try:
        yield
    except PlanError as error:
        if logs := sorted(place.glob("*.log")):
            kept = run_.keep_only(logs)
            error.next_step = f"look at the whole log: {', '.join(map(str, kept))}"
        raise


def _stage(specification: schema.Spec, name: str, artifact: OnnxArtifact, plans: Sequence[BuiltPlan], run_: Run) -> StagedVersion:
    model, place = specification.models[name], specification.repository
    # Triton looks for model.plan unless it is told of others by the GPU kind; one plan that was collected has such a name too.
    own_names = {each.metadata.compute_capability: each.path.name for each in plans if each.path.name != placement.PLAN}
    labels = {output: _labels(output, wanted.labels, artifact) for output, wanted in model.outputs.items() if wanted.labels}
    named = {output: model_config.label_filename(output, text) for output, text in labels.items()}
    texts = {repository.CONFIG: model_config.render(name, model, artifact, own_names, named)}
    texts |= {named[output]: text for output, text in labels.items()}
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
    return repository.stage(run_, name, version, files, texts)


def _labels(output: str, path: Path, artifact: OnnxArtifact) -> str:
    """The text of a label file, one label per class."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels of output {output!r} cannot be read.", where=str(path), found=str(error)) from error
    tensor = next((tensor for tensor in artifact.outputs if tensor.name == output), None)
    classes, lines = tensor.shape[-1] if tensor and tensor.shape else None, len(text.splitlines())
    if isinstance(classes, int) and classes != lines:
        raise UsageError(
            f"The labels of output {output!r} do not fit it.", where=str(path), expected=f"{classes} lines", found=f"{lines} lines"
        )
    return text
