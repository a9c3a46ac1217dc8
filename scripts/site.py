"""Build the documentation site from docs/ into build/docs/site; a broken link or heading fails. `make docs` runs it.

The pages are read on GitHub too, so they link to files outside docs/, such as ../examples/heart, by their paths. A site has no such
files: there, these links lead to the repository. The navigation is the lists of docs/index.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SETTINGS = ROOT / "zensical.toml"
REPOSITORY = str(tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["project"]["repo_url"])


def on_the_site(text: str, page: Path) -> str:
    """A page whose links to files outside docs/ lead to the repository."""

    def rewritten(link: re.Match[str]) -> str:
        name, _, anchor = link[1].partition("#")
        if not name or re.match(r"[a-z]+:", name):
            return link[0]
        path = Path(os.path.normpath(page.parent / name))
        if path.is_relative_to(DOCS) and path.is_file():
            return link[0]
        kind = "tree" if path.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{path.relative_to(ROOT)}{'#' + anchor if anchor else ''})"

    return re.sub(r"\]\(([^)\s]+)\)", rewritten, text)


def main() -> int:
    """Build the site; the exit code of Zensical."""
    source = ROOT / "build" / "docs" / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(DOCS, source)
    for page in DOCS.rglob("*.md"):
        copy = source / page.relative_to(DOCS)
        copy.write_text(on_the_site(page.read_text(encoding="utf-8"), page), encoding="utf-8")
    command = (sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(SETTINGS))
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
