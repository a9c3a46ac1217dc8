"""The steps of the ensembles that are compared: each as the version that its ensemble was proven with, under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tritonize import repository
from tritonize.core.errors import TritonizeError
from tritonize.repository import manifest
from tritonize.triton import model_config
from tritonize.triton.protocol import EnsembleStep
from tritonize.workflows import checked_copy, ensemble_steps
from tritonize.workflows.diff_answers import Version


@dataclass(frozen=True, kw_only=True)
class View:
    """One version of a model as the server sees it: a model by itself."""

    name: str
    number: int
    directory: Path
    text: str
    """Its configuration."""

    @classmethod
    def of(cls, version: Version) -> Self:
        """A version that is compared. The steps of an ensemble get the names of their views."""
        text = version.text
        if scheduling := version.config.get("ensemble_scheduling"):
            proven = ensemble_steps.recorded(version.manifest)
            renamed = [_renamed(step, proven[step["model_name"]]["version"]) for step in scheduling["step"]]
            text = model_config.as_text({**version.config, "ensemble_scheduling": {"step": renamed}})
        return cls(name=version.name, number=version.number, directory=version.directory, text=text)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of the versions that are compared, each once."""

    views: tuple[View, ...]
    gone: str
    """Those that the repository no longer has as they were; then the ensembles cannot be served."""


def find(place: Path, versions: Sequence[Version], *, folder: Path) -> Steps:
    """Copy and check the steps of all versions that are ensembles.

    Args:
        place: the model repository.
        folder: for the copies of their files.
    """
    found: dict[str, View] = {}
    gone: dict[str, str] = {}
    for version in versions:
        proven = ensemble_steps.recorded(version.manifest)
        for step in ensemble_steps.members(version.config):
            name = _name(step, proven[step]["version"]) if step in proven else step
            if name in found or name in gone:
                continue
            view = _view(place, step, proven[step], folder=folder / name) if step in proven else None
            if view is None:
                gone[name] = f"{step} version {proven[step]['version']}" if step in proven else step
            else:
                found[name] = view
    return Steps(views=tuple(found.values()), gone=", ".join(gone.values()))


def _renamed(step: EnsembleStep, version: int) -> EnsembleStep:
    return {**step, "model_name": _name(step["model_name"], version), "model_version": str(version)}


def _name(step: str, version: int) -> str:
    return f"{step}_{version}"


def _view(place: Path, step: str, proven: ensemble_steps.UsedStep, *, folder: Path) -> View | None:
    """The view of a step; `None` if the repository does not have it with the files that its ensemble was proven with."""
    number = proven["version"]
    try:
        checked = checked_copy.check(place, step, number, folder=folder, shared=False)
        known = repository.proven_config(checked.root, step, number)
        text = repository.read_config(checked.root, step) if known is None else known
        nested = ensemble_steps.members(model_config.parse(text, where=step))
    except (TritonizeError, FileNotFoundError):
        return None
    if checked.findings or nested or not _same_version(checked.manifest, proven, number):
        return None
    return View(name=_name(step, number), number=number, directory=checked.version_directory, text=text)


def _same_version(manifest: repository.Manifest, proven: ensemble_steps.UsedStep, number: int) -> bool:
    """Whether the files of the version are those that the ensemble was proven with; the shared files may be newer."""
    sides = [
        {name: value for name, value in files.items() if name.startswith(f"{number}/")}
        for files in (ensemble_steps.used(manifest)["files"], proven["files"])
    ]
    return sides[0] == sides[1]


def side_by_side(versions: Sequence[View], root: Path) -> Path:
    """Build a repository of links in which each version is a separate model, since each has its own configuration."""
    for each in versions:
        view = root / each.name
        view.mkdir(parents=True)
        for path in each.directory.parent.iterdir():
            if not manifest.is_version(path) and path.name != repository.CONFIG:  # labels, and inputs of the warmup
                (view / path.name).symlink_to(path)
        (view / str(each.number)).symlink_to(each.directory.absolute())
        text = model_config.served_as(each.text, each.name, each.number, where=repository.CONFIG)
        (view / repository.CONFIG).write_text(text, encoding="utf-8")
    return root
