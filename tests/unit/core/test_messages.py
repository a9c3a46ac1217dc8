"""The catalogue of messages: codes are unique, and every use fills exactly the placeholders of its message."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import tritonize
from tests.support import message_uses
from tritonize.core import errors
from tritonize.core import messages as core_messages
from tritonize.core.messages import Message


def messages() -> list[Message]:
    modules = [
        importlib.import_module(f"tritonize.core.messages.{each.name}") for each in pkgutil.iter_modules(core_messages.__path__)
    ]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Message)]


def test_codes_are_unique_and_plain():
    codes = [message.code for message in messages()]
    assert len(codes) == len(set(codes))
    assert [code for code in codes if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)] == []


def test_an_error_of_a_message_carries_its_code_over_a_process_boundary():
    message = Message(code="a-code", what="The prefix {prefix!r} is there.", cause="of {prefix}", next_step="name {prefix}")
    error = errors.UsageError.of(message, where="here", prefix="{module}")
    assert error.what == "The prefix '{module}' is there."
    assert error.next_step == "name {module}"
    again = errors.from_dict(error.to_dict())
    assert (type(again), again.code, again.where, again.cause) == (errors.UsageError, "a-code", "here", "of {module}")


def test_every_message_is_used_with_exactly_its_placeholders():
    problems, used = [], set()
    for path, source in message_uses.of_package(Path(tritonize.__file__).parent):
        for use in source.uses():
            used.add(use.message.code)
            problems += [f"{path}:{use.line}: {use.message.code}: {problem}" for problem in use.problems()]
        for line, message, field in source.other_references():
            used.add(message.code)
            text = {"code": None, "what": message.what, "cause": message.cause, "next_step": message.next_step}
            if field not in text or message_uses.placeholders(text[field]):
                problems.append(f"{path}:{line}: {message.code}: the text is read with its placeholders unfilled")
    assert problems == []
    assert {message.code for message in messages()} - used == set()


EXAMPLE = """
from tritonize.core.errors import UsageError
from tritonize.core.messages import export as wording
_BY_KIND = {1: wording.FIXED_AXIS}

def _refuse(message: Message, place, **values):
    raise UsageError.of(message, where=place, **values)

def work(kind, more):
    from tritonize.core.messages import plans as wording
    values = {"module": 1, "extra": 2}
    wording.NO_PLANS.text()
    message = wording.MODULE_MISSING if kind else wording.MODULE_NOT_LOADED
    UsageError.of(message, found="x", module=1)
    _refuse(wording.MODULE_MISSING, place=1, **values)
    UsageError.of(_BY_KIND[kind], name=1, axis=2, strategy=3, where="here", other=4)
    UsageError.of(wording.NO_PLANS, **more)
    return wording.MODULE_MISSING.next_step
"""


def test_uses_are_found_through_variables_tables_and_forwarding_functions():
    source = message_uses.Source(EXAMPLE)
    assert [(use.message.code, list(use.problems())) for use in sorted(source.uses(), key=lambda use: use.line)] == [
        ("no-plans", []),
        ("plan-module-missing", ["without extra"]),
        ("plan-module-not-loaded", ["without extra"]),
        ("plan-module-missing", []),
        ("fixed-axis", ["unused other"]),
        ("no-plans", ["**more does not show its keys"]),
    ]
    assert [(message.code, field) for _, message, field in source.other_references()] == [("plan-module-missing", "next_step")]
