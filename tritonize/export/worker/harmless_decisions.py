"""Find branches on data that cannot change an output, because the other side raises or only logs. Runs in a worker process."""

from __future__ import annotations

import ast
import functools
import linecache
import os
from collections.abc import Sequence
from pathlib import Path

LOGGING = {"warn", "warning", "warning_once", "warn_once", "debug", "info", "error", "print", "pprint", "pp", "log"}
"""Functions and methods whose call does not change an output."""

_LIBRARY = str(Path(os.__file__).parent) + os.sep
"""Folder of Python's standard library, which has `logging` and `pprint`."""
_TEXTS = ("__repr__", "__str__", "__format__", "extra_repr")


def reason(frames: Sequence[tuple[str, int]]) -> str:
    """Return why a decision cannot change an output, from the statement that takes it; empty if it may change one.

    Args:
        frames: file and line of the calls that lead to it, the innermost first. If a statement only returns the decision, its
        caller
            is looked at next. If one of the calls is in a `try` whose handlers go on, an exception can change an output.
    """
    if is_caught(frames):
        return ""
    for file, line in frames:
        statement, function = _statement(file, line)
        if statement is None:
            return ""
        if isinstance(statement, ast.Return):
            continue
        return effect(statement, function)
    return ""


def is_caught(frames: Sequence[tuple[str, int]], kinds: Sequence[str] = ()) -> bool:
    """Whether one of the calls is in a `try` or a `contextlib.suppress` that catches an exception and goes on.

    Args:
        frames: file and line of each call.
        kinds: class names; a handler counts if it catches one of them. The empty name stands for a bare `except`. By default
            every handler counts.
    """
    return any(_catches(node, line, kinds) for file, line in frames for node in ast.walk(tree(file) or ast.Module([], [])))


def _catches(node: ast.AST, line: int, kinds: Sequence[str]) -> bool:
    if isinstance(node, ast.Try) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or line):
        return any(not _raises(each.body) and _takes(each.type, kinds) for each in node.handlers)
    if isinstance(node, ast.With) and node.lineno <= line <= (node.end_lineno or line):
        calls = [each.context_expr for each in node.items if isinstance(each.context_expr, ast.Call)]
        named = [call for call in calls if ast.unparse(call.func).rpartition(".")[2] == "suppress"]
        return any(_takes(each, kinds) for call in named for each in call.args)
    return False


def _takes(handler: ast.expr | None, kinds: Sequence[str]) -> bool:
    """Whether a handler names one of the kinds."""
    if not kinds or handler is None:
        return not kinds or "" in kinds
    return any(getattr(each, "id", getattr(each, "attr", None)) in kinds for each in ast.walk(handler))


@functools.cache
def tree(file: str) -> ast.Module | None:
    """Parse a file; `None` if it does not exist or does not hold valid Python."""
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None


@functools.cache
def parents(file: str) -> dict[ast.AST, ast.AST]:
    """Map every node of a file's syntax tree to its parent."""
    parsed = tree(file)
    return {part: node for node in (ast.walk(parsed) if parsed else ()) for part in ast.iter_child_nodes(node)}


def only_logged(frames: Sequence[tuple[str, int, str]]) -> bool:
    """Whether a string is built only for a log: by Python's standard library, or in a `__repr__`, for a statement that logs.

    Args:
        frames: file, line and function of the calls that lead to it, the innermost first.
    """
    if any(file.startswith(_LIBRARY + "logging" + os.sep) for file, _, _ in frames):
        return True  # regardless of the log handlers
    for file, line, function in frames:
        statement, _ = _statement(file, line)
        if statement is not None and _logs(statement):
            return True
        if not file.startswith((_LIBRARY, "<")) and function not in _TEXTS:
            return False
    return False


def _statement(file: str, line: int) -> tuple[ast.stmt | None, ast.AST | None]:
    """Find the innermost statement whose head covers a line (an `if` up to its colon), and the function around it."""
    found: ast.stmt | None = None
    function: ast.AST | None = None
    parsed = tree(file)
    for node in ast.walk(parsed) if parsed else ():
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        if isinstance(node, ast.FunctionDef):
            function = node  # ast.walk visits outer functions first
        elif line <= _head_end(node) and not (isinstance(found, ast.If) and node in found.body):  # `if bad: raise` in one line
            found = node
    return found, function


def _head_end(node: ast.stmt) -> int:
    if isinstance(node, ast.If | ast.While):
        return node.test.end_lineno or node.lineno
    if isinstance(node, ast.For):
        return node.iter.end_lineno or node.lineno
    if isinstance(node, ast.With | ast.Try | ast.ClassDef | ast.Match):
        return node.lineno
    return node.end_lineno or node.lineno


def effect(statement: ast.stmt, function: ast.AST | None = None) -> str:
    """Return why the value that a statement reads cannot change an output; empty if it may."""
    if isinstance(statement, ast.Assert):
        return "an assertion: the other side raises"
    if isinstance(statement, ast.If):
        return _of_branches(statement)
    if _logs(statement):
        return "it is only logged"
    if isinstance(statement, ast.Assign) and function is not None and len(statement.targets) == 1:
        return _of_variable(statement, function)
    return ""


def _of_branches(statement: ast.If) -> str:
    if _raises(statement.body) or _raises(statement.orelse):
        return "the other side raises"
    if all(_logs(each) for each in (*statement.body, *statement.orelse)):
        return "both sides only log"
    return ""


def _of_variable(statement: ast.Assign, function: ast.AST) -> str:
    """Handle a variable that only harmless statements read: `bad = bool(x.any())`, then `if bad: raise`."""
    target = statement.targets[0]
    if not isinstance(target, ast.Name) or not isinstance(function, ast.FunctionDef) or target.id in shared(function):
        return ""
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node not in (function, statement)]
    reasons = [effect(node) for node in statements if _uses(node, target.id)]
    return reasons[0] if reasons and all(reasons) else ""


def shared(function: ast.AST) -> set[str]:
    """Return the names that a function declares `global` or `nonlocal`."""
    declared = (each for each in ast.walk(function) if isinstance(each, ast.Global | ast.Nonlocal))
    return {name for each in declared for name in each.names}


def _uses(node: ast.stmt, name: str) -> bool:
    """Whether the statement itself, without nested statements, reads the variable."""
    parts: list[ast.AST] = [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.stmt)]
    return any(isinstance(each, ast.Name) and each.id == name for part in parts for each in ast.walk(part))


def _raises(body: Sequence[ast.stmt]) -> bool:
    """Whether a block always ends in an exception."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.If):
        return _raises(last.body) and _raises(last.orelse)
    leaves = ast.Return | ast.Break | ast.Continue
    return isinstance(last, ast.Raise) and not any(isinstance(each, leaves) for part in body for each in ast.walk(part))


def _logs(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if not isinstance(statement, ast.Expr):
        return False
    if isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement.value, ast.Call) and logs(statement.value)


def logs(call: ast.Call) -> bool:
    """Whether a call only logs. Pass a call that is a whole statement: within an expression, `math.log(x)` has such a name too."""
    called = call.func
    if any(each.arg == "file" and not ast.unparse(each.value).startswith("sys.std") for each in call.keywords):
        return False  # the model may read that file
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return name in LOGGING
