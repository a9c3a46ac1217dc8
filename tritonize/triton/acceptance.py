"""Ask the embedded server which models of a repository it loads, without completing their configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.triton import client
from tritonize.triton.server import embedded, log


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server did with one model."""

    loaded: bool
    reason: str = ""
    """Why it did not load it, as far as the server says."""


def ask(repository: Path, models: Sequence[str], *, directory: Path, complete: bool = False) -> Mapping[str, Answer]:
    """Start the embedded server on some models of a repository, and return what it did with each.

    Args:
        repository: the model repository.
        models: the models to load; the models of an ensemble's steps are loaded too.
        directory: the folder for the server's log.
        complete: whether the server completes configurations.

    Raises:
        MissingError: the server is not installed and cannot be.
        ServerError: it did not start.
    """
    with embedded.start(repository, directory=directory, models=models, complete=complete, all_loaded=False) as running:
        with client.connect_to(running, "grpc") as connection:
            index = connection.model_index()
        reasons = log.refusals(directory / embedded.LOG_NAME)
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    reasons = {entry["name"]: log.plain(entry.get("reason", "")) for entry in index} | reasons
    return {name: Answer(loaded=True) if name in ready else Answer(loaded=False, reason=reasons.get(name, "")) for name in models}
