"""Read headers that a user gives: `NAME=VALUE`, or `NAME=@env:VARIABLE`. No error contains a value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tritonize.core.errors import UsageError
from tritonize.core.messages import client as messages

_FROM_ENVIRONMENT = "@env:"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
"""The names that HTTP and the metadata of gRPC have in common."""
_VALUE = re.compile(r"[\x20-\x7e]*")
_RESERVED = re.compile(
    r"host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|accept-encoding|content-.*|inference-header-content-length"
    r"|grpc-.*|user-agent|.*-bin"
)
"""Names that a client sets by itself; `-bin` marks metadata that gRPC encodes."""


def parse(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Name in lower case to value of every header.

    Args:
        given: `NAME=VALUE` or `NAME=@env:VARIABLE`.
        environment: the variables.

    Raises:
        UsageError: a name or value cannot be sent over HTTP and gRPC, a name is given twice, or a variable is not set.
    """
    headers: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        name = name.strip().lower()
        if not equals or not _NAME.fullmatch(name):
            # The whole text may be a value whose name was forgotten.
            raise _invalid(name if equals and len(name) <= _NAME_LENGTH else "one without a name", "the name is missing or invalid")
        if _RESERVED.fullmatch(name):
            raise _invalid(name, "tritonize or gRPC sets this header itself")
        if name in headers:
            raise _invalid(name, "it is given twice")
        if value.startswith(_FROM_ENVIRONMENT):
            variable = value.removeprefix(_FROM_ENVIRONMENT)
            if not environment.get(variable):
                raise _invalid(name, f"the environment variable {variable} is not set or empty")
            value = environment[variable]
        value = value.strip()
        if not _VALUE.fullmatch(value):
            raise _invalid(name, "the value has characters other than printable ASCII")
        headers[name] = value
    return headers


_NAME_LENGTH = 64


def _invalid(name: str, reason: str) -> UsageError:
    return UsageError.of(messages.HEADER_FORM, name=name, reason=reason)
