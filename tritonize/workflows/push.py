"""`tritonize push`: make a repository in an object store serve what a local one serves, with the versions and their evidence."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize import remote, repository
from tritonize.core import temporary
from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.messages import remote as wording
from tritonize.core.messages import repository as repository_wording
from tritonize.core.results import PASSED
from tritonize.remote import Outcome, Store, VersionFiles, Work
from tritonize.repository import beside, file_hashes
from tritonize.triton import config_changes, model_config
from tritonize.workflows import checked_copy, ensemble_steps, quick_versions

_NO_VERSION = 0
"""A version that does not exist, for a policy that serves none: Triton accepts no empty list."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to publish, and where."""

    repository: Path
    address: str
    models: Sequence[str] = ()
    """Names of the models; all models if empty."""
    replace_config: bool = False
    """Replace a configuration in the store that differs in more than its version policy."""
    allow_unproven: bool = False
    """Publish versions too whose verdict is *not run*."""
    on_step: Callable[[str], None] = field(default=lambda _text: None)
    lease_s: float = remote.LEASE_S
    """Seconds without a sign of life after which other pushes take this one for killed."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One model after a push."""

    model: str
    versions: tuple[int, ...]
    """The versions that the store serves now."""
    outcome: Outcome
    notes: tuple[str, ...] = ()
    """That a quick run published a version."""


def push(request: Request, *, done: Callable[[Pushed], None] = lambda _pushed: None) -> tuple[Pushed, ...]:
    """Publish the versions that the local repository serves, model by model.

    Args:
        request: what to publish.
        done: called with each model when it is published.

    Raises:
        UsageError, MissingError: the address, the repository or a model is invalid, or a package is missing.
        RepositoryError: a version changed after it was proven, has another one's number, or the store refuses a request. What the
            store serves of this model does not change.
    """
    store = remote.open_store(request.address)
    present = repository.models(request.repository)
    if absent := [name for name in request.models if name not in present]:
        raise repository.no_model(absent, present, where=str(request.repository))
    results = []
    for name in sorted(request.models or present, key=lambda name: _depth(request.repository, name)):
        if repository.completed_by_triton(request.repository / name):
            file = request.repository / name
            raise RepositoryError.of(wording.NO_CONFIG, where=str(file), model=name, directory=shlex.quote(str(file)))
        served = checked_copy.served_versions(request.repository, name)
        if not served:  # by its configuration, which may be why: then that is the error
            model_config.parse(
                repository.read_config(request.repository, name), where=str(request.repository / name / repository.CONFIG)
            )
            shell = shlex.quote(str(request.repository))
            raise RepositoryError.of(wording.NOTHING_SERVED, where=str(request.repository / name), model=name, repository=shell)
        outcome = push_versions(request, store, name, versions=served)
        notes = quick_versions.notes(request.repository, name, served)
        results.append(Pushed(model=name, versions=served, outcome=outcome, notes=notes))
        done(results[-1])
    return tuple(results)


def _depth(place: Path, model: str, above: tuple[str, ...] = ()) -> int:
    """Return 0 for a model without steps, and for an ensemble one more than the most of its steps, which go first."""
    try:
        config = model_config.parse(repository.read_config(place, model), where=str(place / model / repository.CONFIG))
    except TritonizeError:  # reported when the model is published
        return 0
    steps = [each for each in ensemble_steps.members(config) if each not in (*above, model)]
    return 1 + max(_depth(place, each, (*above, model)) for each in steps) if steps else 0


