"""What tritonize says to people, in one place: a message per finding, with a code that tests and scripts can rely on.

The wording may change at any time; a message's code and the fields it is raised with stay. There is one file per subject:
`source.py`, `export.py`, `samples.py`, and so on. A message is raised by `errors.TritonizeError.of`, or written into a report by
`Message.text`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """One thing that can be said; `{name}` in a text stands for a value that is given when it is said."""

    code: str
    """Unique, lower case with hyphens, such as `weights-prefix`; never changed once released."""
    what: str
    """What happened, in one sentence."""
    cause: str | None = None
    """The usual reason."""
    next_step: str | None = None
    """What to type or change."""

    def text(self, **values: object) -> str:
        """The sentence with its values; the values themselves may hold braces.

        Raises:
            KeyError: a value is missing.
        """
        return self.what.format(**values)
