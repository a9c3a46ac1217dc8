"""Import the TensorRT module that a worker's request names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from tritonize.core.errors import MissingError

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import TensorRT


def load(name: str) -> TensorRT:
    """Import `tensorrt` or `tensorrt_rtx`.

    Raises:
        MissingError: it is not installed, or cannot be loaded.
    """
    try:
        return cast("TensorRT", importlib.import_module(name))
    except Exception as error:
        raise MissingError(
            f"The Python package {name!r} cannot be loaded.",
            found=f"{type(error).__name__}: {error}",
            next_step=f'pip install "tritonize[{name.replace("_", "-")}]"',
        ) from error
