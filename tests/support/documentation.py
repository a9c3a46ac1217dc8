"""The code blocks of the README and the documentation, with the comment above each that says how it is tested.

| comment above the block | block | what tests do |
|---|---|---|
| `<!-- tested -->` | sh, console | run it in a clean clone; see `tests/e2e/test_install.py` |
| `<!-- tested in test-slow -->` | sh, console | the same, in `make test-slow` |
| `<!-- file: NAME -->` | any | write the file for the commands of the page, which then run in a folder of their own |
| `<!-- spec -->` | yaml | load it as a spec |
| `<!-- spec: models.NAME -->` | yaml | load it as the keys of one model |
| `<!-- spec: top -->` | yaml | load it as keys beside `models` |
| `<!-- untested: REASON -->` | any | nothing |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import CHECKOUT

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    """Relative to the checkout."""
    line: int
    language: str
    mark: str
    """The text of the comment above it; empty without one."""
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block is."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


def pages() -> list[Path]:
    """The README and every page of the documentation, relative to the checkout."""
    return [Path("README.md"), *sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 1
        yield Block(page, line, found["language"], found["mark"] or "", found["text"])
