"""The REPOSITORY argument of commands that read one: a folder, or an address of which a private copy is made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonize.core.local_paths import is_address, without_secrets

if TYPE_CHECKING:
    from tritonize.core.errors import TritonizeError
    from tritonize.remote import Store

HELP = "The model repository: a folder, or an address such as s3://bucket/models."


def shown(repository: str) -> str:
    """A repository as it may be printed: an address without credentials."""
    return without_secrets(repository).rstrip("/") if is_address(repository) else repository


@contextlib.contextmanager
def opened(repository: str, models: Sequence[str], *, depth: str) -> Iterator[Path]:
    """The folder of a repository; for an address, a private copy that is removed afterwards.

    Args:
        repository: a path or an address.
        models: the models to copy; all models if empty.
        depth: how much is copied, a name of `remote.Depth`.

    Raises:
        TritonizeError: see `remote.mirror`; an error of the block about the copy names the address instead.
    """
    if not is_address(repository):
        yield Path(repository)
        return
    from tritonize import remote
    from tritonize.core import temporary
    from tritonize.core.errors import TritonizeError

    store = remote.open_store(repository)
    with temporary.folder() as folder:
        copy = folder / "repository"
        remote.mirror(store, copy, models, depth=remote.Depth[depth])
        _require(store, copy, models)
        if depth == "ALL":
            _add_steps(store, copy, models)
        try:
            yield copy
        except TritonizeError as error:
            raise _about(error, str(copy), store.address) from error


def _require(store: Store, copy: Path, models: Sequence[str]) -> None:
    """Raise UsageError if a model is not in the repository: the copy alone would be a repository without models."""
    from tritonize import repository

    if absent := [name for name in models if not (copy / name).is_dir()]:
        present = sorted({path.split("/")[0] for path in store.entries()})
        raise repository.no_model(absent, present, where=store.address)


def _add_steps(store: Store, copy: Path, models: Sequence[str]) -> None:
    """Copy the models that the steps of ensembles run, which `models` need not name."""
    from tritonize import remote, repository
    from tritonize.core.errors import TritonizeError
    from tritonize.triton import model_config
    from tritonize.workflows import ensemble_steps

    pending, known = list(models), set(models)
    while pending:
        try:
            text = repository.read_config(copy, pending.pop())
            steps = set(ensemble_steps.members(model_config.parse(text, where=repository.CONFIG))) - known
        except TritonizeError:  # `verify` reports it
            continue
        for step in sorted(steps):
            remote.mirror(store, copy, [step], depth=remote.Depth.ALL)
        known |= steps
        pending += steps


def _about(error: TritonizeError, copy: str, address: str) -> TritonizeError:
    """The error with the address in place of the path of the copy, which does not exist any more when it is read."""

    def plain(text: str | None) -> str | None:
        return None if text is None else text.replace(copy, address)

    return type(error)(
        error.what.replace(copy, address),
        where=error.place or plain(error.where),
        expected=plain(error.expected),
        found=plain(error.found),
        cause=plain(error.cause),
        next_step=plain(error.next_step),
        details=[each.replace(copy, address) for each in error.details],
        code=error.code,
        meant=error.meant,
    )
