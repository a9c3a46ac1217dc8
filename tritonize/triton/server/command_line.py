"""The options of `tritonserver` that every way to start it uses, and whether a server knows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tritonize.triton.server.ports import ADDRESS, Ports

EXIT_TIMEOUT_S = 5
_OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a server is to do."""

    name: str
    """Its `--id`."""
    repository: str
    """The model repository, as a path that the server sees."""
    ports: Ports
    """Where it listens."""
    metrics_address: str = ADDRESS
    explicit: bool = False
    """Whether models can be loaded and unloaded by requests."""
    variant: str = ""
    """Name of the variant in `configs/` by which models are served that have one."""
    complete: bool = False
    """Whether it completes configurations, as it does by default."""
    python: bool = False
    """Whether models need the Python backend, whose shared memory then gets the server's name as its prefix."""


def options(wanted: Wanted) -> list[str]:
    """The options, without the program and without those for access control."""
    ports = wanted.ports
    control = ["--model-control-mode=explicit", "--load-model=*"] if wanted.explicit else ["--model-control-mode=none"]
    metrics = ["--allow-metrics=false"]
    if ports.metrics is not None:
        metrics = ["--allow-metrics=true", f"--metrics-address={wanted.metrics_address}", f"--metrics-port={ports.metrics}"]
    return [
        f"--id={wanted.name}",
        f"--model-repository={wanted.repository}",
        *control,
        *([f"--backend-config=python,shm-region-prefix-name={wanted.name}"] if wanted.python else []),
        *([f"--model-config-name={wanted.variant}"] if wanted.variant else []),
        *([] if wanted.complete else ["--disable-auto-complete-config"]),  # it would silently repair a wrong configuration
        "--exit-on-error=false",  # so that the log gives the reason for every refused model, not only for the first
        "--strict-readiness=false",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--http-address={ports.address}",
        f"--http-port={ports.http}",
        f"--grpc-address={ports.address}",
        f"--grpc-port={ports.grpc}",
        *metrics,
    ]


def names(words: Iterable[str]) -> set[str]:
    """The names of the options in a command line or in the text of `tritonserver --help`."""
    return {match for word in words for match in _OPTION.findall(word.partition("=")[0])}
