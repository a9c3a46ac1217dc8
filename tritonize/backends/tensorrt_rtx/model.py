"""A Python-based Triton backend that serves TensorRT-RTX plans on a GPU; stock Triton has none. See `plans/plan_model.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plans"))

import plan_model  # type: ignore[import-not-found] # next to this backend


class TritonPythonModel(plan_model.PlanModel):  # type: ignore[misc]
    """One instance of one version of a model."""

    MODULE = "tensorrt_rtx"
