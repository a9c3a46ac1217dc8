"""Lint a repository: every rule, model by model, with memory for one model and its ensemble's steps at a time."""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import UsageError
from tritonize.core.messages import lint as messages
from tritonize.lint import (
    backends,
    configuration,
    ensemble_models,
    ensembles,
    evidence,
    instances,
    layout,
    model_files,
    onnx_files,
    plan_files,
    scheduling,
    sequences,
    tensor_files,
    tensors,
    warmup,
)
from tritonize.lint.files import Entry, entries
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic

_MOST_FINDINGS = 1_000
"""Findings of one model that are listed."""
_CACHED_MODELS = 64
"""Models whose configuration is kept for the ensembles that name them."""
_BY_CONFIG = (
    configuration.identity,
    model_files.completeness,
    tensors.check,
    tensor_files.labels,
    tensor_files.batch_tensors,
    scheduling.check,
    sequences.check,
    instances.groups,
    instances.options,
    ensembles.check,
    warmup.check,
    backends.torch_script,
)
_BY_FILES = (model_files.versions, model_files.files, onnx_files.check, plan_files.check, backends.python)


class Repository:
    """A repository to lint."""

    def __init__(self, path: Path, *, follow: bool = False, hash_all: bool = False) -> None:
        """Open a repository.

        Args:
            path: its directory.
            follow: whether links that lead out of it are followed.
            hash_all: whether all files of proven versions are hashed; else large ones are compared by their size.

        Raises:
            UsageError: the directory does not exist or cannot be read.
        """
        self.path = path
        self._root = Path(os.path.realpath(path))
        self._follow = follow
        self._hash_all = hash_all
        if not self._root.is_dir():
            raise repository.no_repository(path)
        try:
            self.entries = entries(self._root, self._root)
        except OSError as error:
            raise UsageError.of(messages.REPOSITORY_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
        self._by_name = {each.name: each for each in self.entries}
        self._models: OrderedDict[str, Model | None] = OrderedDict()
        self._refusals: dict[str, Diagnostic | None] = {}

    @property
    def names(self) -> list[str]:
        """The directories of the repository, each of which Triton takes for a model."""
        return [each.name for each in self.entries if each.kind == "directory"]

    def model(self, name: str) -> Model | None:
        """A model by its name; `None` if the repository has no such directory."""
        if name in self._models:
            self._models.move_to_end(name)
            return self._models[name]
        entry = self._by_name.get(name)
        found = Model(root=self._root, name=name, follow=self._follow) if entry is not None and entry.kind == "directory" else None
        self._models[name] = found
        if len(self._models) > _CACHED_MODELS:
            self._models.popitem(last=False)
        return found

    def lint(self, models: Sequence[str] | None = None) -> Iterator[Diagnostic]:
        """The diagnostics of the named models, or of the whole repository; those of a model are sorted by place.

        Raises:
            UsageError: the repository has no model of a name.
        """
        for name in models or ():
            if name not in self.names:
                raise repository.no_model([name], self.names, where=str(self.path))
        if not models:
            yield from layout.root(self._root, self.entries)
        for name in models or self.names:
            yield from self._lint_model(name)

    def _lint_model(self, name: str) -> Iterator[Diagnostic]:
        entry = self._by_name[name]
        model = self.model(name)
        assert model is not None
        if stray := self._not_a_model(model, entry):
            yield stray
            return
        found = list(itertools.islice(self._found(model), _MOST_FINDINGS + 1))
        yield from sorted(found[:_MOST_FINDINGS], key=_order)
        if len(found) > _MOST_FINDINGS:
            yield model.of(layout.TOO_MANY, "", found=f"more than {_MOST_FINDINGS:,} findings")

    def _found(self, model: Model) -> Iterator[Diagnostic]:
        """All diagnostics of a model; if a file of it disappears meanwhile, or cannot be read after all, that is one too."""
        try:
            yield from self._all(model)
        except OSError as error:
            yield model.of(layout.UNREADABLE, "", found=f"{error.strerror or error}: {error.filename or 'a file'}")

    def _all(self, model: Model) -> Iterator[Diagnostic]:
        refused = False
        checks = [_own(model), evidence.check(model, hash_all=self._hash_all)]
        if model.config is not None:
            checks.append(ensemble_models.check(model, self.model))
        for each in itertools.chain.from_iterable(checks):
            refused = refused or each.triton == "refuses"
            yield each
        if model.config is not None and not refused:
            yield from self._refused_members(model)

    def lint_as(self, name: str, text: str) -> Iterator[Diagnostic]:
        """The diagnostics of a model if its configuration had this text; without those of evidence."""
        model = Model(root=self._root, name=name, follow=self._follow, given=text)
        yield from _own(model)
        if model.config is not None:
            yield from ensemble_models.check(model, self.model)

    def _not_a_model(self, model: Model, entry: Entry) -> Diagnostic | None:
        """The diagnostic of a directory that is no model, or that is not looked into."""
        if entry.outside and not self._follow:
            return model.of(layout.LEADS_OUTSIDE, "", found="the model's directory is a link that leads out of the repository")
        try:
            count = len(entries(model.directory, self._root))
        except OSError as error:
            return model.of(layout.UNREADABLE, "", found=error.strerror or str(error))
        if model.text is None and not model.problem and not model.versions:
            found = "an empty directory" if not count else "a directory without config.pbtxt and without a version"
            return model.of(layout.STRAY_DIRECTORY, "", found=found)
        return None

    def _refused_members(self, model: Model) -> Iterator[Diagnostic]:
        """Report the models of an ensemble's steps that Triton refuses."""
        for index, step in enumerate(model.config.ensemble_scheduling.step if ensembles.is_ensemble(model) else ()):
            member = self.model(step.model_name)
            if member is not None and (reason := self._refusal(member)) is not None:
                place = ("ensemble_scheduling", "step", index, "model_name")
                yield model.at(
                    ensemble_models.MODEL_REFUSED, *place, found=f"{member.name!r}: {reason.rule.what}", triton=reason.triton
                )

    def _refusal(self, model: Model) -> Diagnostic | None:
        """The first diagnostic for which Triton does not load a model as it is; of an ensemble, also of its steps' models."""
        if model.name not in self._refusals:
            self._refusals[model.name] = None  # ends a circle, which is a diagnostic of every ensemble in it
            own = (*_own(model), *(ensemble_models.check(model, self.model) if model.config is not None else ()))
            members = map(self.model, ensemble_models.members(model) if model.config is not None else ())
            reasons = (each for verdict in ("refuses", "completes") for each in own if each.triton == verdict)
            of_members = (self._refusal(each) for each in members if each is not None)
            self._refusals[model.name] = next(reasons, None) or next(filter(None, of_members), None)
        return self._refusals[model.name]


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    """The key to sort by: place, then rule."""
    return diagnostic.path, diagnostic.line or 0, diagnostic.column or 0, diagnostic.rule.id, diagnostic.found


def _own(model: Model) -> Iterator[Diagnostic]:
    """The diagnostics of a model by itself, without the models of its steps."""
    yield from layout.check(model)
    yield from configuration.text(model)
    yield from configuration.variants(model)
    if model.text is not None and model.config is None:
        return
    for check in _BY_CONFIG if model.config is not None else ():
        yield from check(model)
    if model.problem is None:
        for by_files in _BY_FILES:
            yield from by_files(model)
