"""What a lint rule is, and what it reports: a diagnostic with its place, what was found, and what is expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""In descending order."""

Verdict = Literal["refuses", "completes", "accepts", "depends"]
"""What Triton does with a model that breaks the rule.

`completes`: it fills in what is missing, and refuses the model if auto-complete is disabled. `depends`: on the backend or on the
server's options.
"""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; its documentation page is generated from it."""

    id: str
    """`TR` and three digits, of which the first is the subject; an id keeps its meaning."""
    name: str
    """Words joined by hyphens."""
    severity: Severity
    triton: Verdict
    what: str
    """One sentence about a model that breaks the rule."""
    why: str
    """The reason, and where Triton applies the rule."""
    fix: str
    """What to change, as an imperative."""
    wrong: str
    """An example that breaks the rule: part of a config.pbtxt, or a listing of files."""
    right: str
    """The same, corrected."""
    fixable: bool = False
    """Whether `--fix` can correct it."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A replacement in a text file."""

    start: int
    """Offset of the first character that is replaced."""
    end: int
    """Offset behind the last one."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One place where a model breaks a rule."""

    rule: Rule
    model: str
    """The model's name; empty for the repository as a whole."""
    path: str
    """The file or directory, relative to the repository."""
    line: int | None = None
    """The line, from 1; `None` if the finding is not about a line."""
    column: int | None = None
    found: str
    expected: str | None = None
    edit: Edit | None = None
    """The change that `--fix` makes."""
    triton: Verdict
    """What Triton does in this case."""
