"""Edit a specification file; comments, order and quotes stay."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from tritonize.core import suggestions
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import specification as wording
from tritonize.spec import yaml_file


def keep_in_fp32(path: Path, model: str, nodes: Sequence[str]) -> None:
    """Set `keep_fp32.nodes` of a model; other keys of `keep_fp32` stay. The file is replaced in one step.

    Args:
        path: the specification file.
        model: the model's name.
        nodes: names of ONNX nodes; they replace the current list.

    Raises:
        UsageError: the file cannot be read, is not valid YAML, or has no such model.
        OSError: the file cannot be written.
    """
    try:
        text, root = yaml_file.load(path)
    except (OSError, ValueError) as error:
        raise UsageError.of(files_wording.SPEC_UNREADABLE, where=str(path), found=str(error)) from error
    models = root.get("models") if isinstance(root, CommentedMap) else None
    if not isinstance(models, CommentedMap) or not isinstance(models.get(model), CommentedMap):
        known = ", ".join(map(str, models)) if isinstance(models, CommentedMap) else "none"
        names = [each for each in models if isinstance(each, str)] if isinstance(models, dict) else []  # YAML: also numbers
        meant = suggestions.meant(model, names)
        raise UsageError.of(wording.NO_MODEL, where=str(path), found=model, expected=known[:1000], meant=meant)
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
    """Return the indentation of list items and of nested mappings, relative to their keys, that a file uses."""
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
