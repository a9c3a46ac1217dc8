"""`tritonize adopt`: prove the versions of a hand-made repository as they are, and write their evidence beside it.

Nothing in the repository is written. What cannot be proven is a result with its reason, so one model does not hide the others.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tritonize import repository
from tritonize.core import errors, onnx_graph, temporary
from tritonize.core.errors import MissingError, RepositoryError, ServerError, TritonizeError, UsageError
from tritonize.core.messages import adoption as wording
from tritonize.core.messages import server as server_wording
from tritonize.core.recorder import Listener, silent
from tritonize.core.reports import Report
from tritonize.lint import model as lint_model
from tritonize.lint.repository import Repository
from tritonize.process import workers
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig
from tritonize.workflows import adopted_files, adopted_proof
from tritonize.workflows.adopted_proof import Subject

Outcome = Literal["adopted", "up to date", "failed", "refused", "changed", "unproven", "other backend"]
"""`failed`: outputs differ. `refused`: Triton does not load it. `changed`: it differs from its evidence. `unproven`: it could not
be compared here."""
_BACKEND = "onnxruntime"
_REFUSALS = (server_wording.MODEL_NOT_LOADED.code, server_wording.MODELS_NOT_LOADED.code)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The repository to adopt."""

    repository: Path
    models: Sequence[str] = ()
    """Model names; empty means all models."""
    specification: schema.Spec | None = None
    """Sources, inputs, axes, samples and tolerances of models, by their names."""
    all_versions: bool = False
    """Also the versions that the version policy does not serve."""
    allow_unproven: bool = False
    """Also write evidence of a version of which a part could not be loaded on this machine."""
    command: str = ""
    """The command line, whose paths are removed from the evidence."""
    on_version: Callable[[str, int], None] = lambda _model, _version: None
    """Called with model and version before its stages."""
    on_stage: Listener = silent
    on_progress: Callable[[str], None] | None = None

    def given(self, model: str) -> schema.Model | None:
        """Return the model's part of the spec."""
        return self.specification.models.get(model) if self.specification else None


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What came of one version."""

    model: str
    version: int | None
    """`None` for a model of which no version was looked at."""
    outcome: Outcome
    reason: str = ""
    """Why it was not adopted, as a clause."""
    next_step: str | None = None
    reference: str | None = None
    """The kind of its reference; `none` if it is the file itself."""
    report: Report | None = None
    """The comparison, if there was one."""

    @property
    def exit_code(self) -> int:
        """The exit code that follows from it alone."""
        if self.outcome in ("failed", "refused", "changed"):
            return errors.EXIT_DIFFERS
        return errors.UnprovenError.exit_code if self.outcome == "unproven" else errors.EXIT_OK


def adopt(request: Request) -> tuple[Adoption, ...]:
    """Prove every version that is served and has no evidence.

    Raises:
        UsageError: the repository or a model does not exist, or the spec describes a model that it does not have.
        MissingError: the server, or a package that a source needs, is not installed.
        RepositoryError: the folder beside the repository cannot be written.
    """
    opened = Repository(request.repository)
    _require_known(request, opened)
    beside = Path(os.path.realpath(request.repository)).parent
    found: list[Adoption] = []
    with errors.storage_errors(beside), temporary.folder(inside=beside) as folder, contextlib.ExitStack() as stack:
        work = _Work(request=request, folder=folder, stack=stack)
        for name in request.models or opened.names:
            model = opened.model(name)
            assert model is not None, "the name was checked"
            found += _model(work, model)
    return tuple(found)


@dataclass(kw_only=True)
class _Work:
    """What all versions of a command share."""

    request: Request
    folder: Path
    """Folder beside the repository for copies, evidence that is written, and all other files."""
    stack: contextlib.ExitStack
    preloads: bool = False

    def preload(self) -> None:
        """Start the process that workers are forked from, before the first version that needs workers."""
        if self.preloads:
            return
        self.preloads = True
        specification = self.request.specification
        sources = [each.source for each in specification.models.values()] if specification else []
        torch = any(not schema.is_factory(each) and not each.endswith(".onnx") for each in sources)
        self.stack.enter_context(workers.preloading(torch=torch))


def _require_known(request: Request, opened: Repository) -> None:
    for name in request.models:
        if opened.model(name) is None:
            raise repository.no_model([name], opened.names, where=str(opened.path))
    described = request.specification.models if request.specification else ()
    if unknown := [name for name in described if opened.model(name) is None]:
        raise UsageError.of(wording.SPEC_UNKNOWN, found=", ".join(unknown), expected=", ".join(opened.names) or "no models")


def _model(work: _Work, model: lint_model.Model) -> Iterator[Adoption]:
    """Adopt the versions of one model, the oldest first."""
    request = work.request
    present = repository.versions(request.repository, model.name)
    config = _config(model)
    if isinstance(config, Adoption):
        yield config
        return
    served = model_config.versions_served(config, present)
    chosen = present if request.all_versions else served
    if not chosen:
        reason = wording.NO_VERSION.text(versions=", ".join(map(str, present)) or "none is there")
        yield Adoption(model=model.name, version=None, outcome="refused", reason=reason)
    named = model_config.versions_named(config)
    for version in chosen:
        if repository.has_evidence(request.repository / model.name / str(version)):
            yield _known(request, model.name, version)
        elif other := _other_backend(model, config):
            yield replace(other, version=version)
        elif named is not None and version not in named:
            yield Adoption(model=model.name, version=version, outcome="unproven", reason=wording.NOT_SERVED.text())
        else:
            yield _version(work, model, version, config=config)


def _config(model: lint_model.Model) -> ModelConfig | Adoption:
    """Return the parsed configuration, an empty one if Triton completes it from an ONNX file, or the reason why it is missing."""
    refused = Adoption(model=model.name, version=None, outcome="refused")
    where = f"{model.name}/{repository.CONFIG}"
    if model.text is None and model.problem:
        return replace(refused, reason=f"{where}: {model.problem}")
    if model.text is None:
        return _without_config(model)
    try:
        return model_config.parse(model.text, where=where)
    except UsageError as error:
        return replace(refused, reason=_clause(error), next_step=error.next_step)


def _without_config(model: lint_model.Model) -> ModelConfig | Adoption:
    """Return an empty configuration, or why a directory without one is not adopted."""
    if not model.versions:
        return Adoption(model=model.name, version=None, outcome="refused", reason=wording.NO_MODEL.text())
    return _other_backend(model, {}) or {}


def _other_backend(model: lint_model.Model, config: ModelConfig) -> Adoption | None:
    """Return why another backend than ONNX Runtime's serves the model."""
    if config.get("platform") == "ensemble" or "ensemble_scheduling" in config:
        reason = wording.ENSEMBLE.text()
    elif model.completed.backend == _BACKEND:
        return None
    elif model.completed.backend:
        reason = wording.OTHER_BACKEND.text(backend=model.completed.backend)
    else:
        return Adoption(model=model.name, version=None, outcome="refused", reason=wording.NO_BACKEND.text())
    return Adoption(model=model.name, version=None, outcome="other backend", reason=reason)


