"""Follow a number that was read from a tensor through a function and its callers, to find the conditions that it enters.

Example: `m = x.max().item()`, then `if m > 100:`. `m` may differ between samples where the condition does not, so each condition is
observed separately. Runs in a worker process.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any  # Any: fields of `ast` nodes depend on their kind

import torch

from tritonize.export.worker import harmless_decisions

Range = tuple[int, int, int, int]
"""Location of an expression in its file: first line, column, last line, column behind the end."""
_PASSING = {
    "any",
    "all",
    "set",
    "int",
    "float",
    "complex",
    "bool",
    "abs",
    "min",
    "max",
    "round",
    "len",
    "sum",
    "list",
    "tuple",
    "sorted",
    "divmod",
    "pow",
    "hash",
    "bytes",
    "bytearray",
    "memoryview",
}
"""Built-in functions whose result is followed in place of their argument."""
_COUNTING = {"range", "enumerate", "zip", "reversed", "str", "repr", "format", "isinstance"}
"""Built-in functions whose result appears in the traced graph where it matters."""


_HOLDING = (
    ast.keyword
    | ast.Starred
    | ast.BinOp
    | ast.UnaryOp
    | ast.Compare
    | ast.IfExp
    | ast.Tuple
    | ast.List
    | ast.Dict
    | ast.Subscript
    | ast.GeneratorExp
    | ast.ListComp
    | ast.SetComp
    | ast.DictComp
    | ast.JoinedStr
    | ast.FormattedValue
)
"""Expressions that can contain a number."""


@dataclass
class Derived:
    """The uses of a number that was read from a tensor."""

    conditions: set[tuple[str, Range]] = field(default_factory=set)
    """File and location of every condition that the number is a part of."""
    lost: set[str] = field(default_factory=set)
    """Code that the number reaches and that is not followed, each as a phrase."""
    effects: list[str] = field(default_factory=list)
    """Reasons why conditions with the number cannot change an output."""
    computes: bool = False
    """Whether the number enters the computation of an output, or the number of iterations of a loop."""

    @property
    def only_decides(self) -> bool:
        """Whether the number enters nothing but conditions; each of them is observed separately."""
        return bool(self.conditions) and not self.computes and not self.lost


def of(frames: Sequence[tuple[str, Range]], names: Sequence[dict[str, object]]) -> Derived:
    """Find the uses of a number that was read from a tensor.

    Args:
        frames: file and expression of each call that leads to the read, the innermost first.
        names: the global names of each frame.
    """
    found = Derived()
    caught = harmless_decisions.is_caught([(file, place[0]) for file, place in frames])
    in_arrays = False
    for (file, place), known in zip(frames, names, strict=True):
        follower = _Follower(file, known, found, caught=caught, in_arrays=in_arrays)
        if not follower.follow(place):
            return found
        in_arrays = follower.returns_arrays
    found.computes = True  # forward() returns it
    return found


class _Follower:
    """Follows expressions through the function that contains them."""

    def __init__(self, file: str, names: dict[str, object], found: Derived, *, caught: bool, in_arrays: bool) -> None:
        """Prepare to follow expressions in one file.

        Args:
            caught: whether the code catches an exception here and goes on.
            in_arrays: whether the followed value is already in an array or a tensor; then the traced graph shows its further use.
        """
        self._file, self._names, self._found, self._caught = file, names, found, caught
        self._in_arrays = self.returns_arrays = in_arrays
        self._parents = harmless_decisions.parents(file)
        self._seen: set[ast.AST] = set()
        self._returned = False

    def follow(self, place: Range) -> bool:
        """Follow the expression at a location. Returns whether the function returns it or something computed from it."""
        start = next((node for node in self._parents if isinstance(node, ast.expr) and _range(node) == place), None)
        if start is None:
            self._found.lost.add("an expression that cannot be read")
            return False
        self._go(start)
        return self._returned

    def _go(self, node: ast.AST) -> None:
        """Step from a node that contains the number to its parent."""
        if node in self._seen:
            return
        self._seen.add(node)
        parent = self._parents[node]
        if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and node is parent.test:
            self._condition(node, parent)
        elif isinstance(parent, ast.BoolOp):
            self._condition(node, parent)
            self._go(parent)
        elif isinstance(parent, ast.comprehension):
            self._round(node, parent)
        elif isinstance(parent, ast.Call):
            self._call(node, parent)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr | ast.For):
            self._assigned(node, parent)
        elif isinstance(parent, ast.Return):
            self.returns_arrays = self._in_arrays and (self.returns_arrays or not self._returned)
            self._returned = True
        elif isinstance(parent, _HOLDING):
            self._go(parent)
        elif isinstance(parent, ast.Attribute):
            self._go_in_arrays(parent)
        else:
            self._ends(parent)

    def _ends(self, parent: ast.AST) -> None:
        """Handle a parent where the number is used up, or cannot be followed further."""
        if isinstance(parent, ast.Slice):
            self._found.computes = True
        elif isinstance(parent, ast.Expr | ast.Delete):
            self._found.effects.append("nothing reads it")
        elif isinstance(parent, ast.Raise) and not self._caught:
            self._found.effects.append("it is only part of an exception")
        else:
            self._lose(f"a {type(parent).__name__.lower()} statement")

    def _go_in_arrays(self, node: ast.AST) -> None:
        """Follow the result of a method or function that computes; conditions on that result are recorded as decisions."""
        before, self._in_arrays = self._in_arrays, True
        self._go(node)
        self._in_arrays = before

    def _lose(self, where: str) -> None:
        if self._in_arrays:
            self._found.computes = True
        else:
            self._found.lost.add(where)

    def _round(self, node: ast.AST, parent: ast.comprehension) -> None:
        """Handle `for … in … if …` within an expression."""
        if node in parent.ifs:
            self._condition(node, parent)
        elif node is parent.iter:
            holder = self._parents[parent]
            for each in ast.walk(parent.target):
                if isinstance(each, ast.Name):
                    self._loads(each.id, holder)
            self._go(holder)

    def _condition(self, node: ast.AST, parent: ast.AST) -> None:
        if isinstance(node, ast.BoolOp):
            return  # its operands are conditions themselves
        holder = parent
        while isinstance(holder, ast.BoolOp | ast.UnaryOp):
            holder = self._parents[holder]
        if isinstance(holder, ast.stmt) and not self._caught and (why := harmless_decisions.effect(holder)):
            self._found.effects.append(why)
            return
        self._found.conditions.add((self._file, _range(node)))

    def _call(self, node: ast.AST, parent: ast.Call) -> None:
        function = parent.func
        if node is function:
            self._go(parent)  # a method of what was read
        elif isinstance(function, ast.Name) and function.id in _PASSING:
            self._go(parent)
        elif isinstance(function, ast.Name) and function.id in _COUNTING:
            self._go_in_arrays(parent)
        elif isinstance(self._parents[parent], ast.Expr) and harmless_decisions.logs(parent):
            self._found.effects.append("it is only logged")
        elif isinstance(self._parents[parent], ast.Raise):
            self._go(parent)
        elif self._is_arithmetic(function):
            self._go_in_arrays(parent)
            self._written(function, parent)
        else:
            self._lose(f"{ast.unparse(function)}()")

    def _written(self, function: ast.expr, call: ast.Call) -> None:
        """Handle a call that writes the number into an existing object: `kept.fill_(n)`, or `seen.add(n)` of an unknown type."""
        if not isinstance(function, ast.Attribute):
            return
        known = self._named(function) is not None
        if function.attr.endswith("_") and not known and isinstance(function.value, ast.Name):
            before, self._in_arrays = self._in_arrays, True
            self._loads(function.value.id, self._function(call) or call)
            self._in_arrays = before
            self._found.computes = True
            return
        into = function.attr.endswith("_") or any(each.arg == "out" for each in call.keywords)
        if into or (not known and isinstance(self._parents[call], ast.Expr)):
            self._found.lost.add(f"{ast.unparse(function)}()")

    def _named(self, function: ast.expr) -> object:
        """Resolve a dotted name among the global names; `None` if it is unknown."""
        path: list[str] = []
        at = function
        while isinstance(at, ast.Attribute):
            path.insert(0, at.attr)
            at = at.value
        owner = self._names.get(at.id) if isinstance(at, ast.Name) else None
        for part in path:
            owner = getattr(owner, part, None) if owner is not None else None
        return owner

    def _is_arithmetic(self, function: ast.expr) -> bool:
        """Whether it is a function of torch, numpy or math, or a tensor method: the traced graph shows their result."""
        owner = self._named(function)
        if owner is not None:
            return str(getattr(owner, "__module__", None) or "").partition(".")[0] in ("torch", "numpy", "math", "builtins")
        if not isinstance(function, ast.Attribute):
            return False
        is_self = isinstance(function.value, ast.Name) and function.value.id == "self"
        return not is_self and hasattr(torch.Tensor, function.attr)

    def _assigned(self, node: ast.AST, parent: Any) -> None:
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        if isinstance(parent, ast.NamedExpr):
            self._go(parent)
        function = self._function(parent)
        for target in targets:
            for each in ast.walk(target):
                if isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store):
                    self._found.lost.add(ast.unparse(each))
                elif isinstance(each, ast.Name) and node is not target:
                    self._named_so(each.id, function)

    def _named_so(self, name: str, function: ast.AST | None) -> None:
        """Follow a local variable with the number; global and nonlocal ones are not followed."""
        if function is None or name in harmless_decisions.shared(function):
            self._found.lost.add(f"the variable {name}")
        else:
            self._loads(name, function)

    def _loads(self, name: str, function: ast.AST) -> None:
        for each in ast.walk(function):
            if isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load):
                self._go(each)

    def _function(self, node: ast.AST) -> ast.AST | None:
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.FunctionDef | ast.Lambda):
            at = self._parents.get(at)
        return at


def _range(node: Any) -> Range:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
