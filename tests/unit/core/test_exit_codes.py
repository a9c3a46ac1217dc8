"""One cause, one exit code: a sentence, or a message of the catalogue, is raised as errors of one exit code alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tritonize.core import errors

CODE = Path(errors.__file__).parents[1]
CLASSES = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.TritonizeError)}


def raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Class and cause of every error that is made: `wording.NAME` as its name, a sentence as its source without its values."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr == "of":
            called = called.value
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        if name not in CLASSES:
            continue
        what = node.args[0]
        if isinstance(what, ast.Attribute):
            yield name, what.attr
        elif isinstance(what, ast.Constant):
            yield name, str(what.value)
        elif isinstance(what, ast.JoinedStr):
            yield name, "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in what.values)


def test_every_cause_has_one_exit_code() -> None:
    codes: dict[str, set[int]] = defaultdict(set)
    for path in CODE.rglob("*.py"):
        for name, cause in raised(ast.parse(path.read_text(encoding="utf-8"))):
            codes[cause].add(CLASSES[name].exit_code)
    assert len(codes) > 250  # it did look
    assert {cause: sorted(found) for cause, found in codes.items() if len(found) > 1} == {}


def test_planted_errors_are_found() -> None:
    planted = "raise PlanError.of(files.DATA_MISSING)\nraise errors.UsageError.of(say.DATA_MISSING)\nPlanError(f'The {a} is.')"
    assert list(raised(ast.parse(planted))) == [
        ("PlanError", "DATA_MISSING"),
        ("UsageError", "DATA_MISSING"),
        ("PlanError", "The {} is."),
    ]


def test_every_error_keeps_its_class_over_a_process_boundary() -> None:
    for kind in CLASSES.values():
        again = errors.from_dict(kind("What happened.").to_dict())
        assert (type(again), again.exit_code) == (kind, kind.exit_code)
