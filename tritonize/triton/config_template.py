"""The template of a configuration, filled; a user's own in a worker and in Jinja's sandbox.

A template is a program: Jinja lets it loop, call and, outside its sandbox, reach any Python object. So a template that a spec
names gets the sandbox, values that it cannot change, the `.j2` files beside it and no others, and a process with a deadline and a
bound on memory. The one that comes with tritonize is filled in this process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import jinja2
from google.protobuf import text_encoding
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tritonize.core import resources, temporary
from tritonize.core.errors import UsageError, WorkerError
from tritonize.core.messages import security
from tritonize.process import workers
from tritonize.triton import tasks
from tritonize.triton.tasks import TemplateRequest

_DEADLINE_S = 20.0
_MEMORY = 2**30
_MAX_TEXT = 4 * 2**20
"""Characters of a configuration; the longest published ones have some thousand."""
_MAX_REPEATED = 100_000
_SIBLING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.j2")


def quote(text: str) -> str:
    """A string as protobuf text."""
    escaped = text_encoding.CEscape(text, as_utf8=True)  # type: ignore[arg-type]  # takes str too
    return f'"{escaped}"'


def rendered(path: Path | None, fields: Mapping[str, object]) -> str:
    """The text of a template; of tritonize's own without a path.

    Args:
        fields: plain data.

    Raises:
        UsageError: it is not a template, uses an operation that the sandbox forbids, or does not end; the error has the place.
    """
    if path is None:
        return fill(resources.templates() / "config.pbtxt.j2", fields)
    request = TemplateRequest(path=path.absolute(), fields=fields)
    with temporary.folder() as folder:
        try:
            result = workers.run_worker(
                tasks.FILL_TEMPLATE, request, directory=folder, deadline_s=_DEADLINE_S, memory_bytes=_MEMORY
            )
        except WorkerError as error:
            raise UsageError.of(security.TEMPLATE_UNENDING, where=str(path), found=error.what) from error
    return result.value


def fill(path: Path, fields: Mapping[str, object]) -> str:
    """The text of a template, in this process. Raises like `rendered`, but for one that does not end."""
    environment = _Environment(
        loader=jinja2.FunctionLoader(lambda name: _source(path, name)), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["pbtxt"] = quote
    parts: list[str] = []
    length = 0
    try:
        for part in environment.get_template(path.name).generate(fields):
            length += len(part)
            if length > _MAX_TEXT:
                raise UsageError.of(security.TEMPLATE_UNENDING, where=str(path), found=f"more than {_MAX_TEXT:,} characters")
            parts.append(part)
    except SecurityError as error:
        raise UsageError.of(security.TEMPLATE_REFUSED, where=_place(path, error), found=str(error)) from error
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        _refuse_template(path, error)
    return "".join(parts)


def _refuse_template(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, jinja2.TemplateNotFound) and error.name != path.name:
        raise UsageError.of(security.TEMPLATE_FILE_REFUSED, where=_place(path, error), found=str(error.name)) from error
    reason = str(error) or type(error).__name__
    raise UsageError.of(security.TEMPLATE_UNUSABLE, where=_place(path, error), found=reason) from error


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, which refuses attributes that begin with an underscore; and no operator may make something huge."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        repeated = max((side for side in (left, right) if isinstance(side, int)), default=0)
        if operator == "*" and not numbers and repeated > _MAX_REPEATED:
            raise SecurityError(f"text repeated {repeated:,} times")
        if operator != "**" or not isinstance(left, int | float) or not isinstance(right, int | float):
            return super().call_binop(context, operator, left, right)
        if abs(left) > _MAX_REPEATED or abs(right) > 64:
            raise SecurityError("a power of large numbers")
        return super().call_binop(context, operator, left, right)


def _source(path: Path, name: str) -> tuple[str, str, None] | None:
    """Text and path of a template: the file itself, or a `.j2` file in the same folder."""
    file = path
    if name != path.name:
        file = path.parent / name
        inside = file.resolve().parent == path.parent.resolve()
        if not _SIBLING.fullmatch(name) or not inside or not file.is_file():
            return None
    try:
        return file.read_text(encoding="utf-8"), str(file), None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError.of(security.TEMPLATE_UNUSABLE, where=str(file), found=str(error)) from error


def _place(path: Path, error: BaseException) -> str:
    """File and line of the template that an error is from."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or path}:{error.lineno}"
    trace, place = error.__traceback__, str(path)
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if Path(file).parent == path.parent:
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
