"""docs/modules.md is what the docstrings and the floors say."""

from __future__ import annotations

import importlib.util

from tests.support.command import CHECKOUT


def test_the_table_of_modules_is_current_and_every_module_has_a_docstring() -> None:
    spec = importlib.util.spec_from_file_location("module_table", CHECKOUT / "scripts/module_table.py")
    assert spec is not None
    assert spec.loader is not None
    module_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module_table)
    lines = "\n".join(module_table.lines()).splitlines()
    assert (CHECKOUT / "docs/modules.md").read_text(encoding="utf-8").splitlines() == lines, "run `make modules`"
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) > 250
    assert [row for row in rows if not row.split(" | ", 1)[1].strip(" |")] == []
