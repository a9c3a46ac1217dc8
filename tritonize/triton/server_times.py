"""The server's own times of its requests, from its statistics: queue, input, computation and output."""

from __future__ import annotations

from typing import Literal

from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.load_results import ServerTimes
from tritonize.core.messages import client as client_messages
from tritonize.triton import client
from tritonize.triton.client import statuses
from tritonize.triton.protocol import InferenceStatistics, ModelStatistics

_Field = Literal["queue", "compute_input", "compute_infer", "compute_output", "success", "cache_hit"]


def read(connection: client.Client, model: str, version: int) -> ModelStatistics | None:
    """Read the statistics of one version; `None` if the server does not allow it.

    Raises:
        ServerError: it cannot be reached.
    """
    try:
        found = connection.statistics(model, str(version))
    except InferenceError:
        return None
    except ServerError as error:  # a proxy that passes only inference requests responds with its own page
        if error.code in statuses.CODES | {client_messages.NO_TRITON.code}:
            return None
        raise
    return found[0] if found else None


def between(before: ModelStatistics, after: ModelStatistics) -> ServerTimes | None:
    """The mean times of the requests between two readings; `None` without any."""
    requests = _count(after, "success") - _count(before, "success")
    if requests < 1:
        return None

    def mean(field: _Field) -> float:
        return (_ns(after, field) - _ns(before, field)) / 1e9 / requests

    return ServerTimes(
        requests=requests,
        queue=mean("queue"),
        input=mean("compute_input"),
        compute=mean("compute_infer"),
        output=mean("compute_output"),
        inferences=int(after.get("inference_count", 0)) - int(before.get("inference_count", 0)),
        executions=int(after.get("execution_count", 0)) - int(before.get("execution_count", 0)),
        hits=_count(after, "cache_hit") - _count(before, "cache_hit"),
    )


def _statistics(of: ModelStatistics) -> InferenceStatistics:
    return of.get("inference_stats", {})


def _count(of: ModelStatistics, field: _Field) -> int:
    duration = _statistics(of).get(field)
    return int(duration.get("count", 0)) if duration else 0


def _ns(of: ModelStatistics, field: _Field) -> int:
    duration = _statistics(of).get(field)
    return int(duration.get("ns", 0)) if duration else 0
