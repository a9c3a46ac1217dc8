"""Where the fields of a protobuf text are: line, column and span of every field, by its path.

Protobuf's own parser decides what is valid; it keeps no places for the fields that it accepts. This reader accepts more than
protobuf does and stops at the first token that it cannot place.
Source: the protobuf text format specification (protobuf.dev/reference/protobuf/textformat-spec).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[A-Za-z0-9_.+\-]+)|(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_DEEPEST = 100
_CLOSING = {"{": "}", "<": ">", "[": "]"}

Path = tuple[str | int, ...]
"""Names of fields with the number of the occurrence behind repeated ones, such as `("input", 0, "dims", 1)`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A position in a text; lines and columns count from 1."""

    line: int
    column: int


@dataclass(kw_only=True)
class Node:
    """One field, or one entry of a list."""

    start: int
    """Offset of the field's name, or of the entry."""
    value: int
    """Offset of its value."""
    end: int
    """Offset behind its value and the separator that follows."""
    text: str = ""
    """A scalar's token, with its quotes."""
    whole: tuple[int, int] | None = None
    """Start and end of the list that the entry is in, with the field's name; `None` outside a list."""
    fields: dict[str, list[Node]] = field(default_factory=dict)


class Places:
    """The places of all fields of a text."""

    def __init__(self, text: str) -> None:
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.root = _tree(text)

    def at(self, offset: int) -> Place:
        """The line and column of an offset."""
        line = bisect.bisect_right(self._lines, offset)
        return Place(line=line, column=offset - self._lines[line - 1] + 1)

    def node(self, path: Path) -> Node | None:
        """The field of a path; `None` if the text does not have it."""
        found, rest = self._nearest(path)
        return None if rest else found

    def place(self, path: Path) -> Place:
        """The position of a field's value, or of the nearest field around it that exists."""
        found, rest = self._nearest(path)
        return self.at(found.start if rest else found.value)

    def entry(self, path: Path, key: str) -> int | None:
        """The number of the entry of a map field whose key this is; the last one counts."""
        *outer, name = path
        around = self.node(tuple(outer))
        entries = around.fields.get(str(name), []) if around else []
        numbers = [i for i, each in enumerate(entries) if (keys := each.fields.get("key")) and keys[0].text[1:-1] == key]
        return numbers[-1] if numbers else None

    def count(self, name: str) -> int:
        """How often a field stands at the top level."""
        return len(self.root.fields.get(name, ()))

    def _nearest(self, path: Path) -> tuple[Node, Path]:
        """The last field of the path that exists, and the rest of the path."""
        found, rest = self.root, path
        while rest:
            name, *after = rest
            nodes = found.fields.get(str(name))
            index = 0
            if after and isinstance(after[0], int):
                index, *after = after  # type: ignore[assignment]  # checked in the line above
            if not nodes or index >= len(nodes):
                break
            found, rest = nodes[index], tuple(after)
        return found, rest


@dataclass(kw_only=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        if match.lastgroup != "blank":
            yield _Token(kind=str(match.lastgroup), text=match.group(), start=match.start(), end=at)


def _tree(text: str) -> Node:
    """The tree of fields, read with a stack of its own, so that deep nesting costs no recursion."""
    root = Node(start=0, value=0, end=len(text))
    reader = _Reader(root)
    for token in _tokens(text):
        if not reader.take(token):
            break
    return root


@dataclass(kw_only=True)
class _Open:
    """An open bracket."""

    closing: str
    message: Node
    """The message that fields belong to."""
    listed: str = ""
    """In a list, the field's name."""
    start: int = 0
    before: int = 0
    """Number of the field's entries before the list."""


class _Reader:
    """A state machine over tokens: inside messages and lists, before or after the name of a field."""

    def __init__(self, root: Node) -> None:
        self._open = [_Open(closing="}", message=root)]
        self._name: _Token | None = None
        self._last: Node | None = None

    def take(self, token: _Token) -> bool:
        """Whether reading can go on."""
        inner = self._open[-1]
        if token.kind == "mark" and token.text in ",;":
            if self._last is not None:
                self._last.end = token.end
            return True
        if token.text == inner.closing and token.kind == "mark":
            return self._close(token)
        if inner.listed:
            return self._value(token, inner.listed, token.start)
        if self._name is None:
            if self._last is not None and token.kind == "text" and self._last.text.endswith(("'", '"')):
                self._last.text, self._last.end = self._last.text[:-1] + token.text[1:], token.end  # adjacent texts are one
                return True
            self._name = token if token.kind == "word" else None
            return self._name is not None
        if token.text == ":":
            return True
        name = self._name
        if token.text == "[" and token.kind == "mark":
            self._name = None
            before = len(inner.message.fields.get(name.text, ()))
            self._open.append(_Open(closing="]", message=inner.message, listed=name.text, start=name.start, before=before))
            return len(self._open) < _DEEPEST
        return self._value(token, name.text, name.start)

    def _value(self, token: _Token, name: str, start: int) -> bool:
        message = self._open[-1].message
        node = Node(start=start, value=token.start, end=token.end)
        self._name = None
        if token.kind == "mark":
            if token.text not in "{<":
                return False
            self._open.append(_Open(closing=_CLOSING[token.text], message=node))
        else:
            node.text = token.text
        message.fields.setdefault(name, []).append(node)
        self._last = node if token.kind != "mark" else None
        return len(self._open) < _DEEPEST

    def _close(self, token: _Token) -> bool:
        if len(self._open) == 1:
            return False
        inner = self._open.pop()
        if inner.listed:
            for each in inner.message.fields.get(inner.listed, [])[inner.before :]:
                each.whole = inner.start, token.end
            self._last = None
        else:
            inner.message.end, self._last = token.end, inner.message
        self._name = None
        return True
