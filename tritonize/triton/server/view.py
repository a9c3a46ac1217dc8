"""The folder that a server serves: private, with links to the selected models, so that the server can load nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.artifacts import SetAside
from tritonize.core.errors import TritonizeError, UsageError
from tritonize.core.messages import server as messages
from tritonize.triton import model_config, set_aside

CONFIG = "config.pbtxt"
_STEP = re.compile(r"""\bmodel_name\s*:\s*["']([^"'\n]+)["']""")


def link_entries(folder: Path, entries: Mapping[str, Path]) -> Path:
    """Fill an empty folder with symlinks.

    Args:
        folder: the folder that receives the links.
        entries: path relative to `folder`, such as `heart/1`, to the file or folder that the link points to.
    """
    for relative, source in entries.items():
        place = folder / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source.absolute())
    return folder


def link_models(
    folder: Path, models: Mapping[str, Path], *, gpu: bool, versions: Mapping[str, int] | None = None, whole: bool = False
) -> dict[str, tuple[SetAside, ...]]:
    """Link every model's folder; a model whose configuration the embedded server cannot load gets a changed configuration.

    Args:
        folder: the folder that receives the links.
        models: model name to its folder.
        gpu: whether the server has access to a GPU.
        versions: model name to a version that is served in any case; where the version policy leaves it out, the policy names it.
        whole: whether the server loads every field of a configuration, as Triton with its own backends does.

    Returns:
        Model name to the fields that are left out, for models where there are any.
    """
    changed = {}
    for name, directory in models.items():
        text, fields = _loadable(directory / CONFIG, gpu=gpu, whole=whole)
        policy = _naming(text, (versions or {}).get(name))
        if not fields and policy is None:
            link_entries(folder, {name: directory})
            continue
        if fields:
            changed[name] = fields
        link_entries(folder / name, {each.name: each for each in directory.iterdir() if each.name != CONFIG})
        (folder / name).mkdir(exist_ok=True)
        (folder / name / CONFIG).write_text(policy or text, encoding="utf-8")
    return changed


def _naming(text: str, version: int | None) -> str | None:
    """The text of a configuration with a policy that serves a version; `None` if its own policy serves it, or cannot be read."""
    if version is None:
        return None
    try:
        config = model_config.parse(text, where=CONFIG)
    except TritonizeError:  # the server reports what is wrong with it
        return None
    return (
        None
        if version in model_config.versions_served(config, [version])
        else model_config.as_text(model_config.serving(config, version))
    )


def _loadable(path: Path, *, gpu: bool, whole: bool) -> tuple[str, tuple[SetAside, ...]]:
    """The text of a configuration without the fields that the embedded server cannot load, and these fields."""
    try:
        text = bounded_files.text(path)
        if whole:
            return text, ()
        loadable = set_aside.without(model_config.parse(text, where=str(path)), gpu=gpu)
    except (OSError, ValueError, TritonizeError):  # the server reports what is wrong with it
        return "", ()
    return (model_config.as_text(loadable.config), loadable.left_out) if loadable.left_out else (text, ())


def model_folders(repository: Path, models: Sequence[str] | None) -> dict[str, Path]:
    """The folders of the named models and of the steps of ensembles among them, by model name.

    Args:
        repository: the model repository.
        models: names of models (all).

    Raises:
        UsageError: a name cannot be the name of a model.
    """
    if models is None:
        return {each.name: each for each in sorted(repository.iterdir()) if each.is_dir()}
    folders: dict[str, Path] = {}
    pending = list(models)
    while pending:
        name = pending.pop()
        if name in ("", ".", "..") or "/" in name or name.encode(errors="ignore").decode() != name:  # Triton requires UTF-8
            raise UsageError.of(messages.NO_MODEL_NAME, where=str(repository), found=name)
        directory = repository / name
        if name not in folders and directory.is_dir():  # a missing model is reported later, from the server's index
            folders[name] = directory
            pending += _steps(directory)
    return folders


def _steps(directory: Path) -> list[str]:
    """The models that an ensemble's configuration names."""
    try:
        text = bounded_files.text(directory / CONFIG)
    except (OSError, ValueError):  # the server reports what is wrong with it
        return []
    return _STEP.findall(text)
