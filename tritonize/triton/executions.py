"""Check from a server's statistics that a model computed the responses: a response from a cache verifies nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import server as wording
from tritonize.core.stages import Transport
from tritonize.triton import client, server_description
from tritonize.triton.protocol import InferenceStatistics, ModelConfig, ModelStatistics

_SETTLE_S = 2.0
"""Triton counts a request after it has sent the response."""
_INTERVAL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Statistics of one model version, in total or as the difference of two readings."""

    requests: int
    """Completed requests, successful or not, from the cache or not."""
    inferences: int
    """Computed items: a batch of four counts as four."""
    executions: int
    """Runs of the model: fewer than requests if the server batched several."""
    hits: int
    """Responses from the server's response cache."""

    def since(self, before: Counts) -> Counts:
        """The difference from an earlier reading."""
        return Counts(
            requests=self.requests - before.requests,
            inferences=self.inferences - before.inferences,
            executions=self.executions - before.executions,
            hits=self.hits - before.hits,
        )


@dataclass(frozen=True)
class Unread:
    """The server does not return its statistics."""

    why: str


def counts(server: ServerHandle, transport: Transport, model: str, *, version: int) -> Counts | Unread:
    """Read the counts, if the server allows it.

    Raises:
        ServerError: it cannot be reached.
    """
    with client.connect_to(server, transport) as connection:
        try:
            statistics = connection.statistics(model, str(version))
        except InferenceError as error:
            return Unread(server_description.why_unread(error) or error.found or error.what)
        except ServerError as error:
            if why := server_description.why_unread(error):
                return Unread(why)
            raise
    own: ModelStatistics = statistics[0] if statistics else {}
    stats: InferenceStatistics = own.get("inference_stats", {})

    def count(name: Literal["success", "fail", "cache_hit"]) -> int:
        duration = stats.get(name)
        return int(duration.get("count", 0)) if duration else 0

    return Counts(
        requests=count("success") + count("fail"),
        inferences=int(own.get("inference_count", 0)),
        executions=int(own.get("execution_count", 0)),
        hits=count("cache_hit"),
    )


def settled(read: Callable[[], Counts | None], before: Counts | None, requests: int) -> Counts | None:
    """The counts since `before`, as soon as `requests` requests are counted, and after two seconds in any case."""
    until = time.monotonic() + _SETTLE_S
    while before is not None and (now := read()) is not None:
        done = now.since(before)
        if done.requests >= requests or time.monotonic() > until:
            return done
        time.sleep(_INTERVAL_S)
    return None


def why_not_joined(done: Counts | None, config: ModelConfig) -> str | None:
    """Why concurrent requests say nothing about ragged inputs; `None` without such inputs, and if requests ran in one batch.

    It is `None` too if the server does not return its statistics.
    """
    ragged = [each["name"] for each in config.get("input", ()) if each.get("allow_ragged_batch")]
    if not ragged or done is None or done.executions < done.inferences:
        return None
    return wording.RAGGED_NOT_JOINED.text(inputs=", ".join(ragged))


def why_nothing(done: Counts | None, answers: int, *, cached: bool) -> str | None:
    """Why responses verify nothing; `None` if the model ran for at least one of them.

    Args:
        done: the server's counts for these responses; `None` if it does not give them.
        answers: the number of responses.
        cached: whether the model's configuration on the server enables the response cache.
    """
    if not answers:
        return None
    if done is None:
        return wording.CACHE_NOT_OBSERVABLE.text() if cached else None
    if done.executions < 1:
        return wording.NOTHING_EXECUTED.text(answers=answers, hits=done.hits)
    if done.hits >= answers:
        return wording.ALL_FROM_CACHE.text(answers=answers, hits=done.hits)
    return None