def _known(request: Request, model: str, version: int) -> Adoption:
    """Compare a version that has evidence with it."""
    place = request.repository
    known = Adoption(model=model, version=version, outcome="changed")
    try:
        listed = repository.read_manifest(place / model / str(version))
        findings = repository.integrity(place, model, version, known=listed)
    except RepositoryError as error:
        return replace(known, reason=_clause(error), next_step=error.next_step)
    created = str(listed.get("created", "an unknown date"))
    if findings:
        where, what = findings[0].where, findings[0].what
        changed = RepositoryError.of(
            wording.CHANGED, created=created, model=model, version=version, repository=place, what=what, file=where
        )
        return replace(known, reason=changed.what, next_step=changed.next_step)
    return replace(known, outcome="up to date", reason=wording.UP_TO_DATE.text(created=created))


def _version(work: _Work, model: lint_model.Model, version: int, *, config: ModelConfig) -> Adoption:
    """Prove one version; an error is its reason."""
    request, folder = work.request, work.folder / model.name / str(version)
    pending = Adoption(model=model.name, version=version, outcome="unproven")
    request.on_version(model.name, version)
    try:
        copied = adopted_files.copy(request.repository, model.name, version, root=folder / "repository")
        subject = _subject(request, model, copied, config=config, folder=folder)
        work.preload()
        proof = adopted_proof.prove(subject, on_stage=request.on_stage, on_progress=request.on_progress)
        return _concluded(request, pending, proof)
    except MissingError:
        raise
    except TritonizeError as error:
        refused = isinstance(error, ServerError) and error.code in _REFUSALS
        return replace(pending, outcome="refused" if refused else "unproven", reason=_clause(error), next_step=error.next_step)


def _subject(
    request: Request, model: lint_model.Model, copied: adopted_files.Copied, *, config: ModelConfig, folder: Path
) -> Subject:
    """Find the version's ONNX file, and read its inputs and outputs.

    Raises:
        UsageError: there is no ONNX file.
    """
    name = f"{copied.staged.version}/{model.completed.filename}"
    name = name if name in copied.hashes else f"{name}/model.onnx"  # a folder with the file and its data
    if name not in copied.hashes:
        raise UsageError.of(wording.NO_FILE, file=f"{model.name}/{name.removesuffix('/model.onnx')}")
    path = copied.staged.model_directory / name
    try:
        graph = onnx_graph.read(path)
    except (OSError, ValueError) as error:
        raise UsageError.of(wording.FILE_NOT_READ, file=f"{model.name}/{name}", found=str(error)) from error
    return Subject(
        staged=copied.staged,
        path=path,
        sha256=copied.hashes[name],
        original=request.repository / model.name / name,
        graph=graph,
        config=config,
        given=request.given(model.name),
        target=request.specification.target if request.specification else schema.Target(),
        work=folder,
        started=time.perf_counter(),
    )


def _concluded(request: Request, pending: Adoption, proof: adopted_proof.Proof) -> Adoption:
    """Write the evidence of a version that passed."""
    report = proof.report
    done = replace(pending, report=report, reference=proof.reference)
    if report.verdict == "failed":
        return replace(done, outcome="failed")
    if report.verdict == "not run" and not request.allow_unproven:
        stage = next((each for each in report.stages if each.verdict == "not run" and not each.optional), None)
        error = UsageError.of(wording.UNPROVEN, what=stage.note if stage else "a required check")
        return replace(done, reason=error.what, next_step=error.next_step)
    wanted = request.specification.evidence if request.specification else schema.Evidence()
    written = adopted_files.write_evidence(
        request.repository, proof.built, report, model=proof.model, wanted=wanted, command=request.command
    )
    return replace(done, outcome="adopted", report=written)


def _clause(error: TritonizeError) -> str:
    """An error as one line: what failed, and what was found or the first line of a log."""
    found = error.found or (error.details[0] if error.details else "")
    return f"{error.what.rstrip('.')}: {found}" if found else error.what.rstrip(".")
