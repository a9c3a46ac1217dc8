"""The configuration of a model of which one chosen version is served: its proven configuration with another version policy.

`promote` and `rollback` write it. Every byte follows from the copy of the proven configuration in the version's evidence, so the
integrity check accepts exactly this text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_FIELD = "version_policy"
_MARK = "# Written by tritonize promote or rollback: the proven configuration of version {version}, which alone is served."
_POLICY = _FIELD + " {{ specific {{ versions: [ {version} ] }} }}"
_END = re.compile(
    re.escape(_MARK).replace(r"\{version\}", r"(\d+)") + r"\n" + _FIELD + r" \{ specific \{ versions: \[ \1 \] \} \}\n\Z"
)
_TOKEN = re.compile(r"""\#[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \w+ | [^\s\w]""", re.VERBOSE)
"""A comment, a string, a word or a sign of protobuf's text format."""
_OPENING, _CLOSING = "{<[", "}>]"


def with_pin(proven: str, version: int) -> str:
    """Return a proven configuration whose version policy serves one version.

    Args:
        proven: the text of the configuration that the version was proven with. Everything but its version policy stays.
        version: the version's number.
    """
    lines = (_without_policy(proven).rstrip(), _MARK.format(version=version), _POLICY.format(version=version), "")
    return "\n".join(lines)


def with_policy(text: str, versions: Sequence[int]) -> str:
    """Return a configuration whose version policy names these versions; everything else stays."""
    policy = f"{_FIELD} {{ specific {{ versions: [ {', '.join(map(str, versions))} ] }} }}"
    return "\n".join((_without_policy(text).rstrip(), policy, ""))


def pinned_version(text: str) -> int | None:
    """Return the version that a configuration claims to be pinned to; `None` if `with_pin` did not write it."""
    found = _END.search(text)
    return int(found[1]) if found else None


def _without_policy(text: str) -> str:
    """Remove the version policy of the model from a configuration in protobuf's text format."""
    for start, end in _policies(text):
        return text[:start] + text[end:].lstrip(" \t\n")
    return text


def _policies(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each top-level field `version_policy` begins and ends, with the separator after it."""
    depth, start, ended = 0, None, None
    for token in _TOKEN.finditer(text):
        if token[0].startswith("#"):
            continue
        if ended is not None:
            yield ended[0], token.end() if token[0] in ",;" else ended[1]
            ended = None
        if token[0] in _OPENING:
            depth += 1
        elif token[0] in _CLOSING:
            depth -= 1
            if depth == 0 and start is not None:
                ended, start = (start, token.end()), None
        elif depth == 0 and token[0] == _FIELD:
            start = token.start()
    if ended is not None:
        yield ended
