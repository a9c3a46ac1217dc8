"""Apply the changes that diagnostics propose to configurations: all of a file at once, checked, and written atomically."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonize.core import durable_files, errors
from tritonize.core.messages import lint as messages
from tritonize.lint.model import CONFIG, Model
from tritonize.lint.repository import Repository
from tritonize.lint.rule import Diagnostic, Edit
from tritonize.repository import evidence_place, journal


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What became of the changes to one model's configuration."""

    path: str
    """The configuration, relative to the repository."""
    count: int
    """Number of the changes."""
    problem: str | None = None
    """Why they were not made; `None` if they were."""


def apply(repository: Repository, found: Sequence[Diagnostic]) -> Iterator[Fixed]:
    """Write the changes of diagnostics into the configurations.

    A configuration that a version was proven with is left alone, and so is one that would have other problems afterwards.

    Raises:
        RepositoryError: the operating system refuses to write.
    """
    edits: dict[str, list[Edit]] = defaultdict(list)
    for each in found:
        if each.edit is not None:
            edits[each.model].append(each.edit)
    for name, changes in edits.items():
        model = repository.model(name)
        assert model is not None
        with errors.storage_errors(model.directory), _held(model):
            problem = _fix(repository, model, changes)
        yield Fixed(path=f"{name}/{CONFIG}", count=len(changes), problem=problem)


@contextlib.contextmanager
def _held(model: Model) -> Iterator[None]:
    """The lock of publishing, if tritonize publishes into this repository."""
    if not journal.area(model.root).is_dir():
        yield
        return
    with journal.held(model.root, model.name):
        yield


def _fix(repository: Repository, model: Model, changes: Sequence[Edit]) -> str | None:
    """Change one configuration; the reason if it is left as it is."""
    path = model.directory / CONFIG
    if path.is_symlink() or model.directory.is_symlink():
        return messages.FIX_LINK.text()
    if any(evidence_place.exists(model.directory / str(version)) for version in model.versions):
        return messages.FIX_PROVEN.text()
    before = model.text
    if before is None or path.read_bytes() != before.encode():
        return messages.FIX_CHANGED.text()
    after = changed(before, changes)
    if _problems(repository, model.name, after) - _problems(repository, model.name, before):
        return messages.FIX_WORSE.text()
    mode = path.stat().st_mode
    durable_files.write(path, after.encode())
    path.chmod(mode & 0o7777)
    return None


def changed(text: str, changes: Sequence[Edit]) -> str:
    """A text with all replacements made; of overlapping ones the first counts."""
    parts, at = [], 0
    for each in sorted(changes, key=lambda edit: (edit.start, -edit.end)):
        if each.start >= at:
            parts += [text[at : each.start], each.text]
            at = each.end
    return "".join([*parts, text[at:]])


def _problems(repository: Repository, name: str, text: str) -> set[tuple[str, str]]:
    """What lint finds in a model if its configuration has this text."""
    return {(each.rule.id, each.found) for each in repository.lint_as(name, text)}
