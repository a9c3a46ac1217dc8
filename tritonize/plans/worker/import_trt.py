"""Import the TensorRT module that a worker's request names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from tritonize.core.errors import MissingError
from tritonize.core.messages import plans as wording

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import TensorRT


def load(name: str) -> TensorRT:
    """Import `tensorrt` or `tensorrt_rtx`.

    Raises:
        MissingError: the module is not installed or cannot be loaded.
    """
    try:
        return cast("TensorRT", importlib.import_module(name))
    except Exception as error:
        raise MissingError.of(
            wording.MODULE_NOT_LOADED, found=f"{type(error).__name__}: {error}", module=name, extra=name.replace("_", "-")
        ) from error
