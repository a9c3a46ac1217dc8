"""Check that the expressions in an exported program are arithmetic: sizes (`expr_str`) and guards (`guards_code`).

PyTorch passes sizes to sympy's `sympify` and guards to `exec`, and both execute any Python code in them. `torch.export.save` writes
only operators, and calls of the functions below on symbols and numbers. Source: its serializer (`_print_sympy`, which writes
sympy's `srepr`, in older versions `str`) and `torch.utils._sympy`.
"""

from __future__ import annotations

import ast
import re

_TORCH_FUNCTIONS = (
    "FloorDiv ModularIndexing Where PythonMod Mod CleanDiv CeilToInt FloorToInt CeilDiv LShift RShift PowByNatural FloatPow "
    "FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt RoundDecimal ToFloat Identity "
    "BitwiseFn_bitwise_and BitwiseFn_bitwise_or BitwiseFn_bitwise_xor"
)
_OPAQUE = "sqrt cos cosh sin sinh tan tanh asin acos atan exp log asinh log2"
_SYMPY_FUNCTIONS = (
    "Symbol Integer Float Rational Add Mul Pow Max Min And Or Not Xor ITE Eq Ne Lt Le Gt Ge Equality Unequality StrictLessThan "
    "LessThan StrictGreaterThan GreaterThan Piecewise ExprCondPair Abs floor ceiling Floor Ceil sqrt exp log"
)
FUNCTIONS = frozenset(
    [*_TORCH_FUNCTIONS.split(), *_SYMPY_FUNCTIONS.split(), *(f"OpaqueUnaryFn_{name}" for name in _OPAQUE.split())]
)
"""The functions that an expression may call."""

_ASSUMPTIONS = frozenset({"integer", "positive", "negative", "nonnegative", "real", "zero", "finite", "precision", "evaluate"})
_GUARD_FUNCTIONS = frozenset({"abs", "min", "max", "float", "int", "round"})
_GUARD_MATH = frozenset({"floor", "ceil", "trunc", "sqrt", "isnan", "inf", "log", "log2", "exp", "pow"})
_GUARD_METHODS = frozenset({"size", "stride", "storage_offset"})
_OPERATORS = (
    ast.Expression | ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.operator | ast.unaryop | ast.boolop | ast.cmpop
)
_FORBIDDEN_OPERATORS = ast.In | ast.NotIn | ast.Is | ast.IsNot | ast.MatMult
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NUMBER = re.compile(r"[+-]?[0-9.]{1,60}(e[+-]?[0-9]{1,4})?")
PLAIN = re.compile(r"""[^"'\\{}\x00-\x1f\x7f-\xa0\u2028\u2029]*""")
"""Text that stays inside the quotes if PyTorch writes it into code between quotes."""
_ONE_LINE = re.compile(r"[\x20-\x5b\x5d-\x7e]*")
"""Printable ASCII without a backslash. `sympify` removes line ends before it parses: a backslash before a line end would then
escape a quote, and what Python's parser reads as the end of a string, or as a comment, would become code."""

_MAX_LENGTH = 20_000
_MAX_DIGITS = 10**40


def problem(text: object) -> str | None:
    """The part of a size expression that is not arithmetic; `None` if all of it is."""
    return _problem(text, _expression_node)


def guard_problem(text: object) -> str | None:
    """The part of a guard that is not a comparison of the inputs' sizes; `None` if all of it is."""
    return _problem(text, _guard_node)


def _problem(text: object, allowed: object) -> str | None:
    """The first part of `text` with a syntax node that the predicate `allowed` rejects, shortened; `None` if it allows all."""
    if not isinstance(text, str) or not _ONE_LINE.fullmatch(text) or len(text) > _MAX_LENGTH:
        return f"{str(text)[:80]!r}"
    assert callable(allowed)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if text.count("#") != sum(each.count("#") for each in strings):  # a comment would hide the code that follows the text
            return text[:120]
        for node in ast.walk(tree):
            if not allowed(node):
                return (ast.get_source_segment(text.strip(), node) or text)[:120] if isinstance(node, ast.expr) else text[:120]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text[:120]
    return None


def _operator(node: ast.AST) -> bool:
    return isinstance(node, _OPERATORS) and not isinstance(node, _FORBIDDEN_OPERATORS)


def _number(node: ast.Constant) -> bool:
    value = node.value
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MAX_DIGITS)


def _expression_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and _strings_fit(node)
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
        return _number(node) or bool(_SYMBOL.fullmatch(text) or _NUMBER.fullmatch(text))
    if isinstance(node, ast.keyword):
        return node.arg in _ASSUMPTIONS and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    return _operator(node) or isinstance(node, ast.Load | ast.Tuple)


def _strings_fit(call: ast.Call) -> bool:
    """Whether every string is the name of a symbol or the digits of a number; sympy would execute any other string."""
    assert isinstance(call.func, ast.Name)
    strings = [value.value for value in call.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    if call.func.id == "Symbol":
        return len(call.args) == len(strings) == 1 and bool(_SYMBOL.fullmatch(strings[0]))
    if call.func.id in ("Float", "Integer", "Rational"):
        return all(_NUMBER.fullmatch(text) for text in strings)
    return not strings


def _guard_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return not node.keywords and _guard_callee(node.func)
    if isinstance(node, ast.Attribute):
        of_math = isinstance(node.value, ast.Name) and node.value.id == "math" and node.attr in _GUARD_MATH
        return of_math or node.attr in _GUARD_METHODS
    if isinstance(node, ast.Constant):
        return _number(node) or (isinstance(node.value, str) and bool(PLAIN.fullmatch(node.value)))
    if isinstance(node, ast.Name):
        return node.id in ("L", "math", "inf") or node.id in _GUARD_FUNCTIONS
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant)
    return _operator(node) or isinstance(node, ast.Load | ast.IfExp)


def _guard_callee(function: ast.expr) -> bool:
    """Whether it has a form such as `abs(…)`, `math.floor(…)` or `L['x'].size()`; the attribute is checked as its own node."""
    return isinstance(function, ast.Attribute) or (isinstance(function, ast.Name) and function.id in _GUARD_FUNCTIONS)
