"""Access control of an embedded server: every local user may infer and read metadata; control requires a key.

Triton 2.51 lets every client that reaches its ports load a model with files that the client sends, and the Python backend
executes them. Therefore the model control mode is *none*, and every other endpoint that changes the server or reveals how others
use it requires a header that only tritonize and its client know.
"""

from __future__ import annotations

import secrets

CONTROL = ("model-repository", "shared-memory", "statistics", "trace", "logging")
"""The APIs, by Triton's names, that require the key."""
HEADER = "tritonize-key"
_GRPC_PREFIX = "triton-grpc-protocol-"  # Triton 2.51, `kRestrictedProtocolHeaderTemplate` in src/grpc/grpc_server.h
_OPTIONS = ("--http-restricted-api", "--grpc-restricted-protocol")
_PLACEHOLDER = "(hidden)"


def new_key() -> str:
    """A random key of 256 bits, in hexadecimal."""
    return secrets.token_hex(32)


def arguments(key: str) -> dict[str, str]:
    """The server's access options; the key of each entry is the public text that replaces the option in the process list."""
    return {f"{option}={_PLACEHOLDER}": f"{option}={','.join(CONTROL)}:{HEADER}={key}" for option in _OPTIONS}


def headers(key: str) -> dict[str, dict[str, str]]:
    """The headers that carry the key, by protocol."""
    return {"http": {HEADER: key}, "grpc": {f"{_GRPC_PREFIX}{HEADER}": key}}
