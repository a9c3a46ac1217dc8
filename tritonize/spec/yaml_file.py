"""Read YAML from an untrusted source: size, depth and aliases are limited before any object is created."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionStartEvent

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
        return Loaded(text, _reader().load(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{line}{_plainly(error)}") from error
    except YAMLError as error:
        raise ValueError(str(error)) from error
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _plainly(error: MarkedYAMLError) -> str:
    """The problem in the words of the file's author, for the mistakes that people make most."""
    if isinstance(error, DuplicateKeyError):
        key = re.search(r'duplicate key "(.*?)" with', str(error.problem), re.DOTALL)
        return f"the key {key[1]!r} is written twice" if key else str(error.problem)
    if "'\\t'" in str(error.problem):
        return "a tab at the start; YAML is indented with spaces"
    if "expected <block end>" in str(error.problem):
        return "the line is not indented like the lines before it"
    if "mapping values are not allowed" in str(error.problem):
        return "a second colon in the line; put a text with a colon in quotes"
    return str(error.problem)


def editor() -> YAML:
    """Return a reader and writer of YAML that keeps comments, order and quotes."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1 << 16  # so that long lines are not wrapped
    return yaml


def _reader() -> YAML:
    """Return a reader that checks `NODES` and `DEPTH` while it reads, before the objects of the content are created."""
    yaml = editor()
    yaml.Composer = _BoundedComposer
    return yaml


class _BoundedComposer(Composer):
    """Composes the tree of a document up to `NODES` and `DEPTH`. Raises ValueError and YAMLError."""

    def __init__(self, loader: object = None) -> None:
        super().__init__(loader)
        self.total = 0
        self.sizes: dict[str, int] = {}
        """Anchor to the number of values below it."""
        self.open_nodes: list[str | None] = []
        """Anchors of the lists and mappings around the next node."""

    def compose_node(self, parent: object, index: object) -> object:
        """Compose the next node and everything below it."""
        event = self.parser.peek_event()
        line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        before = self.total
        if isinstance(event, AliasEvent):
            if event.anchor in self.open_nodes:
                raise ValueError(f"{line}the alias *{event.anchor} refers to a value that contains it")
            self.total += self.sizes.get(event.anchor, 1)
        else:
            self.total += 1
        if self.total > NODES:
            raise ValueError(f"{line}the file has more than {NODES:,} values, including those that aliases repeat")
        if not isinstance(event, CollectionStartEvent):
            node = super().compose_node(parent, index)
        else:
            if len(self.open_nodes) == DEPTH:
                raise ValueError(f"{line}lists and mappings are nested more than {DEPTH} levels deep")
            self.open_nodes.append(event.anchor)
            node = super().compose_node(parent, index)
            self.open_nodes.pop()
        if event.anchor and not isinstance(event, AliasEvent):
            self.sizes[event.anchor] = self.total - before
        return node


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
