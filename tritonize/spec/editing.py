"""Change a specification file and keep its comments, its order and its quotes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from tritonize.core.errors import UsageError
from tritonize.core.messages import files as say
from tritonize.spec import yaml_file


def keep_in_fp32(path: Path, model: str, nodes: Sequence[str]) -> None:
    """Set `keep_fp32.nodes` of a model; what else `keep_fp32` says stays. The file is replaced in one step.

    Raises:
        UsageError: the file is no specification, or has no such model.
        OSError: it cannot be written.
    """
    try:
        text, root = yaml_file.load(path)
    except (OSError, ValueError) as error:
        raise UsageError.of(say.SPEC_UNREADABLE, where=str(path), found=str(error)) from error
    models = root.get("models") if isinstance(root, CommentedMap) else None
    if not isinstance(models, CommentedMap) or not isinstance(models.get(model), CommentedMap):
        known = ", ".join(map(str, models)) if isinstance(models, CommentedMap) else "none"
        raise UsageError("The specification has no such model.", where=str(path), found=model, expected=known[:1000])
    section = models[model]
    if not isinstance(section.get("keep_fp32"), CommentedMap):
        section["keep_fp32"] = CommentedMap()
    section["keep_fp32"]["nodes"] = list(nodes)
    offset, step = _indentation(text)
    yaml = yaml_file.editor()
    yaml.indent(mapping=step, sequence=offset + 2, offset=offset)
    written = io.StringIO()
    yaml.dump(root, written)
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(written.getvalue(), encoding="utf-8")
    staged.replace(path)


def _indentation(text: str) -> tuple[int, int]:
    """How far list items stand behind their key, and mappings behind theirs, in a file as it is."""
    offset, step, before, key = 0, 0, 0, False
    for line in text.splitlines():
        bare = line.split(" #")[0].strip()
        if not bare or bare.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if key and bare.startswith("- "):
            offset = max(offset, indent - before)
        elif key and indent > before and not step:
            step = indent - before
        before, key = indent, bare.endswith(":")
    return offset, step or 2
