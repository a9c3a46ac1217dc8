"""Read YAML from an untrusted source: size, depth and aliases are limited before any object is created."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from tritonize.core import bounded_files

LIMIT = 2**21
"""Largest size of a file in bytes."""
NODES = 20_000
"""Largest number of scalars, lists and mappings; those that aliases repeat are counted each time."""
DEPTH = 100
"""Largest number of lists and mappings inside each other."""
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, NotImplementedError)
"""Exceptions of ruamel.yaml in addition to its own classes, such as for a date in month 13."""


class Loaded(NamedTuple):
    """The content of a YAML file."""

    text: str
    content: object
    """The parsed content; ruamel.yaml's types keep lines and comments."""


def load(path: Path) -> Loaded:
    """Read a YAML file.

    Raises:
        OSError: the file cannot be read, or is larger than `LIMIT`.
        ValueError: the file is not valid YAML or exceeds `NODES` or `DEPTH`; the text names the line.
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
    """Return a reader and writer of YAML that keeps comments, order and quotes."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1 << 16  # so that long lines are not wrapped
    return yaml


def _require_bounded(text: str) -> None:
    """Check `NODES` and `DEPTH` on the parser's events, before any object is created. Raises ValueError and YAMLError."""
    total = 0
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the total before it
    for event in YAML(typ="rt").parse(text):
        line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        if isinstance(event, AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                raise ValueError(f"{line}the alias *{event.anchor} refers to a value that contains it")
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > DEPTH:
                raise ValueError(f"{line}lists and mappings are nested more than {DEPTH} levels deep")
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, NodeEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > NODES:
            raise ValueError(f"{line}the file has more than {NODES:,} values, including those that aliases repeat")


def plain(node: object) -> object:
    """Convert ruamel.yaml's types, which keep lines and comments, to plain Python types."""
    if isinstance(node, CommentedMap):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
