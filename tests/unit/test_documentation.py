"""The pages that people read: the README is short, every page can be found, and every link leads somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT

PAGES = sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "docs").rglob("*.md"))
READ = [Path("README.md"), Path("CONTRIBUTING.md"), Path("SECURITY.md"), Path("CHANGELOG.md"), *PAGES]


def text_of(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", (CHECKOUT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of each link to the project's own files."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            yield (CHECKOUT / page.parent / name if name else CHECKOUT / page), anchor


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(path.relative_to(CHECKOUT)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", READ, ids=str)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor in links(page):
        assert path.exists(), f"{page}: {path}"
        assert not anchor or anchor in anchors(path.resolve()), f"{page}: #{anchor} in {path}"


def test_the_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text().splitlines()) <= 120


def test_the_index_leads_to_every_page() -> None:
    """Pages of lint rules and decisions have an index of their own, which this one leads to."""
    indexes = [Path("docs/index.md"), Path("docs/lint/README.md"), Path("docs/design/decisions/README.md")]
    found = {path.resolve() for page in indexes for path, _ in links(page)}
    assert [page for page in PAGES if page not in indexes[:1] and (CHECKOUT / page).resolve() not in found] == []


def test_the_navigation_of_the_site_has_every_page() -> None:
    """Pages of lint rules and decisions are listed by their own index."""

    def pages(entry: object) -> Iterator[str]:
        match entry:
            case str():
                yield entry
            case list() | dict():
                for inner in entry.values() if isinstance(entry, dict) else entry:
                    yield from pages(inner)

    listed = set(pages(tomllib.loads((CHECKOUT / "zensical.toml").read_text())["project"]["nav"]))
    ours = {str(page.relative_to("docs")) for page in PAGES}
    assert listed == {page for page in ours if not re.match(r"lint/TR|design/decisions/\d", page)}
