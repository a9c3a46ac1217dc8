"""`tritonize promote` and `tritonize rollback`: serve one version of a model, with the configuration that it was proven with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize import repository
from tritonize.core import bounded_files
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import adoption
from tritonize.core.messages import repository as wording
from tritonize.core.results import PASSED, PROVEN, in_words
from tritonize.triton import config_changes, model_config
from tritonize.workflows import checked_copy, config_conflict, quick_versions


@dataclass(frozen=True, kw_only=True)
class Request:
    """The model and the version to serve."""

    repository: Path
    model: str
    version: int | None = None
    """`rollback`: the newest earlier version that is fully proven. `promote`: the newest, by its own configuration, unpinned."""
    allow_unproven: bool = False
    """Serve the version even if it was published without a required check."""
    replace_config: bool = False
    """Replace the configuration even if it was written or changed by hand."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a promotion changed."""

    model: str
    version: int
    before: tuple[int, ...]
    """The versions that were served before."""
    after: tuple[int, ...]
    changed: bool
    """Whether the configuration differs from the one before."""
    pinned: bool
    """Whether this version stays served when newer ones are published."""
    differences: tuple[str, ...]
    """The fields of the configuration that change, as `max_batch_size: 4 -> 2`; a file that is new, line by line."""
    notes: tuple[str, ...] = ()
    """That a quick run published the version; the newer versions that a rollback passed over."""


def promote(request: Request, *, done: Callable[[Change], None] = lambda _change: None) -> Change:
    """Serve a version with its proven configuration, and no other version.

    Args:
        done: called after the step, before an interrupt can be handled.

    Raises:
        UsageError: the model or the version does not exist.
        RepositoryError: the version changed, is unproven or has no copy of its configuration; the configuration in place was edited
            by hand; or the operating system refuses a step. Nothing was changed.
    """
    return _put(request, lambda: repository.choose(request.repository, request.model, request.version), done=done)


def rollback(request: Request, *, done: Callable[[Change], None] = lambda _change: None) -> Change:
    """Serve an earlier version, as `promote` does; arguments and errors as there."""
    over: list[str] = []

    def choose() -> int:
        over.clear()
        return _earlier(request, over) if request.version is None else request.version

    return _put(request, choose, done=done, pin=True, notes=over)


def _put(
    request: Request,
    choose: Callable[[], int],
    *,
    done: Callable[[Change], None],
    pin: bool | None = None,
    notes: Sequence[str] = (),
) -> Change:
    place, model = request.repository, request.model
    repository.choose(place, model, request.version)  # fails for an unknown model before anything is written
    if repository.completed_by_triton(place / model):
        raise RepositoryError.of(
            adoption.NO_CONFIG_TO_PIN, where=str(place / model), model=model, directory=shlex.quote(str(place / model))
        )
    found: list[Change] = []

    def decide() -> dict[str, str]:
        version = repository.choose(place, model, choose())
        texts = _proven(request, version)
        pinned = request.version is not None if pin is None else pin
        texts = {name: _pinned(text, version, name=name) if pinned else text for name, text in texts.items()}
        before = checked_copy.served_versions(place, model)
        config = model_config.parse(texts[repository.CONFIG], where=f"{model}/{repository.CONFIG}")
        after = model_config.versions_served(config, repository.versions(place, model))
        lines = [line for name, text in texts.items() for line in _differences(request, text, name=name)]
        found.append(
            Change(
                model=model,
                version=version,
                before=before,
                after=after,
                changed=bool(lines),
                pinned=pinned,
                differences=tuple(lines),
                notes=(*quick_versions.notes(place, model, [version]), *notes),
            )
        )
        return texts

    with repository.staging(place):
        repository.replace_configs(place, model, decide, done=lambda: done(found[-1]))
    return found[-1]


