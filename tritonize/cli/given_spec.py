"""The specification that a command line gives: a file, or flags that describe one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonize.cli.terminal import say

if TYPE_CHECKING:
    from tritonize.cli.flags import RunFlags
    from tritonize.spec.schema import Spec


def of(flags: RunFlags) -> Spec:
    """The spec from the file, or a spec created from the flags; with the sample files of the flags.

    Raises:
        UsageError: the spec or a flag is invalid, or the two cannot be combined.
    """
    specification = _without_samples(flags)
    return _with_samples(specification, flags.sample_files) if flags.sample_files else specification


def place(flags: RunFlags) -> str:
    """Where the settings of the models are written: the name of the spec's file, or `the command line`."""
    return Path(flags.source).name if is_file(flags.source) else "the command line"


def is_file(source: str) -> bool:
    """Whether the argument names a spec file, and not a model."""
    return source.lower().endswith((".yaml", ".yml"))


def _without_samples(flags: RunFlags) -> Spec:
    from tritonize.cli import flags as from_flags
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage
    from tritonize.spec import loader
    from tritonize.triton import config_section

    source = flags.source
    if not is_file(source):
        if flags.models:
            raise UsageError.of(usage.MODEL_WITHOUT_SPEC, found=source)
        if flags.name is None and (note := from_flags.transliterated(source)):
            say(note, err=True)
        return from_flags.specification(flags)
    if given := flags.describing():
        raise UsageError.of(usage.FLAGS_WITH_SPEC, found=", ".join(given), source=source)
    specification = loader.load(Path(source), check_triton=config_section.problems)
    if flags.repository:
        specification = specification.model_copy(update={"repository": flags.repository})
    return specification


def _with_samples(specification: Spec, files: Sequence[str]) -> Spec:
    """The spec with these sample files for every model."""
    models = {
        name: model.model_copy(update={"samples": model.samples.model_copy(update={"files": list(files), "function": None})})
        for name, model in specification.models.items()
    }
    return specification.model_copy(update={"models": models})
