"""The error of a running server that does not load a version: which of the known reasons it is, and what to do."""

from __future__ import annotations

from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.core.messages import server as server_messages
from tritonize.core.messages import target as messages
from tritonize.triton.client import refusals
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.load_failures import lookup
from tritonize.triton.server import log

_TOO_LARGE = frozenset((client_messages.REQUEST_TOO_LARGE.code, client_messages.FILES_TOO_LARGE.code))


def is_restricted(error: InferenceError | ServerError) -> bool:
    """Whether the server requires a header for this part of its API."""
    return isinstance(error, InferenceError) and refusals.kind(error) is Refusal.RESTRICTED


def is_in_no_repository(error: InferenceError) -> bool:
    """Whether the server did not find the files of the model, or of a step, in its repositories."""
    return refusals.kind(error) is Refusal.NOT_IN_REPOSITORY


def explained(error: InferenceError | ServerError, *, model: str, size: int) -> ServerError:
    """The error that says why the server does not load a model.

    Args:
        error: of the request.
        model: the model's name; empty for a request that only asks whether models can be loaded.
        size: bytes of its files.
    """
    kind = refusals.kind(error) if isinstance(error, InferenceError) else Refusal.OTHER
    if kind is Refusal.REQUEST_TOO_LARGE or error.code in _TOO_LARGE:
        return ServerError.of(
            messages.REQUEST_REFUSED_FOR_SIZE, where=error.where, found=error.found, model=model, size=f"{size / 2**20:,.1f}"
        )
    if isinstance(error, ServerError):
        return error
    fixed = {
        Refusal.CONTROL_OFF: messages.NOT_EXPLICIT,
        Refusal.RESTRICTED: messages.RESTRICTED,
        Refusal.NOT_IN_REPOSITORY: messages.NOT_IN_REPOSITORY,
    }
    if kind in fixed:
        return ServerError.of(fixed[kind], where=error.where, found=error.found)
    return _refused(error, model)


def _refused(error: InferenceError, model: str) -> ServerError:
    """The error of a model that cannot be loaded, with cause and fix as far as its reason is known."""
    reason = log.plain(error.found or error.what)
    known = lookup.explain(reason)
    return ServerError.of(
        server_messages.MODEL_NOT_LOADED,
        where=f"{error.where}: {known.where}" if known else error.where,
        found=reason,
        model=repr(model),
        cause=known.cause if known else "",
        next_step=known.fix if known else "read the server's log; correct the model or its configuration",
    )
