"""Whether a model ran for the answers that a server gave, by the server's own statistics: an answer from a cache proves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as say
from tritonize.core.messages import server as wording
from tritonize.core.stages import Transport
from tritonize.triton import client
from tritonize.triton.protocol import InferenceStatistics, ModelStatistics

_SETTLE_S = 2.0
"""Triton counts a request after it has answered it."""
_INTERVAL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one version of a model has done; as a difference, what it did meanwhile."""

    requests: int
    """That ended, well or not, from a cache or not."""
    inferences: int
    """Items that were computed: a batch of four counts four."""
    executions: int
    """Times that the model ran: fewer than requests where the server made batches of several."""
    hits: int
    """Answers from the server's response cache."""

    def since(self, before: Counts) -> Counts:
        """What happened since then."""
        return Counts(
            requests=self.requests - before.requests,
            inferences=self.inferences - before.inferences,
            executions=self.executions - before.executions,
            hits=self.hits - before.hits,
        )


def counts(server: ServerHandle, transport: Transport, model: str, *, version: int) -> Counts | None:
    """The counts so far; `None` where the server does not let us read them.

    Raises:
        ServerError: it cannot be reached.
    """
    with client.connect_to(server, transport) as connection:
        try:
            found = connection.statistics(model, str(version))
        except InferenceError:
            return None
        except ServerError as error:  # a proxy that lets inferences through alone answers with a page of its own
            if error.code in (say.HTTP_STATUS.code, say.NO_TRITON.code):
                return None
            raise
    own: ModelStatistics = found[0] if found else {}
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
    """What happened since `before`, once so many requests are counted; what is counted after two seconds where they never are."""
    until = time.monotonic() + _SETTLE_S
    while before is not None and (now := read()) is not None:
        done = now.since(before)
        if done.requests >= requests or time.monotonic() > until:
            return done
        time.sleep(_INTERVAL_S)
    return None


def why_nothing(done: Counts | None, answers: int, *, cached: bool) -> str | None:
    """Why some answers prove nothing; `None` where the model ran for one at least.

    Args:
        done: what the server counted meanwhile; `None` where it does not say.
        answers: how many it gave.
        cached: whether the model's configuration on the server switches the response cache on.
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
