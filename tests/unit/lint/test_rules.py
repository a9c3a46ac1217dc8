"""Every rule finds the model that breaks it and leaves the other one alone; the pages say what the rules say."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import lint_cases
from tests.support.command import CHECKOUT
from tritonize.lint import catalogue
from tritonize.lint.repository import Repository
from tritonize.lint.rule import Diagnostic


@pytest.fixture(scope="module")
def diagnostics(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Diagnostic]]:
    """Of all models of the table, by name."""
    root = lint_cases.write(tmp_path_factory.mktemp("lint") / "repository")
    found: dict[str, list[Diagnostic]] = {}
    for each in Repository(root).lint():
        found.setdefault(each.model, []).append(each)
    return found


def test_every_rule_has_a_case() -> None:
    assert sorted({*(name[:5] for name in lint_cases.CASES), *lint_cases.ELSEWHERE}) == sorted(catalogue.RULES)


@pytest.mark.parametrize("name", lint_cases.CASES)
def test_the_rule_finds_the_model_that_breaks_it(name: str, diagnostics: Mapping[str, list[Diagnostic]]) -> None:
    found = diagnostics[lint_cases.CASES[name].name or f"{name.lower()}_wrong"]
    assert {each.rule.id for each in found} - lint_cases.FOLLOWS.get(name, set()) == {name[:5]}


@pytest.mark.parametrize("name", [*(f"{each.lower()}_right" for each in lint_cases.CASES), *lint_cases.PARTS])
def test_no_rule_finds_anything_in_a_model_that_breaks_none(name: str, diagnostics: Mapping[str, list[Diagnostic]]) -> None:
    assert diagnostics.get(name, []) == []


def test_a_diagnostic_in_a_configuration_has_the_line_of_its_field(diagnostics: Mapping[str, list[Diagnostic]]) -> None:
    (dim,) = [each for each in diagnostics["tr205_wrong"] if each.rule.id == "TR205"]
    assert dim.path == "tr205_wrong/config.pbtxt"
    line = lint_cases.CASES["TR205"].wrong.config.splitlines()[dim.line - 1]
    assert line[dim.column - 1 :].startswith("0 ]")


@pytest.mark.parametrize("rule", catalogue.RULES.values(), ids=catalogue.RULES)
def test_a_rule_is_written_whole(rule) -> None:
    assert rule.id.startswith("TR")
    assert rule.id[2] in catalogue.SUBJECTS
    assert rule.what.endswith(".")
    assert not rule.fix.endswith(".")
    assert rule.why
    assert rule.wrong != rule.right


def test_the_names_of_rules_are_unique() -> None:
    assert len({rule.name for rule in catalogue.RULES.values()}) == len(catalogue.RULES)


def test_the_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("lint_pages", CHECKOUT / "scripts/lint_pages.py")
    assert spec is not None
    assert spec.loader is not None
    lint_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lint_pages)
    folder: Path = lint_pages.FOLDER
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert written == dict(lint_pages.pages()), "run `make lint-pages`"
