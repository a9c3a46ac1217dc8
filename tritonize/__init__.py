"""Turn a PyTorch model into a Triton model repository whose outputs are verified against the model.

The public API. Each name is loaded at its first use, so importing the package is fast and needs neither torch nor a server.
Functions return Reports; they never print and never exit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tritonize.api import build as build
    from tritonize.api import compare_models as compare_models
    from tritonize.api import run as run
    from tritonize.api import verify as verify
    from tritonize.core.artifacts import Report as Report
    from tritonize.core.connection_options import ConnectionOptions as ConnectionOptions
    from tritonize.core.errors import ExportError as ExportError
    from tritonize.core.errors import InferenceError as InferenceError
    from tritonize.core.errors import MissingError as MissingError
    from tritonize.core.errors import PlanError as PlanError
    from tritonize.core.errors import RepositoryError as RepositoryError
    from tritonize.core.errors import ServerError as ServerError
    from tritonize.core.errors import TritonizeError as TritonizeError
    from tritonize.core.errors import UnprovenError as UnprovenError
    from tritonize.core.errors import UsageError as UsageError
    from tritonize.process.isolation_probe import isolate as isolate
    from tritonize.source.operators import operator as operator
    from tritonize.spec.schema import Spec as Spec

__version__ = "0.1.0"

_HOMES = {
    "build": "api",
    "compare_models": "api",
    "run": "api",
    "verify": "api",
    "isolate": "process.isolation_probe",
    "operator": "source.operators",
    "ConnectionOptions": "core.connection_options",
    "Report": "core.artifacts",
    "ExportError": "core.errors",
    "InferenceError": "core.errors",
    "MissingError": "core.errors",
    "PlanError": "core.errors",
    "RepositoryError": "core.errors",
    "ServerError": "core.errors",
    "TritonizeError": "core.errors",
    "UnprovenError": "core.errors",
    "UsageError": "core.errors",
    "Spec": "spec.schema",
}

__all__ = [  # noqa: RUF022 - functions first
    "build",
    "compare_models",
    "isolate",
    "operator",
    "run",
    "verify",
    "ConnectionOptions",
    "Report",
    "Spec",
    "ExportError",
    "InferenceError",
    "MissingError",
    "PlanError",
    "RepositoryError",
    "ServerError",
    "TritonizeError",
    "UnprovenError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tritonize' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tritonize.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
