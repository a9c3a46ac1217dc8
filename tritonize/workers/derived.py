"""What a number that was read off a tensor decides: the conditions that it goes into, followed through a function and its callers.

`m = x.max().item()`, then `if m > 100:`. That `m` differs from sample to sample says nothing of the condition, so each condition is
watched by itself. Runs inside a worker.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch

from tritonize.workers import harmless

Range = tuple[int, int, int, int]
"""First line, column, last line, column behind the end: where an expression stands in its file."""
_PASSING = {
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
}
"""Built-in functions whose answer is as good as their argument."""
_COUNTING = {"range", "enumerate", "zip", "reversed", "print", "str", "repr", "format", "isinstance"}
"""Those whose answer decides nothing that the values themselves do not show."""


_HOLDING = (
    ast.keyword | ast.Starred | ast.BinOp | ast.UnaryOp | ast.Compare | ast.IfExp | ast.Tuple | ast.List | ast.Dict | ast.Subscript
)
"""Expressions that hold a number."""


@dataclass
class Derived:
    """Where a number goes."""

    conditions: set[tuple[str, Range]] = field(default_factory=set)
    """File and place of every condition that it is a part of."""
    lost: set[str] = field(default_factory=set)
    """Where it goes on to code that is not followed, as a phrase."""
    effects: list[str] = field(default_factory=list)
    """Why conditions that it is a part of change no answer."""
    computes: bool = False
    """Whether it is an argument of what computes the answer, or of the number of rounds of a loop."""


def of(frames: Sequence[tuple[str, Range]], names: Sequence[dict[str, Any]]) -> Derived:
    """Where a number goes that was read.

    Args:
        frames: file and expression of each call that leads to the read, the innermost first.
        names: the global names of each.
    """
    found = Derived()
    for (file, place), known in zip(frames, names, strict=True):
        follower = _Follower(file, known, found)
        if not follower.follow(place):
            return found
    return found


class _Follower:
    """Follows expressions through the function that they are in."""

    def __init__(self, file: str, names: dict[str, Any], found: Derived) -> None:
        self._file, self._names, self._found = file, names, found
        self._parents: dict[ast.AST, ast.AST] = {}
        self._seen: set[ast.AST] = set()
        self._returned = False
        tree = harmless.tree(file)
        for node in ast.walk(tree) if tree else ():
            self._parents.update(dict.fromkeys(ast.iter_child_nodes(node), node))

    def follow(self, place: Range) -> bool:
        """Follow the expression at a place. Returns whether it is, or goes into, what the function returns."""
        start = next((node for node in self._parents if isinstance(node, ast.expr) and _range(node) == place), None)
        if start is None:
            self._found.lost.add("an expression that cannot be read")
            return False
        self._go(start)
        return self._returned

    def _go(self, node: ast.AST) -> None:
        """From a part that holds the number to what holds that part."""
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
            if node in parent.ifs:
                self._condition(node, parent)
        elif isinstance(parent, ast.Call):
            self._call(node, parent)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr | ast.For):
            self._assigned(node, parent)
        elif isinstance(parent, ast.Return):
            self._found.computes = self._returned = True
        elif isinstance(parent, _HOLDING):
            self._go(parent)
        elif isinstance(parent, ast.Attribute | ast.Slice):
            self._found.computes = True  # a method: it is in a tensor by now
        elif not isinstance(parent, ast.Expr | ast.FormattedValue | ast.Raise | ast.Delete):
            self._found.lost.add(f"a {type(parent).__name__.lower()} statement")

    def _condition(self, node: ast.AST, parent: ast.AST) -> None:
        if isinstance(node, ast.BoolOp):
            return  # its parts are conditions themselves
        holder = parent
        while isinstance(holder, ast.BoolOp | ast.UnaryOp):
            holder = self._parents[holder]
        if isinstance(holder, ast.stmt) and (why := harmless.effect(holder)):
            self._found.effects.append(why)
            return
        self._found.conditions.add((self._file, _range(node)))

    def _call(self, node: ast.AST, parent: ast.Call) -> None:
        function = parent.func
        if node is function:
            return  # a method of the number itself
        if isinstance(function, ast.Name) and function.id in _PASSING:
            self._go(parent)
        elif isinstance(function, ast.Name) and function.id in _COUNTING:
            self._found.computes = self._found.computes or function.id not in ("print", "str", "repr", "format")
        elif isinstance(function, ast.Attribute) and function.attr in harmless.LOGGING:
            self._found.effects.append("it is only logged")
        elif self._is_arithmetic(function):
            self._found.computes = True
        else:
            self._found.lost.add(f"{ast.unparse(function)}()")

    def _is_arithmetic(self, function: ast.expr) -> bool:
        """Whether it is a function of torch, numpy or math, or a method of a tensor: what these make of it shows in the answer."""
        path: list[str] = []
        at = function
        while isinstance(at, ast.Attribute):
            path.insert(0, at.attr)
            at = at.value
        owner = self._names.get(at.id) if isinstance(at, ast.Name) else None
        for part in path:
            owner = getattr(owner, part, None) if owner is not None else None
        if owner is not None:
            return str(getattr(owner, "__module__", None) or "").partition(".")[0] in ("torch", "numpy", "math", "builtins")
        is_self = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
        return bool(path) and not is_self and hasattr(torch.Tensor, path[-1])

    def _assigned(self, node: ast.AST, parent: Any) -> None:
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        if isinstance(parent, ast.NamedExpr):
            self._go(parent)
        function = self._function(parent)
        for target in targets:
            for each in ast.walk(target):
                if isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store):
                    self._found.lost.add(ast.unparse(each))
                elif isinstance(each, ast.Name) and function is not None and node is not target:
                    self._loads(each.id, function)

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


class Watch:
    """Tells how conditions are decided while a model runs, one instruction at a time."""

    def __init__(self, conditions: Iterable[tuple[str, Range]], decided: Callable[[FrameType, Range, bool], None]) -> None:
        """Args: decided: called with the frame, the condition and whether it holds."""
        self._wanted: dict[str, list[Range]] = {}
        for file, place in conditions:
            self._wanted.setdefault(file, []).append(place)
        self._decided = decided
        self._jumps: dict[CodeType, dict[int, tuple[Range, int, bool]]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch meanwhile; nothing is watched where there is no condition."""
        before = sys.gettrace()
        if self._wanted:
            sys.settrace(self._called)
        try:
            yield
        finally:
            if self._wanted:
                sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG002 - Python's signature
        if frame.f_code.co_filename not in self._wanted or not self._of(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        jumps, last = self._of(frame.f_code), -1

        def step(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 - Python's signature
            nonlocal last
            if event == "opcode":
                if last in jumps:
                    place, behind, holds_behind = jumps[last]
                    self._decided(frame, place, holds_behind == (frame.f_lasti == behind))
                last = frame.f_lasti
            return step

        return step

    def _of(self, code: CodeType) -> dict[int, tuple[Range, int, bool]]:
        """The code's jumps at wanted conditions: to the condition, the next instruction, and whether the condition holds there."""
        if code not in self._jumps:
            instructions = list(dis.get_instructions(code))
            found = {}
            for before, one, behind in zip(instructions, instructions[1:], instructions[2:], strict=False):
                # What is tested was computed just before; a jump itself may be placed at its whole statement.
                at = before.positions
                if "JUMP" not in one.opname or "_IF_" not in one.opname or at is None or at.lineno is None:
                    continue
                place = next((each for each in self._wanted[code.co_filename] if _inside(at, each)), None)
                if place:
                    found[one.offset] = place, behind.offset, "IF_FALSE" in one.opname
            self._jumps[code] = found
        return self._jumps[code]


def _inside(at: dis.Positions, place: Range) -> bool:
    start, end = (at.lineno or 0, at.col_offset or 0), (at.end_lineno or 0, at.end_col_offset or 0)
    return place[:2] <= start and end <= place[2:]
