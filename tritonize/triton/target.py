"""One version of one model on a server, and the outputs that it must return."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritonize.core import arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.stages import Transport
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import client, model_config, set_aside, weight
from tritonize.triton.invariances import Digests
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.weight import Pace, Profile, ProfileName

_SLACK = 2**26
"""Bytes that every response may have, however small the expected outputs are."""


@dataclass(frozen=True, kw_only=True)
class NewSamples:
    """Samples that were drawn for one verification, so that no server and no proxy can have stored their outputs."""

    seed: int
    """Creates the same samples again."""
    golden: GoldenSet | None = None
    """The samples with the outputs of a reference; `None` without one. Then samples of the version are sent with small changes."""
    origin: str = ""
    """What computed the outputs, or why nothing did, as text for the stage's note."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One version of one model on a server, and the outputs that it must return."""

    server: ServerHandle
    model: str
    version: int
    golden: GoldenSet
    config: ModelConfig
    """The configuration it was staged with, parsed."""
    tracker: ErrorTracker
    """Collects the errors of all responses."""
    digests: Digests = field(default_factory=Digests)
    """Compares the bits of all responses to the same request."""
    newest: bool = True
    """Whether the server must use this version for requests that name none."""
    present: ModelConfig | None = None
    """The published configuration, if another one replaced that which the version was proven with."""
    served: tuple[int, ...] = ()
    """The versions that the repository serves by its version policy; empty if it is not known."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Output to its labels, for outputs that have some."""
    new: NewSamples | None = None
    """Samples that the server has never received; `None` if a cache cannot matter, since the server has just started."""
    profile_name: ProfileName = "standard"
    pace: Pace = field(default_factory=Pace)
    """Bounds the rate of the requests, and counts them."""

    @property
    def profile(self) -> Profile:
        """What is sent."""
        return weight.PROFILES[self.profile_name]

    @property
    def by_default(self) -> int | None:
        """The version that requests without a version number must reach; `None` if any will do."""
        return self.version if self.newest else max(self.served, default=None)

    @functools.cached_property
    def served_config(self) -> ModelConfig:
        """The configuration that this server has.

        The embedded one serves the model without the fields that it cannot load, and the version whatever policy is published.
        """
        config = self.config if self.model not in self.server.set_aside else set_aside.without(self.config).config
        if self.server.log is None or self.version in model_config.versions_served(config, [self.version]):
            return config
        return model_config.serving(config, self.version)

    @functools.cached_property
    def response_limit(self) -> int:
        """Largest response in bytes: several times the expected size, so that a wrong response is compared and not refused."""
        largest = arrays.largest(self.golden.expected) * max(1, self.golden.max_batch_size)
        return max(_SLACK, 4 * largest)

    @property
    def transports(self) -> tuple[Transport, ...]:
        """The transports that have an address, HTTP first; shared memory is gRPC."""
        addresses: dict[Transport, str] = {"http": self.server.http_url, "grpc": self.server.grpc_url}
        return tuple(name for name, url in addresses.items() if url)

    @property
    def any_transport(self) -> Transport:
        """The transport for requests that may use any: gRPC if the server has a gRPC address."""
        return "grpc" if self.server.grpc_url else "http"

    def connect(self, transport: Transport) -> client.Client:
        """Open a connection that accepts responses up to `response_limit`."""
        return client.connect_to(self.server, transport, response_limit=self.response_limit)