def _earlier(request: Request, over: list[str]) -> int:
    """Return the newest version that is fully proven, has its configuration, and is older than the newest served one.

    Args:
        over: gets a sentence for every version that is newer than that one and was passed over.
    """
    place, model = request.repository, request.model
    served = checked_copy.served_versions(place, model)
    if not served:
        raise RepositoryError.of(wording.NOTHING_SERVED, where=str(place / model), model=model)
    for version in reversed(repository.versions(place, model)):
        if version < max(served):
            if not (why := _why_over(place, model, version)):
                return version
            shell = shlex.quote(str(place))
            over.append(wording.ROLLBACK_PASSED_OVER.text(version=version, why=why, repository=shell, model=model))
    raise RepositoryError.of(
        wording.NO_EARLIER,
        where=str(place / model),
        model=model,
        version=max(served),
        repository=shlex.quote(str(place)),
        details=over,
    )


def _why_over(place: Path, model: str, version: int) -> str:
    """Why a rollback does not choose a version by itself; empty if it may."""
    try:
        listed = repository.read_manifest(place / model / str(version))
    except RepositoryError as error:  # damaged, or published by something else
        return error.what.rstrip(".")
    if listed.get("verdict") not in PROVEN:
        return f"its verdict is {in_words(str(listed.get('verdict')))}"
    if repository.proven_config(place, model, version) is None:
        return "the configuration that it was proven with was replaced"
    return ""


def _proven(request: Request, version: int) -> dict[str, str]:
    """Return the proven configurations of a version by name, with its named variants. Its files must be unchanged."""
    place, model = request.repository, request.model
    where = str(place / model / str(version))
    listed = repository.read_manifest(place / model / str(version))
    if listed.get("verdict") not in PASSED and not request.allow_unproven:
        raise RepositoryError.of(wording.PIN_UNPROVEN, where=where, version=version, model=model)
    texts: dict[str, str] = {}
    for name in {repository.CONFIG: None, **dict.fromkeys(filter(repository.is_config, listed["files"]))}:
        text = repository.proven_config(place, model, version, name=name)
        if text is None:
            raise RepositoryError.of(wording.PIN_WITHOUT_CONFIG, where=where, version=version, model=model)
        texts[name] = text
    own = (f"{model}/{version}/", *(f"{model}/{name}" for name in listed["files"] if name not in texts))
    # The configurations in place may be damaged: they are replaced.
    findings = [each for each in repository.integrity(place, model, version, known=listed) if each.where.startswith(own)]
    if findings:
        lines = [f"{each.where}: {each.what}" for each in findings]
        shell = shlex.quote(str(place))
        raise RepositoryError.of(wording.PIN_CHANGED, where=where, details=lines, version=version, model=model, repository=shell)
    return texts


def _pinned(proven: str, version: int, *, name: str) -> str:
    """Return the configuration that serves this version alone, after a check with Triton's own parser."""
    text = repository.with_pin(proven, version)
    wanted, config = (model_config.parse(each, where=name) for each in (proven, text))
    policy = config.pop("version_policy", None)
    wanted.pop("version_policy", None)
    if config != wanted or policy is None or model_config.versions_named({"version_policy": policy}) != (version,):
        raise RepositoryError.of(wording.POLICY_DIFFERS, where=name, version=version)
    return text


def _differences(request: Request, text: str, *, name: str) -> list[str]:
    """Return how a new configuration differs from the one in place.

    Raises:
        RepositoryError: the one in place was written or changed by hand.
    """
    path = request.repository / request.model / name
    label = "" if name == repository.CONFIG else f"{name}: "
    if not path.is_file():
        return [f"{label}+{line}" for line in text.splitlines()]
    current = bounded_files.content(path).decode(errors="replace")
    lines = config_changes.between(current, text) or (["only comments or the layout differ"] if current != text else [])
    if lines and not request.replace_config and not config_conflict.is_proven(path.parents[name.count("/")], name):
        raise RepositoryError.of(wording.CONFIG_BY_HAND, where=str(path), details=lines)
    return [f"{label}{line}" for line in lines]
