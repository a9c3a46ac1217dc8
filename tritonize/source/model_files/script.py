"""A TorchScript file, checked before PyTorch reads it.

`torch.jit.load` runs code of the file: `__setstate__` of every script class whose objects the file holds, and the C++ code of
every custom class. So the code is looked through as text: it is read where it lies in the archive, and an operator that is
refused (`refused.py`) has no other way to be reached than by its name. The graphs of all methods are looked through again
after the load, before any of them runs (`source/worker/operators_used.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonize.core.errors import UsageError
from tritonize.core.messages import security
from tritonize.source.model_files import refused
from tritonize.source.model_files.archive import Archive

_CLASS = re.compile(rb"torch\.classes\.([\w.]+)(?:\n(\w+))?")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_UNWRITTEN = re.compile(r"""['"#\\]""")
"""What the writer puts nowhere but into strings, which it writes in one way: quotes of another kind, comments, long lines."""

_OPERATOR = re.compile(r"(?<![\w.])ops\s*\.\s*(\w+)\s*\.\s*(\w+)")
_NAMED = re.compile(r"\bfrom_file\b|(?<!\w)(?:torch|aten)\s*\.\s*save\b|(?<!\w)rpc_(?:a?sync|remote)\b")
_GETATTR = re.compile(r"\bgetattr\b")
_STEP = re.compile(r"""[^"'()\\#]+|"[^"\\\n]*"|[()]""")
_LAST_ARGUMENT = re.compile(r'(.*),\s*"([^"]*)"\s*', re.DOTALL)
_MAX_GETATTR = 10_000
_BARE = re.compile(r"(?<![\w.])(?:torch\b(?!\s*\.\s*\w)|ops\b(?!\s*\.\s*\w+\s*\.\s*\w))(?!\s+:)")
"""The two names below which operators are, alone, as in `t = torch`. The writer keeps them to itself: a user's `ops` is `ops0`."""


def check(opened: Archive) -> None:
    """Refuse a file that would open files, or more, when it is loaded or run.

    Raises:
        UsageError: `where` is the file, and the member and line in it.
    """
    if "model.json" in opened.members:
        opened.refuse("the layout of PyTorch before 1.1 beside today's", "model.json")
    for name, text in _sources(opened):
        _check_code(f"{opened.path}: {name}", text)
    for name in opened.members:
        if name.endswith(".pkl"):
            _check_classes(f"{opened.path}: {name}", opened.read(name))


def _sources(opened: Archive) -> Iterator[tuple[str, str]]:
    for name in opened.members:
        if name.startswith("code/") and not name.endswith((".debug_pkl", "/")):
            data = opened.read(name)
            _check_classes(f"{opened.path}: {name}", data)
            yield name, data.decode("utf-8", errors="replace")


def _check_classes(where: str, data: bytes) -> None:
    for found in _CLASS.finditer(data):
        name = b".".join(part for part in found.groups() if part).decode()
        if not refused.class_allowed(name):
            raise UsageError.of(security.CLASS_REFUSED, where=where, name=f"torch.classes.{name}")


def _check_code(where: str, text: str) -> None:
    plain = _STRING.sub(lambda found: " " * len(found[0]), text)  # the same length, so that places stay

    def place(found: re.Match[str]) -> str:
        return f"{where}:{plain.count(chr(10), 0, found.start()) + 1}"

    for found in _OPERATOR.finditer(plain):
        operator = f"{found[1]}::{found[2]}"
        if (reason := refused.reason(operator)) is not None:
            raise UsageError.of(security.OPERATOR_REFUSED, where=place(found), operator=operator, reason=reason)
    for found in _NAMED.finditer(plain):
        name = "save" if "save" in found[0] else found[0]
        operator = f"prim::{name}" if name.startswith("rpc") else f"aten::{name}"
        raise UsageError.of(security.OPERATOR_REFUSED, where=place(found), operator=operator, reason=refused.reason(operator))
    for found in _GETATTR.finditer(plain):
        if not _is_plain_getattr(text, found.end()):
            raise UsageError.of(security.CODE_REFUSED, where=place(found), found=_line(text, found))
    for found in (*_UNWRITTEN.finditer(plain), *_BARE.finditer(plain)):
        raise UsageError.of(security.CODE_REFUSED, where=place(found), found=_line(text, found))


def _is_plain_getattr(text: str, start: int) -> bool:
    """Whether an argument list is `(object, "name")` as PyTorch's writer puts it, and of no operator that is refused."""
    depth, at = 0, start
    while step := _STEP.match(text, at):
        at = step.end()
        depth += {"(": 1, ")": -1}.get(step[0], 0)
        if depth <= 0:
            break
    if not text.startswith("(", start) or depth != 0 or at - start > _MAX_GETATTR:
        return False
    last = _LAST_ARGUMENT.fullmatch(text[start + 1 : at - 1])
    return last is not None and last[2] not in refused.METHODS and last[1].strip("() \n") not in ("torch", "ops")


def _line(text: str, found: re.Match[str]) -> str:
    start = text.rfind("\n", 0, found.start()) + 1
    return text[start : start + 200].split("\n", 1)[0].strip()
