"""TensorRT plans: a request (`request.py`), its build (`builder.py`), its proof (`proof.py`), collection (`collection.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.plans.builder import BuiltPlan as BuiltPlan
    from tritonize.plans.builder import build as build
    from tritonize.plans.collection import collect as collect
    from tritonize.plans.proof import PlanProof as PlanProof
    from tritonize.plans.proof import ProofRun as ProofRun
    from tritonize.plans.proof import prove as prove
    from tritonize.plans.proof_input import ProofInput as ProofInput

__all__ = ["BuiltPlan", "PlanProof", "ProofInput", "ProofRun", "build", "collect", "prove"]

__getattr__ = lazy.attach(
    __name__,
    {
        "BuiltPlan": "builder",
        "PlanProof": "proof",
        "ProofInput": "proof_input",
        "ProofRun": "proof",
        "build": "builder",
        "collect": "collection",
        "prove": "proof",
    },
)
