"""`tritonize deploy`: check a repository as `serve` does, and write the files that deploy it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tritonize import repository
from tritonize.core import durable_files, temporary
from tritonize.core.errors import RepositoryError, UsageError, storage_errors
from tritonize.core.local_paths import without_secrets
from tritonize.core.messages import deploy as wording
from tritonize.core.messages import repository as repository_wording
from tritonize.core.reports import Finding
from tritonize.deploy import Deployment, Kind, Verification, files, names
from tritonize.deploy.deployment import CONFIG_MAP_BYTES, HELM_BYTES
from tritonize.workflows import checked_copy, deployed_models, golden, packing, rendered_chart

KINDS: tuple[Kind, ...] = get_args(Kind)
_IMAGE = re.compile(r"[a-z0-9]+([._:/-]+[A-Za-z0-9_]+)*(@sha256:[0-9a-f]{64})?")
_STORAGE = re.compile(r"(s3|gs|pvc|https?|hdfs|webhdfs|oci|hf)://[^\s/]\S*")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to deploy, and how."""

    kind: Kind
    repository: Path
    out: Path
    """The new folder."""
    models: Sequence[str] = ()
    """Model names; all models if empty."""
    name: str | None = None
    """DNS label of the deployment; by default derived from the model, `triton` for several."""
    release: str | None = None
    """Triton's release, such as `26.06`; by default what the versions were declared for."""
    gpu: bool = False
    image: str = ""
    """Reference of the image with the models, for Kubernetes and Helm."""
    verifier: str | None = None
    """Reference of the image that verifies; by default `image` with `-verify` at its tag."""
    storage_uri: str = ""
    """Address of the packed models, for KServe."""
    key: Path | None = None
    """Public key: every version needs a signature that holds for it."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """The written folder; none if there are findings."""

    folder: Path
    files: tuple[str, ...] = ()
    deployment: Deployment | None = None
    findings: tuple[Finding, ...] = ()
    """Differences from the manifests; nothing was written then."""
    notes: tuple[str, ...] = ()


def deploy(request: Request) -> Written:
    """Write the files of a deployment into a new folder. It appears complete or not at all.

    Raises:
        UsageError: an argument is invalid, or no release of Triton is known.
        MissingError: NVIDIA's image lacks a backend.
        RepositoryError: the folder exists or cannot be written, or a file changed meanwhile.
    """
    _require_valid(request)
    present = repository.models(request.repository)
    absent = [name for name in request.models if name not in present]
    if absent:
        raise repository.no_model(absent, present, where=str(request.repository))
    target = request.out.absolute()
    if target.is_relative_to(request.repository.absolute()):
        raise RepositoryError.of(repository_wording.PACK_INSIDE, where=str(request.out))
    if target.exists() or target.is_symlink():
        raise RepositoryError.of(repository_wording.PACK_EXISTS, where=str(request.out))
    with storage_errors(target):
        durable_files.make_directory(target.parent)
        with temporary.folder(inside=target.parent) as scratch:
            (scratch / "checked").mkdir()
            checked = checked_copy.to_serve(request.repository, request.models or present, scratch / "checked", key=request.key)
            if checked.findings:
                return Written(folder=request.out, findings=tuple(checked.findings), notes=tuple(checked.notes))
            (built := scratch / "built").mkdir()
            done = _build(request, checked, built)
            if target.exists():
                raise RepositoryError.of(repository_wording.PACK_EXISTS, where=str(request.out))
            _make_readable(built)
            durable_files.sync_tree(built)
            built.rename(target)
        durable_files.sync(target.parent)
    return done


def _require_valid(request: Request) -> None:
    if request.name is not None and not names.is_label(request.name):
        expected = f"lower-case letters, digits and hyphens, a letter first, at most {names.LONGEST} characters"
        raise UsageError.of(wording.NAME_FORM, expected=expected, found=request.name)
    if request.release is not None and not re.fullmatch(r"\d\d\.\d\d", request.release):
        raise UsageError.of(wording.RELEASE_FORM, expected="year and month, such as 26.06", found=request.release)
    for image in filter(None, (request.image, request.verifier)):
        if not _IMAGE.fullmatch(image):
            raise UsageError.of(wording.IMAGE_FORM, expected="such as registry.example/heart:1", found=image)
    if request.image and request.verifier is None and "@" in request.image:
        raise UsageError.of(wording.VERIFIER_NEEDED, found=request.image)
    if request.storage_uri:
        plain = without_secrets(request.storage_uri)
        if plain != request.storage_uri:
            raise UsageError.of(wording.STORAGE_SECRET, found=plain)
        if not _STORAGE.fullmatch(plain):
            raise UsageError.of(wording.STORAGE_FORM, expected="such as s3://bucket/models", found=plain)


def _build(request: Request, checked: checked_copy.ToServe, built: Path) -> Written:
    """Write everything into an empty folder."""
    described = deployed_models.describe(checked, release=request.release, gpu=request.gpu)
    name = request.name or _name(list(described.versions))
    verifications, notes = _export_golden(checked, described.versions, name=name, folder=built / "golden")
    deployment = Deployment(
        name=name,
        models=described.models,
        base=described.image,
        proved_by=described.proved_by,
        completes=checked.completes,
        gpu=request.gpu,
        tritonize=described.tritonize,
        verifications=verifications,
        image=request.image,
        verifier=request.verifier or _verifier(request.image),
        storage_uri=request.storage_uri,
    )
    if request.kind in files.WITH_MODELS:
        packing.pack(request.repository, built / "models", list(described.versions))
        _require_checked(checked.root, built / "models", signed=request.key is not None)
    content = {each.name: (built / "golden" / each.file).read_bytes() for each in verifications}
    for path, text in files.render(request.kind, deployment, content).items():
        (built / path).parent.mkdir(exist_ok=True)
        (built / path).write_text(text, encoding="utf-8")
    notes += [*_place_golden(request.kind, deployment, built), *described.notes]
    if request.kind == "helm":
        notes.append(rendered_chart.render(built, name))
    written = sorted(str(path.relative_to(built)) for path in built.rglob("*") if path.is_file())
    return Written(folder=request.out, files=tuple(written), deployment=deployment, notes=(*checked.notes, *notes))


def _name(models: Sequence[str]) -> str:
    return names.labels(models)[models[0]] if len(models) == 1 else "triton"


def _verifier(image: str) -> str:
    """The image that verifies: that of the models, with `-verify` at its tag."""
    has_tag = ":" in image.rpartition("/")[2]
    return f"{image}{'' if has_tag else ':latest'}-verify" if image else ""


def _export_golden(
    checked: checked_copy.ToServe, versions: dict[str, tuple[int, ...]], *, name: str, folder: Path
) -> tuple[tuple[Verification, ...], list[str]]:
    """Write the golden file of each proven version, from the checked files; a version without samples has a note instead."""
    proven = [(each.model, each.version) for each in checked.checked]
    own = names.labels(versions)
    wanted = {
        f"{name}-verify-{version}" if own[model] == name else f"{name}-verify-{model}-{version}": (model, version)
        for model, version in proven
    }
    labels = names.labels(wanted, names.LONGEST_JOB)
    found: list[Verification] = []
    notes: list[str] = []
    folder.mkdir()
    for text, (model, version) in wanted.items():
        path = folder / f"{labels[text]}.golden"
        try:
            golden.export(checked.root, model, version=version, out=path)
        except (UsageError, RepositoryError) as error:
            notes.append(wording.NO_GOLDEN.text(model=model, version=version, reason=error.what))
            continue
        newest = version == max(versions[model])
        size = path.stat().st_size
        found.append(Verification(name=labels[text], model=model, version=version, newest=newest, bytes=size))
    return tuple(found), notes


def _place_golden(kind: Kind, deployment: Deployment, built: Path) -> list[str]:
    """Leave the golden files where the other files expect them."""
    folder = built / "golden"
    if kind == "kserve" or not deployment.verifications:
        shutil.rmtree(folder)
        return []
    if kind in files.WITH_MODELS:
        return []
    if not files.golden_in_config_map(kind, deployment):
        size = sum(each.bytes for each in deployment.verifications)
        limit, holder = (HELM_BYTES, "a chart holds") if kind == "helm" else (CONFIG_MAP_BYTES, "a ConfigMap holds")
        return [wording.GOLDEN_ON_VOLUME.text(size=size, holder=holder, limit=limit, claim=deployment.golden_claim)]
    if kind == "helm":
        folder.rename(built / "files")
    else:
        shutil.rmtree(folder)
    return []


def _require_checked(checked: Path, packed: Path, *, signed: bool) -> None:
    """Require that what was packed is what was checked; with a key also that everything was checked.

    Raises:
        RepositoryError: a file changed between the check and the copy, or no signed list has it.
    """
    for path in filter(Path.is_file, packed.rglob("*")):
        same = checked / path.relative_to(packed)
        if not same.is_file():
            if signed:
                where = str(path.relative_to(packed))
                raise RepositoryError.of(repository_wording.PACK_CHANGED, where=where, details=[wording.SERVED_OTHERWISE.text()])
        elif repository.sha256(path) != repository.sha256(same):
            raise RepositoryError.of(repository_wording.PACK_CHANGED, where=str(path.relative_to(packed)))


def _make_readable(folder: Path) -> None:
    """Let every user read the files: the server in a container is another user, whatever this process's umask is."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
