"""Which expressions of an exported program are arithmetic: sizes (`expr_str`) and guards (`guards_code`).

PyTorch hands the first to sympy's `sympify` and the second to `exec`, and both execute whatever Python stands there. What
`torch.export.save` writes was read in its serializer (`_print_sympy`: sympy's `srepr`; in older versions `str`) and in
`torch.utils._sympy`: calls of the functions below on symbols and numbers, and operators.
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
"""Everything that an expression may call."""

_ASSUMPTIONS = frozenset({"integer", "positive", "negative", "nonnegative", "real", "zero", "finite", "precision", "evaluate"})
_GUARD_FUNCTIONS = frozenset({"abs", "min", "max", "float", "int", "round"})
_GUARD_MATH = frozenset({"floor", "ceil", "trunc", "sqrt", "isnan", "inf", "log", "log2", "exp", "pow"})
_GUARD_METHODS = frozenset({"size", "stride", "storage_offset"})
_OPERATORS = (
    ast.Expression | ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.operator | ast.unaryop | ast.boolop | ast.cmpop
)
_NO_COMPARISON = ast.In | ast.NotIn | ast.Is | ast.IsNot | ast.MatMult
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NUMBER = re.compile(r"[+-]?[0-9.]{1,60}(e[+-]?[0-9]{1,4})?")
PLAIN = re.compile(r"""[^"'\\{}\x00-\x1f\x7f-\xa0\u2028\u2029]*""")
"""Text that stays text wherever PyTorch writes it into code between quotes."""
_ONE_LINE = re.compile(r"[\x20-\x5b\x5d-\x7e]*")
"""Printable ASCII without a backslash. `sympify` takes line ends out before it parses: a backslash before one would then stand
before a quote, and what Python's own parser takes for the end of a text, or for a comment, would be code."""

_MAX_LENGTH = 20_000
_MAX_DIGITS = 10**40


def problem(text: object) -> str | None:
    """What of a size expression is not arithmetic; `None` where all of it is."""
    return _problem(text, _expression_node)


def guard_problem(text: object) -> str | None:
    """What of a guard is not a comparison of the inputs' sizes; `None` where all of it is."""
    return _problem(text, _guard_node)


def _problem(text: object, allowed: object) -> str | None:
    if not isinstance(text, str) or not _ONE_LINE.fullmatch(text) or len(text) > _MAX_LENGTH:
        return f"{str(text)[:80]!r}"
    assert callable(allowed)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if text.count("#") != sum(each.count("#") for each in texts):  # a comment hides what follows where this is put into code
            return text[:120]
        for node in ast.walk(tree):
            if not allowed(node):
                return (ast.get_source_segment(text.strip(), node) or text)[:120] if isinstance(node, ast.expr) else text[:120]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text[:120]
    return None


def _operator(node: ast.AST) -> bool:
    return isinstance(node, _OPERATORS) and not isinstance(node, _NO_COMPARISON)


def _number(node: ast.Constant) -> bool:
    value = node.value
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MAX_DIGITS)


def _expression_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and _texts_fit(node)
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
        return _number(node) or bool(_SYMBOL.fullmatch(text) or _NUMBER.fullmatch(text))
    if isinstance(node, ast.keyword):
        return node.arg in _ASSUMPTIONS and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    return _operator(node) or isinstance(node, ast.Load | ast.Tuple)


def _texts_fit(call: ast.Call) -> bool:
    """Text is the name of a symbol, or the digits of a number; sympy would execute it anywhere else."""
    assert isinstance(call.func, ast.Name)
    texts = [value.value for value in call.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    if call.func.id == "Symbol":
        return len(call.args) == len(texts) == 1 and bool(_SYMBOL.fullmatch(texts[0]))
    if call.func.id in ("Float", "Integer", "Rational"):
        return all(_NUMBER.fullmatch(text) for text in texts)
    return not texts


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
    """`abs(…)`, `math.floor(…)`, `L['x'].size()`."""
    return isinstance(function, ast.Attribute) or (isinstance(function, ast.Name) and function.id in _GUARD_FUNCTIONS)
