"""The options of `tritonize verify` that compare a new server or version with the one in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.option_groups import with_options
from tritonize.core.errors import UsageError

if TYPE_CHECKING:
    from tritonize.core.connection_options import ConnectionOptions
    from tritonize.workflows.canary import Baseline

MAX_SLOWDOWN = 20.0
"""Default in percent."""


@dataclass(frozen=True, kw_only=True)
class CanaryOptions:
    """What to compare with."""

    urls: Sequence[str]
    version: int | None
    max_slowdown: float | None

    def baseline(self, *, running: bool, watching: bool, connection: ConnectionOptions) -> Baseline | None:
        """The baseline; `None` if none is given.

        Args:
            running: whether a running server is given.
            watching: whether the verification is repeated.
            connection: how to connect to both.

        Raises:
            UsageError: options do not belong together, or an address is malformed.
        """
        from tritonize.core.messages import canary, client
        from tritonize.triton import remote
        from tritonize.workflows.canary import Baseline

        if not self.urls and self.version is None:
            if self.max_slowdown is not None:
                raise UsageError.of(canary.WITHOUT_BASELINE)
            return None
        if not running:
            raise UsageError.of(client.OPTION_WITHOUT_URL, options="--baseline or --baseline-version")
        if watching:
            raise UsageError.of(canary.NOT_TOGETHER)
        if self.urls:
            remote.require_sound(self.urls, connection)
        slowdown = MAX_SLOWDOWN if self.max_slowdown is None else self.max_slowdown
        return Baseline(urls=self.urls, version=self.version, max_slowdown=slowdown / 100)


def _options(
    *,
    baseline: Annotated[
        list[str] | None,
        typer.Option("--baseline", metavar="URL", help="The server in use: compare it with --url, which may take its place."),
    ] = None,
    baseline_version: Annotated[
        int | None, typer.Option("--baseline-version", metavar="N", help="The version in use; default: the one of --version.")
    ] = None,
    max_slowdown: Annotated[
        float | None,
        typer.Option(
            "--max-slowdown",
            min=0,
            metavar="PERCENT",
            help=f"Median latency above the baseline's by more than this fails ({MAX_SLOWDOWN:g}).",
        ),
    ] = None,
) -> CanaryOptions:
    return CanaryOptions(urls=baseline or (), version=baseline_version, max_slowdown=max_slowdown)


with_canary = with_options("canary", _options)
"""Adds the options to a command that has the parameter `canary: CanaryOptions`."""
