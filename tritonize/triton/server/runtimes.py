"""The entries of the cache that the servers of this installation use."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.errors import MissingError
from tritonize.triton.server import environment, native_backend, python_environment


def current() -> frozenset[Path]:
    """The folders of the server's files, of its backends and of Triton's Python environment, whether they are there or not."""
    triton = environment.place()
    try:
        native = native_backend.find()
    except MissingError:
        return frozenset((triton, python_environment.place()))
    return frozenset(
        (triton, python_environment.place(), native_backend.place(native), python_environment.backends_place(native, triton))
    )
