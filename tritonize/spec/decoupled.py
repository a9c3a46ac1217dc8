"""Decoupled models, which send any number of responses to a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any  # Any: values of a spec or of a configuration, which protobuf checks

if TYPE_CHECKING:
    from tritonize.spec import schema

FIELD = "model_transaction_policy"


def is_decoupled(config: Mapping[str, Any]) -> bool:
    """Whether the `triton:` section of a spec, or a parsed configuration, describes a decoupled model."""
    policy = config.get(FIELD)
    return isinstance(policy, Mapping) and policy.get("decoupled") is True


def problems(model: schema.Model) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what does not fit between a model's spec and its transaction policy."""
    if not is_decoupled(model.triton):
        return
    if model.python is None:
        what = "an ensemble sends what its steps send" if model.ensemble else f"the backend {model.backend} sends one"
        yield ("triton", FIELD), f"only a Python step sends several responses to a request, and {what}"
    if model.max_batch_size:
        yield ("max_batch_size",), "a decoupled model needs 0: the samples of one batch would all need the same number of responses"
