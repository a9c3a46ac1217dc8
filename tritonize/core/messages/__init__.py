"""The catalogue of user-facing messages: one `Message` per finding, with a code that tests and scripts can rely on.

The texts may change at any time; a message's code and its fields stay. Each subject has its file: `source.py`, `export.py`,
`samples.py`, and so on. `errors.TritonizeError.of` raises a message as an error; `Message.text` formats it for a report.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """The texts of one error or note. `{name}` in a text is a placeholder that the caller fills."""

    code: str
    """Unique, lower case with hyphens, such as `weights-prefix`; never changed once released."""
    what: str
    """What failed or was found, in one sentence."""
    cause: str | None = None
    """The most common cause."""
    next_step: str | None = None
    """The command to run or the change to make."""

    def text(self, **values: object) -> str:
        """Format `what`. Braces inside the values are kept as they are.

        Raises:
            KeyError: a value is missing.
        """
        return self.what.format(**values)
