"""One version of one model on a server, and what it has to answer."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from tritonize.core import arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.stages import Transport
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import client
from tritonize.triton.invariances import Digests
from tritonize.triton.protocol import ModelConfig

_SLACK = 2**26
"""Bytes that any answer may have."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One version of one model on a server, and what it has to answer."""

    server: ServerHandle
    model: str
    version: int
    golden: GoldenSet
    config: ModelConfig
    """The configuration it was staged with, parsed."""
    tracker: ErrorTracker
    """Adds up the errors of all answers."""
    digests: Digests = field(default_factory=Digests)
    """Compares the bits of all answers to the same request."""
    newest: bool = True
    """Whether the server is to answer with it where a request names no version."""

    @functools.cached_property
    def response_limit(self) -> int:
        """Bytes that an answer may have: several times what is expected, since a wrong answer shall be seen and not refused."""
        largest = arrays.largest(self.golden.expected) * max(1, self.golden.max_batch_size)
        return max(_SLACK, 4 * largest)

    @property
    def any_transport(self) -> Transport:
        """The one for requests of which it does not matter: gRPC where there is an address."""
        return "grpc" if self.server.grpc_url else "http"

    def connect(self, transport: Transport) -> client.Client:
        """A connection that takes answers up to `response_limit`."""
        return client.connect_to(self.server, transport, response_limit=self.response_limit)
