"""Remove the names of the user's sample files from what is published: they may be those of patients."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tritonize.core import redaction
from tritonize.core.errors import UsageError
from tritonize.source import sample_files
from tritonize.spec import schema
from tritonize.workflows import warmup

T = TypeVar("T")

INSTEAD = "SAMPLE_FILE"
"""What stands for the name of a sample file or of an input of the warmup."""
_FLAG = "--sample-file"


def removed_from(value: T, model: schema.Model, *, command: str = "") -> T:
    """Return a report or facts in which `INSTEAD` stands for each path and name of a sample file.

    Args:
        command: the command line, of which each argument of `--sample-file` is replaced, whatever it looks like.
    """
    words = shlex.split(command)
    neutral = shlex.join(_without_files(words))
    names = dict.fromkeys(_names(model), INSTEAD)
    if neutral != shlex.join(words):
        names[command] = redaction.renamed(neutral, names)
    return redaction.renamed(value, names)


def _without_files(words: Sequence[str]) -> list[str]:
    changed = list(words)
    for place, word in enumerate(words):
        if place and words[place - 1] == _FLAG:
            changed[place] = INSTEAD
        elif word.startswith(f"{_FLAG}="):
            changed[place] = f"{_FLAG}={INSTEAD}"
    return changed


def _names(model: schema.Model) -> set[str]:
    """Return the paths of the files, as a spec or a command line has them, and names with a suffix.

    A bare name without one, such as a folder's, may be an ordinary word of a report.
    """
    patterns = [] if model.samples.function else list(model.samples.patterns)
    found = {path for pattern in patterns for path in (pattern, *_matches(pattern))}
    found |= {str(path) for path in warmup.own_files(model).values()} if not model.config else set()
    found |= {text for path in found for text in (os.path.abspath(path), os.path.relpath(path))}  # noqa: PTH100 - `..` goes too
    names = {Path(path).name for path in found}
    return {path for path in found if "/" in path} | {name for name in names if Path(name).suffix and any(map(str.isalpha, name))}


def _matches(pattern: str) -> list[str]:
    try:
        return sample_files.matches(pattern)
    except UsageError:  # the files are gone
        return []
