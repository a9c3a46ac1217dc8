"""How to connect to a running server: certificates, headers, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

REQUEST_S = 300.0
"""Seconds that one request may take."""

Compression = Literal["gzip", "deflate"]


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """How every client of one server connects; the same for HTTP and gRPC. No header is part of its representation."""

    ca: Path | None = None
    """Certificates in PEM form of the authorities that may sign the server's; those of the system by default."""
    certificate: Path | None = None
    """This client's certificate, with its chain, in PEM form."""
    key: Path | None = None
    """Its private key, in PEM form; by default it is in the file of the certificate."""
    insecure: bool = False
    """Whether any certificate is accepted."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request: HTTP headers, over gRPC its metadata. They may be secret, so they are never printed."""
    timeout_s: float = REQUEST_S
    """Seconds that one request may take."""
    wait_s: float = 0.0
    """Seconds to wait for the server, and for the models on it, to become ready."""
    compression: Compression | None = None
    """Compression of requests; responses are accepted in it."""
    keep_alive_s: float | None = None
    """Seconds between keep-alive probes on an open connection; 0 closes an HTTP connection after each request."""
    max_message_bytes: int | None = None
    """Largest request and largest response in bytes."""
    at: Mapping[str, str] = field(default_factory=dict)
    """Host name to the one of its addresses that is connected to. Certificate and `Host` header stay those of the name."""
