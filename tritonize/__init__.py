"""Turn a PyTorch model into a Triton model repository whose outputs are verified against the model.

The public API. Each name is loaded at its first use, so importing the package is fast and needs neither torch nor a server.
Functions return Reports; they never print and never exit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tritonize.api import build as build
    from tritonize.api import build_plans as build_plans
    from tritonize.api import check_plan as check_plan
    from tritonize.api import collect_plans as collect_plans
    from tritonize.api import compare_models as compare_models
    from tritonize.api import diff as diff
    from tritonize.api import measure_tolerance as measure_tolerance
    from tritonize.api import prove_plans as prove_plans
    from tritonize.api import read_golden as read_golden
    from tritonize.api import request_plans as request_plans
    from tritonize.api import run as run
    from tritonize.api import verify as verify
    from tritonize.api import write_golden as write_golden
    from tritonize.api.model_description import ModelDescription as ModelDescription
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
    from tritonize.core.progress import Progress as Progress
    from tritonize.core.reports import Report as Report
    from tritonize.core.reports import Stage as Stage
    from tritonize.core.tolerance_advice import ToleranceAdvice as ToleranceAdvice
    from tritonize.process.isolation_probe import isolate as isolate
    from tritonize.source.operators import operator as operator
    from tritonize.spec.schema import Axis as Axis
    from tritonize.spec.schema import Input as Input
    from tritonize.spec.schema import Model as Model
    from tritonize.spec.schema import Output as Output
    from tritonize.spec.schema import Quality as Quality
    from tritonize.spec.schema import Samples as Samples
    from tritonize.spec.schema import Spec as Spec
    from tritonize.spec.schema import Tolerance as Tolerance

__version__ = "0.1.0"

_HOMES = {
    "build": "api",
    "build_plans": "api",
    "check_plan": "api",
    "collect_plans": "api",
    "compare_models": "api",
    "diff": "api",
    "isolate": "process.isolation_probe",
    "measure_tolerance": "api",
    "operator": "source.operators",
    "prove_plans": "api",
    "read_golden": "api",
    "request_plans": "api",
    "run": "api",
    "verify": "api",
    "write_golden": "api",
    "ConnectionOptions": "core.connection_options",
    "ModelDescription": "api.model_description",
    "Progress": "core.progress",
    "Report": "core.reports",
    "Stage": "core.reports",
    "ToleranceAdvice": "core.tolerance_advice",
    "Axis": "spec.schema",
    "Input": "spec.schema",
    "Model": "spec.schema",
    "Output": "spec.schema",
    "Quality": "spec.schema",
    "Samples": "spec.schema",
    "Spec": "spec.schema",
    "Tolerance": "spec.schema",
    "ExportError": "core.errors",
    "InferenceError": "core.errors",
    "MissingError": "core.errors",
    "PlanError": "core.errors",
    "RepositoryError": "core.errors",
    "ServerError": "core.errors",
    "TritonizeError": "core.errors",
    "UnprovenError": "core.errors",
    "UsageError": "core.errors",
}

__all__ = [  # noqa: RUF022 - functions, then classes, then errors
    "build",
    "build_plans",
    "check_plan",
    "collect_plans",
    "compare_models",
    "diff",
    "isolate",
    "measure_tolerance",
    "operator",
    "prove_plans",
    "read_golden",
    "request_plans",
    "run",
    "verify",
    "write_golden",
    "ConnectionOptions",
    "ModelDescription",
    "Progress",
    "Report",
    "Stage",
    "ToleranceAdvice",
    "Axis",
    "Input",
    "Model",
    "Output",
    "Quality",
    "Samples",
    "Spec",
    "Tolerance",
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
