"""Decide whether code that takes a tensor's storage or address reads only its size or place, not its values. Runs in a worker."""

from __future__ import annotations

import ast

from tritonize.export.worker import harmless_decisions

READS = ("storage", "untyped_storage", "_typed_storage", "data_ptr")
"""Tensor methods that give access to its memory."""
_ABOUT = {"nbytes", "size", "element_size", "device", "dtype", "is_shared", "is_cuda", "is_pinned", "filename", "resizable"}
"""Attributes of a storage that do not depend on its values."""


def reads_no_values(file: str, place: tuple[int, int, int, int]) -> bool:
    """Whether the code does not read the values in the memory.

    Args:
        file: Python file with the call that takes the storage or address.
        place: first line, column, last line and column of that call.
    """
    parents = harmless_decisions.parents(file)
    node: ast.AST | None = next((each for each in parents if isinstance(each, ast.Call) and _range(each) == place), None)
    if node is None:
        return False
    if isinstance(above := parents[node], ast.Attribute):
        if above.attr in _ABOUT:
            return True
        node = parents[above] if above.attr == "data_ptr" else node
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "data_ptr"):
        return False
    above = parents[node]
    return isinstance(above, ast.Compare) or (isinstance(above, ast.BinOp) and isinstance(above.op, ast.Mod | ast.BitAnd))


def _range(node: ast.expr) -> tuple[int, int, int | None, int | None]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
