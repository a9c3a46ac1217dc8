"""The catalogue of messages: codes are unique, and every text can be filled."""

from __future__ import annotations

import importlib
import pkgutil
import re

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
