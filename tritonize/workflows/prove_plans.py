"""Prove plans on the machine that built them, which has their GPU, for a version that is assembled on another machine.

A machine with the plans and the input of the proof needs nothing else: no torch, no source, no spec. A record of the
result is left beside each plan.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize.core import conclusion
from tritonize.core.artifacts import to_json
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.plans import collection as plan_collection
from tritonize.plans import proof as plan_proof
from tritonize.plans import proof_record
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.proof import ProofRun
from tritonize.plans.proof_input import ProofInput
from tritonize.plans.proof_record import ProofRecord
from tritonize.quality import gates
from tritonize.quality.tracker import ErrorTracker
from tritonize.report import text as report_text


def prove(
    places: Sequence[Path],
    given: ProofInput,
    directory: Path,
    *,
    recorder: Recorder,
    plugins: tuple[Path, ...] = (),
) -> tuple[plan_proof.PlanProof, ...]:
    """Run plans that were built on this machine, and write a record beside each that ran.

    Args:
        places: folders with plans, or plans.
        given: the golden set to compare with, and its precision.
        directory: an empty folder for the outputs of the engines.

    Raises:
        UsageError, PlanError: see `plan_collection.read`.
    """
    proofs = []
    for each in plan_collection.read(places):
        tracker = ErrorTracker(given.golden)
        built = BuiltPlan(path=each.path, log=each.log, metadata=each.metadata, cached=True, seconds=0.0)
        run = ProofRun(input=given, plugins=plugins, tracker=tracker, accept_records=False)
        (proof,) = plan_proof.prove([built], run, directory / each.path.stem, recorder=recorder)
        judgement = gates.judge(tracker, proof.checks, on_gpu=(StageName.PLAN,))
        over = gates.first_over_budget(judgement.gates)
        if proof.verdict == "passed" and over is not None:
            proof = replace(proof, verdict="failed", reason=f"{over.output}: {conclusion.describe_gate(over)}")
        elif proof.verdict == "passed" and not judgement.passed:
            proof = replace(proof, verdict="failed", reason="PyTorch in float64 is required and could not run")
        if proof.checks or proof.verdict == "failed":
            record = ProofRecord(
                plan_sha256=each.metadata.plan_sha256,
                question_sha256=given.sha256,
                verdict=proof.verdict,
                reason=proof.reason,
                answers=tuple(report_text.summary(proof.checks)),
                gates=tuple(to_json(gate) for gate in judgement.gates),
                notes=proof.notes,
                facts=proof.facts or {},
                proved_by=f"tritonize {importlib.metadata.version('tritonize')}",
            )
            proof_record.write(each.path, record)
        proofs.append(proof)
    return tuple(proofs)
