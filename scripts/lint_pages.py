"""Write docs/lint: one page per lint rule, and an index. `make lint-pages` runs it; a test holds the pages to the rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tritonize.lint import catalogue

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "lint"


def pages() -> Mapping[str, str]:
    """File name to content."""
    return {"README.md": catalogue.index(), **{f"{name}.md": catalogue.page(rule) for name, rule in catalogue.RULES.items()}}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        path.unlink()
    for name, content in pages().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
