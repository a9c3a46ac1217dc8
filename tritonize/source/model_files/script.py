"""Check a TorchScript file before PyTorch reads it.

`torch.jit.load` runs code from the file: `__setstate__` of every script class that the file has objects of, and the C++ code of
every custom class. So the code is searched as text in the archive, since it can reach a refused operator (`refused.py`) only by
its name. After the load and before any method runs, `source/worker/operators_used.py` checks the graphs of all methods.
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
"""Characters that torch.jit.save writes only inside strings, which it puts in double quotes: other quotes, `#`, backslashes."""

_OPERATOR = re.compile(r"(?<![\w.])ops\s*\.\s*(\w+)\s*\.\s*(\w+)")
_NAMED = re.compile(r"\bfrom_file\b|(?<!\w)(?:torch|aten)\s*\.\s*save\b|(?<!\w)rpc_(?:a?sync|remote)\b")
_GETATTR = re.compile(r"\bgetattr\b")
_STEP = re.compile(r"""[^"'()\\#]+|"[^"\\\n]*"|[()]""")
_LAST_ARGUMENT = re.compile(r'(.*),\s*"([^"]*)"\s*', re.DOTALL)
_MAX_GETATTR = 10_000
_BARE = re.compile(r"(?<![\w.])(?:torch\b(?!\s*\.\s*\w)|ops\b(?!\s*\.\s*\w+\s*\.\s*\w))(?!\s+:)")
"""`torch` or `ops` without an attribute, as in `t = torch`. torch.jit.save reserves both: a user's `ops` becomes `ops0`."""


def check(opened: Archive) -> None:
    """Refuse a file whose code uses a refused operator or class, or has a form that torch.jit.save never writes.

    Raises:
        UsageError: `where` states the file, the member and the line.
    """
    if "model.json" in opened.members:
        opened.refuse("the file layout of PyTorch before 1.1 next to the current one", "model.json")
    for name, text in _sources(opened):
        _check_code(f"{opened.path}: {name}", text)
    for name in opened.members:
        if name.endswith(".pkl"):
            _check_classes(f"{opened.path}: {name}", opened.read(name))


def _sources(opened: Archive) -> Iterator[tuple[str, str]]:
    """Name and text of every source file, whose classes are checked on the way."""
    for name in opened.members:
        if name.startswith("code/") and not name.endswith((".debug_pkl", "/")):
            data = opened.read(name)
            _check_classes(f"{opened.path}: {name}", data)
            yield name, data.decode("utf-8", errors="replace")


def _check_classes(where: str, data: bytes) -> None:
    for match in _CLASS.finditer(data):
        name = b".".join(part for part in match.groups() if part).decode()
        if not refused.class_allowed(name):
            raise UsageError.of(security.CLASS_REFUSED, where=where, name=f"torch.classes.{name}")


def _check_code(where: str, text: str) -> None:
    code = _STRING.sub(lambda match: " " * len(match[0]), text)  # strings become spaces of the same length, so offsets stay

    def place(match: re.Match[str]) -> str:
        return f"{where}:{code.count(chr(10), 0, match.start()) + 1}"

    for match in _OPERATOR.finditer(code):
        operator = f"{match[1]}::{match[2]}"
        if (reason := refused.reason(operator)) is not None:
            raise UsageError.of(security.OPERATOR_REFUSED, where=place(match), operator=operator, reason=reason)
    for match in _NAMED.finditer(code):
        name = "save" if "save" in match[0] else match[0]
        operator = f"prim::{name}" if name.startswith("rpc") else f"aten::{name}"
        raise UsageError.of(security.OPERATOR_REFUSED, where=place(match), operator=operator, reason=refused.reason(operator))
    for match in _GETATTR.finditer(code):
        if not _is_plain_getattr(text, match.end()):
            raise UsageError.of(security.CODE_REFUSED, where=place(match), found=_line(text, match))
    for match in (*_UNWRITTEN.finditer(code), *_BARE.finditer(code)):
        raise UsageError.of(security.CODE_REFUSED, where=place(match), found=_line(text, match))


def _is_plain_getattr(text: str, start: int) -> bool:
    """Whether the arguments of getattr are `(object, "name")` as torch.jit.save writes them, and name no refused operator."""
    depth, end = 0, start
    while step := _STEP.match(text, end):
        end = step.end()
        depth += {"(": 1, ")": -1}.get(step[0], 0)
        if depth <= 0:
            break
    if not text.startswith("(", start) or depth != 0 or end - start > _MAX_GETATTR:
        return False
    last = _LAST_ARGUMENT.fullmatch(text[start + 1 : end - 1])
    return last is not None and last[2] not in refused.METHODS and last[1].strip("() \n") not in ("torch", "ops")


def _line(text: str, match: re.Match[str]) -> str:
    """The line of the match, at most 200 characters."""
    start = text.rfind("\n", 0, match.start()) + 1
    return text[start : start + 200].split("\n", 1)[0].strip()
