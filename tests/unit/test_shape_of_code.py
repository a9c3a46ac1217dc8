"""The shape of the code: small functions and modules, arguments by name where there are many, no decision on a sentence."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonize

CODE = Path(tritonize.__file__).parent
POSITIONAL, FUNCTION_LINES, MODULE_LINES = 3, 60, 300
REASON = "Longer than 300 lines: "
"""What starts the line of a module's docstring that says why it is longer."""

CALLED_BY_LIBRARIES = {
    "export/worker/decompositions.py": "torch.export calls a decomposition as the operator that it replaces",
    "export/worker/orderings.py": "the same",
    "export/worker/symbolic_sizes.py": "the same",
    "reference/worker/recompute.py": "torch calls a replaced convolution as its own",
    "triton/config_template.py": "Jinja calls `call_binop`",
    "backends/plans/runner.py": "TensorRT calls its output allocator",
    "backends/plans/bindings.py": "TensorRT's methods, as its bindings declare them",
    "process/guard_argv.py": "ptrace(2) has four arguments",
}
"""Modules with functions whose signature a library gives, with the reason."""

TEXTS_OF_OTHERS = {
    "triton/client/refusals.py": "Triton says these in a text alone",
}
"""Modules that decide by the text of an error, with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def modules() -> tuple[tuple[str, ast.Module, str], ...]:
    texts = {path.relative_to(CODE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(CODE.rglob("*.py"))}
    return tuple((name, ast.parse(text), text) for name, text in texts.items())


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def many_positional(tree: ast.Module) -> Iterator[str]:
    """Functions that take more than `POSITIONAL` arguments by position, besides `self` and `cls`."""
    methods = {id(node) for each in ast.walk(tree) if isinstance(each, ast.ClassDef) for node in each.body}
    for node in functions(tree):
        static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
        own = 1 if id(node) in methods and not static else 0
        count = len(node.args.posonlyargs) + len(node.args.args) - own
        if count > POSITIONAL and node.args.vararg is None:  # what comes before `*arguments` cannot be given by name
            yield f"{node.lineno} {node.name}: {count}"


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in functions(tree):
        count = (node.end_lineno or 0) - node.lineno + 1
        if count > FUNCTION_LINES:
            yield f"{node.lineno} {node.name}: {count} lines"


def unnamed_results(tree: ast.Module) -> Iterator[str]:
    """Public functions that return several unlike things without names."""
    inner = {id(each) for node in functions(tree) for each in ast.walk(node) if each is not node}
    for node in functions(tree):
        if node.name.startswith("_") or id(node) in inner or not isinstance(node.returns, ast.Subscript):
            continue
        if ast.unparse(node.returns.value) == "tuple" and isinstance(node.returns.slice, ast.Tuple):
            kinds = [ast.unparse(each) for each in node.returns.slice.elts]
            if "..." not in kinds and len(set(kinds)) > 1:
                yield f"{node.lineno} {node.name}: {', '.join(kinds)}"


def calls_of_locals(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "locals":
            yield f"{node.lineno} locals()"


def decisions_on_sentences(tree: ast.Module) -> Iterator[str]:
    """`"words" in error.found`, `error.what.startswith(...)` and the like."""

    def is_sentence(node: ast.expr) -> bool:
        return any(isinstance(each, ast.Attribute) and each.attr in ("what", "found", "cause", "note") for each in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            if isinstance(node.left, ast.Constant | ast.Name) and is_sentence(node.comparators[0]):
                yield f"{node.lineno} {ast.unparse(node)}"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith", "find")
            and is_sentence(node.func.value)
        ):
            yield f"{node.lineno} {ast.unparse(node)}"


def found(check, exempt: dict[str, str] | None = None) -> list[str]:
    return [f"{name}:{each}" for name, tree, _ in modules() if name not in (exempt or {}) for each in check(tree)]


def test_functions_with_many_arguments_take_them_by_keyword() -> None:
    assert found(many_positional, CALLED_BY_LIBRARIES) == []


def test_functions_are_short() -> None:
    assert found(long_functions) == []


def test_results_of_different_kinds_have_names() -> None:
    assert found(unnamed_results) == []


def test_no_function_passes_its_locals() -> None:
    assert found(calls_of_locals) == []


def test_no_decision_depends_on_a_sentence() -> None:
    assert found(decisions_on_sentences, TEXTS_OF_OTHERS) == []


def test_long_modules_give_the_reason() -> None:
    long = {name: ast.get_docstring(tree) or "" for name, tree, text in modules() if len(text.splitlines()) > MODULE_LINES}
    assert {name for name, words in long.items() if REASON not in words} == set()


@pytest.mark.parametrize("listed", [CALLED_BY_LIBRARIES, TEXTS_OF_OTHERS])
def test_every_listed_exception_exists(listed: dict[str, str]) -> None:
    assert [name for name in listed if not (CODE / name).is_file()] == []


@pytest.mark.parametrize(
    ("check", "text", "count"),
    [
        (many_positional, "def f(a, b, c, d): ...", 1),
        (many_positional, "class A:\n    def f(self, a, b, c): ...\n    def g(self, a, b, c, d): ...", 1),
        (many_positional, "def f(a, b, c, *, d, e): ...", 0),
        (long_functions, "def f():\n" + "    pass\n" * FUNCTION_LINES, 1),
        (long_functions, "def f():\n" + "    pass\n" * (FUNCTION_LINES - 1), 0),
        (unnamed_results, "def f() -> tuple[int, str]: ...", 1),
        (unnamed_results, "class A:\n    def f(self) -> tuple[int, str]: ...", 1),
        (unnamed_results, "def f() -> tuple[int, int]: ...\ndef g() -> tuple[int, ...]: ...\ndef _h() -> tuple[int, str]: ...", 0),
        (calls_of_locals, "def f():\n    return g(**locals())", 1),
        (decisions_on_sentences, "if error.what.startswith('The model raised'): ...", 1),
        (decisions_on_sentences, "if 'in use' not in str(error.found): ...", 1),
        (decisions_on_sentences, "if error.code == 'model-raised': ...", 0),
    ],
)
def test_planted_violations_are_found(check, text: str, count: int) -> None:
    assert len(list(check(ast.parse(text)))) == count
