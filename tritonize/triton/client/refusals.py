"""Classify errors of Triton that the caller handles. Triton has no error codes for them, only texts.

Sources of the texts: python_backend `pb_stub_utils`/`python_be.cc`, core `shared_memory_manager.cc` and
`model_repository_manager.cc`, server `http_server.cc`.
"""

from __future__ import annotations

from enum import Enum, auto

from tritonize.core.errors import InferenceError


class Refusal(Enum):
    """Why a server refused a request."""

    MODEL_DIED = auto()
    """The process of the model has ended."""
    REGION_IN_USE = auto()
    """A request still uses a region of shared memory, for a moment after its response too."""
    OUTPUT_TOO_SMALL = auto()
    """The region for an output is smaller than the output."""
    RESTRICTED = auto()
    """The server requires a header for this part of its API; its text names the header."""
    NOT_LOADED = auto()
    """The server does not serve the model or the version."""
    CONTROL_OFF = auto()
    """The server loads and unloads no models on request."""
    NOT_IN_REPOSITORY = auto()
    """The server did not find a model's files, or could not read its configuration."""
    REQUEST_TOO_LARGE = auto()
    """The request exceeds the server's limit."""
    OTHER = auto()


_TEXTS = {
    "explicit model load / unload is not allowed": Refusal.CONTROL_OFF,
    "failed to poll from model repository": Refusal.NOT_IN_REPOSITORY,
    "http-max-input-size": Refusal.REQUEST_TOO_LARGE,
    "not healthy": Refusal.MODEL_DIED,
    "in use": Refusal.REGION_IN_USE,
    "at least": Refusal.OUTPUT_TOO_SMALL,
    " is restricted, expecting header": Refusal.RESTRICTED,
    "unknown model": Refusal.NOT_LOADED,
    "is not at ready state": Refusal.NOT_LOADED,
}


def kind(error: InferenceError) -> Refusal:
    """The kind of a refusal, by the server's text."""
    return next((refusal for text, refusal in _TEXTS.items() if text in (error.found or "")), Refusal.OTHER)
