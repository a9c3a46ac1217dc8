"""Who may do what with a server of ours: everybody on this machine infers and reads descriptions; control takes a key.

Triton 2.51 lets whoever reaches its ports load a model with files of the caller's own, which the Python backend then executes.
So the mode of model control is *none*, and what else changes the server, or shows what others do with it, wants a header that only
tritonize and its client know.
"""

from __future__ import annotations

import secrets

CONTROL = ("model-repository", "shared-memory", "statistics", "trace", "logging")
"""Triton's names of what takes the key."""
HEADER = "tritonize-key"
_GRPC_PREFIX = "triton-grpc-protocol-"  # Triton 2.51, `kRestrictedProtocolHeaderTemplate` in src/grpc/grpc_server.h
_OPTIONS = ("--http-restricted-api", "--grpc-restricted-protocol")
_PLACEHOLDER = "(hidden)"


def new_key() -> str:
    """A key that nobody guesses."""
    return secrets.token_hex(32)


def arguments(key: str) -> dict[str, str]:
    """The options that the server is started with, by what may be read in their place."""
    return {f"{option}={_PLACEHOLDER}": f"{option}={','.join(CONTROL)}:{HEADER}={key}" for option in _OPTIONS}


def headers(key: str) -> dict[str, dict[str, str]]:
    """What a client sends along to be let in, by protocol."""
    return {"http": {HEADER: key}, "grpc": {f"{_GRPC_PREFIX}{HEADER}": key}}