def push_versions(request: Request, store: Store, model: str, *, versions: Sequence[int]) -> Outcome:
    """Publish some versions of a model together with its configuration; errors as in `push`."""
    place = request.repository
    with temporary.folder() as folder:
        files = [_checked(request, model, version, folder=folder / str(version)) for version in versions]
        config = repository.read_config(place, model).encode()
        shared = {name: (place / model / name).read_bytes() for name in _shared(files)}
        work = Work(
            model=model,
            versions=[
                VersionFiles(number=number, files=dict(_own(directory))) for number, directory in zip(versions, files, strict=True)
            ],
            config=config,
            shared=shared,
            variants=[name for name in shared if repository.is_config(name)],
            require_allowed=lambda current, others: _require_allowed(
                request, model, config=(current, config), shared=(others, shared)
            ),
            holding=lambda current, complete: _holding(model, current, config=config, complete=complete),
            on_step=request.on_step,
            lease_s=request.lease_s,
        )
        return remote.push(store, work)


def _checked(request: Request, model: str, version: int, *, folder: Path) -> Path:
    """Copy a version's files while they are compared with its manifest, so that what is sent is what was proven."""
    directory = request.repository / model / str(version)
    if not checked_copy.is_proven(request.repository / model, version):
        raise RepositoryError.of(wording.NOT_PROVEN, where=str(directory), version=version, model=model)
    checked = checked_copy.check(request.repository, model, version, folder=folder)
    if checked.findings:
        lines = [f"{each.where}: {each.what}" for each in checked.findings]
        shell = shlex.quote(str(request.repository))
        raise RepositoryError.of(
            wording.CHANGED, where=str(directory), details=lines, version=version, model=model, repository=shell
        )
    if checked.manifest.get("verdict") not in PASSED and not request.allow_unproven:
        raise RepositoryError.of(wording.NOT_PROVEN, where=str(directory), version=version, model=model)
    _put_manifest(directory, checked.version_directory)
    return checked.version_directory


def _put_manifest(published: Path, copy: Path) -> None:
    """Put the published bytes of the manifest into the copy, which has its content in another layout."""
    content = (repository.evidence_of(published) / repository.MANIFEST).read_bytes()
    (copy / repository.EVIDENCE / repository.MANIFEST).write_bytes(content)


def _own(directory: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a version by its path inside the version's directory; also those that the copy links to."""
    for path, kind in file_hashes.walk(directory):
        if kind in ("file", "link"):
            yield path.relative_to(directory).as_posix(), path


def _shared(directories: Sequence[Path]) -> list[str]:
    """The files beside the versions, without the configuration; a large one is a link in the copy."""
    names = {name for each in directories for name, path, _ in beside.walk(each.parent) if path.is_file()}
    return sorted(names - {repository.CONFIG})


def _require_allowed(
    request: Request,
    model: str,
    *,
    config: tuple[bytes | None, bytes],
    shared: tuple[Mapping[str, bytes | None], Mapping[str, bytes]],
) -> None:
    """Refuse to replace a configuration that differs in more than its version policy, and any other shared file that differs."""
    configs = [(repository.CONFIG, *config), *((name, each, shared[1][name]) for name, each in shared[0].items())]
    for name, current, new in configs:
        where = f"{request.address}/{model}/{name}"
        if current is None or current == new:
            continue
        if not repository.is_config(name):
            raise RepositoryError.of(repository_wording.SHARED_FILE_DIFFERS, where=where, file=name)
        before, after = (_without_policy(each.decode(errors="replace")) for each in (current, new))
        if not request.replace_config and (lines := config_changes.between(before, after)):
            raise RepositoryError.of(wording.CONFIG_DIFFERS, where=where, details=lines, file=name)


def _without_policy(text: str) -> str:
    return repository.with_policy(text, [_NO_VERSION])


def _holding(model: str, current: bytes | None, *, config: bytes, complete: Sequence[int]) -> bytes:
    """Return the configuration in place, or for a new model the new one, which serves no version but those that it served."""
    text = (config if current is None else current).decode(errors="replace")
    served: Sequence[int] = ()
    if current is not None:
        try:
            served = model_config.versions_served(model_config.parse(text, where=f"{model}/{repository.CONFIG}"), complete)
        except TritonizeError:  # Triton does not serve it either
            served = ()
    return repository.with_policy(text, served or [_NO_VERSION]).encode()
