"""docs/reference is what the code says, and nothing that a user sets is without a description."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.command import CHECKOUT
from tritonize.cli.commands import ENTRIES, load
from tritonize.core import environment, errors, exit_codes
from tritonize.spec.schema import Spec


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", CHECKOUT / "scripts/reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = _pages()


@pytest.mark.parametrize("page", PAGES.PAGES)
def test_the_page_is_current(page: str) -> None:
    written = (CHECKOUT / "docs/reference" / page).read_text(encoding="utf-8")
    assert written.splitlines() == PAGES.page_text(page).splitlines(), "run `make reference`"


def test_the_width_of_the_terminal_changes_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    before = PAGES.page_text("cli.md")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERMINAL_WIDTH", "40")
    assert PAGES.page_text("cli.md") == before


def test_every_field_of_a_spec_has_a_description() -> None:
    schema = Spec.model_json_schema(by_alias=True)
    sections = {"Spec": schema, **schema["$defs"]}
    fields = [(f"{name}.{key}", field) for name, each in sections.items() for key, field in each.get("properties", {}).items()]
    assert len(fields) > 90
    assert [name for name, field in fields if not field.get("description")] == []


def _commands(name: str, command: object) -> Iterator[tuple[str, object]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {word}", inner)


def test_every_command_argument_and_option_has_a_help_text() -> None:
    commands = [pair for entry in ENTRIES for pair in _commands(entry.name, load(entry))]
    parameters = [(f"{name}: {each.name}", each) for name, command in commands for each in command.params]  # type: ignore[attr-defined]
    assert len(parameters) > 200
    assert [name for name, command in commands if not command.help] == []  # type: ignore[attr-defined]
    assert [name for name, each in parameters if not each.help] == []


def test_every_field_of_a_report_has_a_description() -> None:
    rows = [line for line in PAGES.page_text("report-json.md").splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_environment_variable_that_the_code_reads_is_in_the_table() -> None:
    sources = [*(CHECKOUT / "tritonize").rglob("*.py"), *(CHECKOUT / "tritonize").rglob("*.c"), CHECKOUT / "hatch_build.py"]
    read = re.compile(r"""(?:environ(?:\.get\(|\.pop\(|\[)|getenv\()["']([A-Z_0-9]+)["']|["'](TRITONIZE_[A-Z_]+)["']""")
    found = {a or b for path in sources for a, b in read.findall(path.read_text(encoding="utf-8"))}
    assert {"TRITONIZE_CACHE", "TRITONIZE_MACHINE", "TRITONIZE_TENSORRT", "CC"} <= found
    assert found - {each.name for each in environment.TABLE} - {"PATH"} == set()


def test_every_exit_code_has_a_meaning() -> None:
    used = {kind.exit_code for kind in errors._KINDS.values()}
    assert used | {errors.EXIT_OK, errors.EXIT_BUG} == set(exit_codes.MEANINGS)
