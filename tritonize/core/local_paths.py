"""Local paths from users: an address such as `s3://bucket/models` is refused where only a folder or file of this machine will do.

Without this check, pathlib makes `s3:/bucket/models` of such an address: a relative path to a folder that is then created.
"""

from __future__ import annotations

import re
from pathlib import Path

from tritonize.core.errors import UsageError
from tritonize.core.messages import usage

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+"
_ADDRESS = re.compile(rf"{_SCHEME}://")
_IN_PATH = re.compile(rf"{_SCHEME}:/[^/]")
"""An address after pathlib has removed one of its slashes."""

_USER = re.compile(r"://(?!https?://)(?:[^/@]*@|[^@]*:[^@]*@)")
"""A user; or a user and a password, which may have slashes in it."""


def is_address(text: str) -> bool:
    """Return whether a text begins with a scheme and two slashes, such as `s3://`."""
    return _ADDRESS.match(text) is not None


def without_secrets(address: str) -> str:
    """Return an address without user, password, query and fragment, any of which may be a credential."""
    return _USER.sub("://", re.split(r"[?#]", address, maxsplit=1)[0])


def local(path: str | Path) -> Path:
    """Return a path of this machine.

    Raises:
        UsageError: it is an address with a scheme, also one that has become a `Path` before.
    """
    text = str(path)
    if isinstance(path, Path):
        text = text.replace(":/", "://", 1) if _IN_PATH.match(text) else text
    if is_address(text):
        raise UsageError.of(usage.ADDRESS, expected="a path of this machine", found=without_secrets(text))
    return Path(path)
