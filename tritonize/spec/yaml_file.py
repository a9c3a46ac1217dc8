"""YAML that somebody else may have written: looked through before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from tritonize.core import bounded_files

LIMIT = 2**21
"""Bytes of a file."""
NODES = 20_000
"""Scalars, lists and mappings, each counted as often as aliases repeat it."""
DEPTH = 100
"""Lists and mappings inside each other."""
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, NotImplementedError)
"""What ruamel.yaml raises beside its own errors, such as for a date in month 13."""


class Loaded(NamedTuple):
    """The text of a file, and what it holds, with lines and comments."""

    text: str
    content: object


def load(path: Path) -> Loaded:
    """The text of a file, and what it holds, with lines and comments.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML, or larger or deeper than such files are; the text says where.
    """
    text = bounded_files.text(path, limit=LIMIT)
    try:
        _require_bounded(text)
        return Loaded(text, editor().load(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except YAMLError as error:
        raise ValueError(str(error)) from error
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def editor() -> YAML:
    """What reads and writes files here: comments, order and quotes stay."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1 << 16  # lines stay as long as they are
    return yaml


def _require_bounded(text: str) -> None:
    """Count what the file comes to, before any of it is made. Raises ValueError, YAMLError."""
    total = 0
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the total before it
    for event in YAML(typ="rt").parse(text):
        line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        if isinstance(event, AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                raise ValueError(f"{line}the alias *{event.anchor} stands inside of what it repeats")
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > DEPTH:
                raise ValueError(f"{line}lists and mappings are nested more than {DEPTH} deep")
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, NodeEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > NODES:
            raise ValueError(f"{line}the file comes to more than {NODES:,} values")


def plain(node: object) -> object:
    """What was loaded, without ruamel's line-keeping types."""
    if isinstance(node, CommentedMap):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
