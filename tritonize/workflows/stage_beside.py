"""The files beside a version: its configuration, the named variants, labels, and the inputs of the warmup."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize import repository
from tritonize.core import temporary
from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as sample_wording
from tritonize.core.messages import specification as wording
from tritonize.lint.repository import Repository
from tritonize.repository import beside
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.triton.server import view
from tritonize.workflows import config_conflict, warmup

Render = Callable[[schema.Model], str]
"""Returns the text of the configuration of a model whose `triton` section may be another one."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The files, by their paths inside the model's directory."""

    texts: Mapping[str, str]
    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()


def prepare(
    specification: schema.Spec, name: str, model: schema.Model, *, render: Render, samples: SampleSet, folder: Path
) -> Beside:
    """Render the configuration and its variants, and write the inputs of the warmup.

    Args:
        specification: the spec.
        name: the model's name.
        model: its part of the spec, or a changed one.
        render: renders a configuration.
        samples: the samples of the run.
        folder: a folder of the run; the files are put into a new one in it.

    Raises:
        UsageError: the spec does not make a valid configuration, or a file of the warmup is missing.
    """
    place, folder = specification.repository, folder / "warmup"
    folder.mkdir()
    notes: tuple[str, ...] = ()
    sections = {repository.CONFIG: dict(model.triton)}
    sections |= {beside.variant(each): {**model.triton, **fields} for each, fields in model.variants.items()}
    files: dict[str, Path] = {}
    if model.warmup:
        plain = model_config.parse(render(model.model_copy(update={"warmup": None})), where=repository.CONFIG)
        made = warmup.of_samples(samples, model, plain, keep=specification.evidence, folder=folder)
        sections = {file: {"model_warmup": made.samples, **section} for file, section in sections.items()}
        files, notes = dict(made.files), made.notes
    else:
        own = warmup.OwnFiles(model)
        sections = {file: own.renamed(section) for file, section in sections.items()}
        files = _copied(own.published(model_config.parse(render(model), where=str(model.config)) if model.config else None), folder)
        if model.config and files:
            notes = (sample_wording.WARMUP_NAMES.text(count=len(files), file=model.config.name),)
    texts = {
        file: config_conflict.kept(place, name, render(model.model_copy(update={"triton": section})), file=file)
        for file, section in sections.items()
    }
    return Beside(texts=texts, files=files, notes=notes)


def _copied(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Copy the user's files into the run's folder, from which staging moves them."""
    copied = {}
    for number, (name, path) in enumerate(files.items()):
        copied[name] = folder / str(number)
        shutil.copyfile(path, copied[name])
    return copied


def require_sound_variants(staged: repository.StagedVersion) -> None:
    """Lint every named variant of a staged version in the place of its configuration; the server loads only that one.

    Raises:
        UsageError: Triton would refuse a variant; the error lists the findings.
    """
    for file in filter(repository.is_config, repository.files_beside(staged.model_directory)):
        if file == repository.CONFIG:
            continue
        with temporary.folder() as root:
            shared = repository.files_beside(staged.model_directory)
            own = [
                each for each in staged.version_directory.iterdir() if each.name != repository.EVIDENCE
            ]  # it is not complete yet
            entries = {**shared, repository.CONFIG: shared[file], **{f"{staged.version}/{each.name}": each for each in own}}
            view.link_entries(root / staged.model, entries)
            found = [each for each in Repository(root, follow=True).lint([staged.model]) if each.rule.severity == "error"]
        if found:
            lines = [f"{each.rule.id} {each.rule.what} Found: {each.found}" for each in found]
            raise UsageError.of(wording.VARIANT_REFUSED, where=file, details=lines)
