"""Print docs/modules.md: every folder and module of the package by floor, with the first line of its docstring.

`python scripts/module_table.py > docs/modules.md` (`make modules`); a test holds the file to it. The floors come from
`.importlinter`, so neither can go stale.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tritonize"


def floors() -> list[list[str]]:
    """Folders and modules from the top floor to the lowest; those on one floor do not import each other."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    lines = parser["importlinter:contract:layers"]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def docstring(path: Path) -> str:
    """Of a module or folder; empty where there is none."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def table(folder: Path) -> Iterator[str]:
    """One row per module, then the same for the folders inside."""
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    if modules:
        yield from ("", "| module | what it does |", "|---|---|")
        for path in modules:
            yield f"| `{path.name}` | {docstring(path).splitlines()[0]} |"
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
        yield from ("", f"**`{inner.relative_to(PACKAGE)}/`** {docstring(inner / '__init__.py')}".rstrip())
        yield from table(inner)


def lines() -> Iterator[str]:
    """The whole page."""
    yield "# Modules"
    yield ""
    yield "Written by `make modules` from the docstrings and from `.importlinter`. A module imports from lower floors alone;"
    yield "folders on one floor do not import each other; a `worker/` folder runs in a worker process and is never imported"
    yield "by the code that starts it. `docs/design.md` says why."
    for number, names in enumerate(floors(), 1):
        yield from ("", f"## {number}. {', '.join(f'`{name}`' for name in names)}")
        for name in names:
            folder = PACKAGE / name
            if folder.is_dir():
                yield from ("", f"### `{name}/`", "", docstring(folder / "__init__.py"))
                yield from table(folder)
            else:
                yield from ("", f"### `{name}.py`", "", docstring(folder.with_suffix(".py")))


if __name__ == "__main__":
    print("\n".join(lines()))
