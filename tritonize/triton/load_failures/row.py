"""One row of the tables: a message of the server and what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadFailure:
    """A message, as a regular expression, and its explanation. `{name}` in a text is a named group of the expression."""

    code: str
    """Unique, lower case with hyphens."""
    pattern: str
    """Searched in the message."""
    cause: str
    fix: str
    """The change to make or the command to run."""
    where: str
    """The file, and the field in it, that has to change."""
    source: str
    """The repository and source file of the message, or the thread that quotes it if the source is closed."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a message means, for one model."""

    code: str
    cause: str
    fix: str
    where: str
