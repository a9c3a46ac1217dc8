"""`tritonize run --repository s3://…`: run into a working copy of a remote repository, and publish each version to the store."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonize import remote, repository
from tritonize.core.errors import TritonizeError, UsageError
from tritonize.core.messages import remote as wording
from tritonize.core.reports import Report
from tritonize.remote import Store
from tritonize.workflows import push


@dataclass(kw_only=True)
class WorkingCopy:
    """A local repository with the models, versions, configurations and manifests of a remote one, without its weights."""

    root: Path
    store: Store
    kept: list[str] = field(default_factory=list)
    """Models whose new version could not be published; it stays in the working copy."""


@contextlib.contextmanager
def working_copy(address: str) -> Iterator[WorkingCopy]:
    """Create a working copy in the current folder; an address without objects gives an empty one.

    Afterwards only what is not in the store stays: versions that could not be published, and the staging area with versions that
    did not pass.

    Raises:
        UsageError, MissingError, RepositoryError: the address is invalid, or the store cannot be read.
    """
    store = remote.open_store(address)
    folder = Path.cwd() / f"tritonize-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    copy = WorkingCopy(root=folder / "repository", store=store)
    try:
        _fill(copy)
        yield copy
    finally:
        for directory in copy.root.iterdir() if copy.root.is_dir() else ():
            if directory.name not in copy.kept:
                shutil.rmtree(directory)
        for empty in (copy.root, folder):
            with contextlib.suppress(OSError):
                empty.rmdir()


def _fill(copy: WorkingCopy) -> None:
    try:
        remote.mirror(copy.store, copy.root, depth=remote.Depth.MANIFESTS)
    except UsageError as error:
        if error.code != wording.EMPTY.code:
            raise
    copy.root.mkdir(parents=True, exist_ok=True)


def publish(
    copy: WorkingCopy, reports: Sequence[Report], *, replace_config: bool, on_step: Callable[[str], None]
) -> tuple[Report, ...]:
    """Publish the versions of a run to the store.

    Args:
        copy: the working copy into which the run published.
        reports: the reports of the run.
        replace_config: replace a configuration in the store that differs.
        on_step: receives a line about the current step.

    Returns:
        The reports, with the address of each version, or with the error that kept it from the store.
    """
    request = push.Request(
        repository=copy.root,
        address=copy.store.address,
        replace_config=replace_config,
        allow_unproven=True,  # the run has decided that
        on_step=on_step,
    )
    return tuple(_published(copy, each, request) if each.published else each for each in reports)


def _published(copy: WorkingCopy, report: Report, request: push.Request) -> Report:
    assert report.version is not None
    address = f"{copy.store.address}/{report.model}/{report.version}"
    notes = tuple(note.replace(str(copy.root), copy.store.address) for note in report.notes)
    copy.kept.append(report.model)  # also after Ctrl-C
    try:
        push.push_versions(request, copy.store, report.model, versions=[report.version])
    except BaseException as error:
        for each in repository.versions(copy.root, report.model):
            if each != report.version:  # here without their weights
                shutil.rmtree(copy.root / report.model / str(each))
        if not isinstance(error, TritonizeError):
            raise
        kept = wording.KEPT.text(folder=copy.root, address=copy.store.address, model=report.model)
        found = f" ({error.found})" if error.found else ""
        return replace(
            report,
            published=False,
            location=copy.root / report.model / str(report.version),
            notes=(*notes, wording.NOT_PUSHED.text(address=address, error=f"{error.what}{found}"), kept),
            details={**report.details, "error": error.to_dict()},
        )
    copy.kept.remove(report.model)
    return replace(report, location=None, notes=(*notes, wording.PUSHED.text(address=address)))
