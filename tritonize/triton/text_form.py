"""Protobuf's text format as Triton reads it: what the Python parser takes beyond that is refused.

Triton parses `config.pbtxt` with protobuf's C++ parser (`io/tokenizer.cc`, `text_format.cc`). The Python one also takes
blanks that are not ASCII, such as the no-break space of a text copied from a web page, numbers as Python writes them
(`1_000`, `0b11`, `+2`), and other escapes in texts. A configuration that only the Python parser reads is one that Triton refuses.
"""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

_M = TypeVar("_M", bound=Message)
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n\v\f]+|\#[^\n]*)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<number>[0-9.][\w.+-]*)|(?P<mark>[-{}<>\[\]:,;/"'])|(?P<other>.)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = set("abfnrtv\\'\"01234567xXuU")
_PYTHON_NUMBER = re.compile(r".*_|0[bBoO]")


def parse(text: str, message: _M) -> _M:
    """Parse a text into a message, and return the message.

    Raises:
        text_format.ParseError: Triton would refuse the text; the error has line and column.
    """
    for token in _TOKEN.finditer(text):
        if reason := _reason(token):
            line = text.count("\n", 0, token.start()) + 1
            column = token.start() - text.rfind("\n", 0, token.start())
            raise text_format.ParseError(f"{reason}.", line=line, column=column)
    return text_format.Parse(text, message)


def _reason(token: re.Match[str]) -> str:
    """What only the Python parser takes; empty if there is nothing."""
    found = token[0]
    if token.lastgroup == "other":
        return f"The character U+{ord(found):04X} outside of texts and comments, which Triton does not accept"
    if token.lastgroup == "number" and _PYTHON_NUMBER.match(found):
        return f"The number {found}, which Triton does not accept"
    if token.lastgroup == "text" and (odd := [each for each in _ESCAPE.findall(found) if each not in _ESCAPES]):
        return f"The escape \\{odd[0]} in a text, which Triton does not accept, or reads otherwise"
    return ""
