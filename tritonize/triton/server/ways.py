"""Choose the way to start a server: the embedded one, `tritonserver` on PATH, or docker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tritonize.core.errors import MissingError
from tritonize.core.messages import server as messages
from tritonize.core.server_choice import AUTO, Way
from tritonize.triton.server import binary, docker, environment
from tritonize.triton.server.prerequisites import Probe


def resolve(way: Way | Literal["auto"], *, python: bool = False) -> Way:
    """The way to start a server: the given one if it is possible here; for `auto` the first that is.

    `auto` takes the embedded server if it is installed, else `tritonserver` on PATH, else the embedded server if it can be
    installed, else docker, whose image is some 10 GB.

    Args:
        way: the value of `--server`.
        python: whether plans or Python code are served.

    Raises:
        MissingError: it is not possible, with what is missing; for `auto`, none is.
    """
    if way != AUTO:
        _REQUIRE[way](python)
        return way
    order: tuple[Way, ...] = ("embedded", "binary", "docker") if environment.is_installed() else ("binary", "embedded", "docker")
    refusals: dict[Way, MissingError] = {}
    for each in order:
        try:
            _REQUIRE[each](python)
        except MissingError as error:
            refusals[each] = error
        else:
            return each
    own = refusals["embedded"]
    reasons = [f"{each}: {error.what}{f' Found: {error.found}' if error.found else ''}" for each, error in refusals.items()]
    raise MissingError.of(
        messages.NO_SERVER, expected=own.expected, found=own.found, details=reasons, next_step=own.next_step or "tritonize doctor"
    )


def probe(*, installed: bool) -> list[Probe]:
    """The ways besides the embedded server, and which one `auto` takes. Changes nothing.

    Args:
        installed: whether the embedded server is installed.
    """
    try:
        chosen: str = resolve(AUTO)
    except MissingError:
        chosen = "none of them is possible"
    else:
        reason = "it is installed" if installed else "it can be installed"
        reasons = {
            "embedded": reason,
            "binary": "the embedded server is not installed",
            "docker": "there is no other way",
        }
        chosen = f"{chosen}, because {reasons[chosen]}"
    own = [binary.probe(), docker.probe()]
    url = Probe(name="a running server (--server URL)", ok=True, found="run proves on it, if it is in explicit model control mode")
    return [*own, url, Probe(name="what --server auto takes", ok=True, found=chosen)]


def _require_embedded(python: bool) -> None:
    environment.require_possible(python=python)


def _require_binary(_python: bool) -> None:
    binary.require_possible()


def _require_docker(_python: bool) -> None:
    docker.require_possible()


_REQUIRE: dict[Way, Callable[[bool], None]] = {
    "embedded": _require_embedded,
    "binary": _require_binary,
    "docker": _require_docker,
}
