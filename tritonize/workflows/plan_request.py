"""`tritonize plan request`: write one model's compared ONNX file and the request for its plans, for machines that build them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core import errors
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.core.recorder import Recorder
from tritonize.plans import from_spec, proof_input
from tritonize.plans.proof_input import ProofInput
from tritonize.source import identification, input_inference
from tritonize.spec import schema
from tritonize.workflows import prove
from tritonize.workflows.job import Options


def request(specification: schema.Spec, directory: Path, *, models: Sequence[str] = (), options: Options | None = None) -> Path:
    """Write a folder for other machines with the compared ONNX file of one model and the request for its plans.

    Returns the request's file, for `tritonize plan build --request`. What was built of it comes back as `Options.plans`.

    Raises:
        UsageError: the spec has several models and none is named, or its backend is none of TensorRT's.
        ExportError: no strategy made an ONNX file that answers like PyTorch.
    """
    chosen, names = options or Options(), specification.selected(models)
    if len(names) > 1:
        raise UsageError(
            "A plan request covers one model, and the spec has several.", found=", ".join(names), next_step="name one with --model"
        )
    (name,) = names
    model, place = specification.models[name], specification.repository
    if model.backend not in from_spec.MODULES:
        raise UsageError.of(wording.NO_PLANS, where=f"models.{name}.backend")
    from_spec.require_empty(directory)
    source = identification.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    with errors.storage_errors(place), repository.staging(place) as run_:
        model = input_inference.complete(model, source, run_.work)
        recorder = Recorder(chosen.on_stage)
        proven = prove.prove(model, source, run_.work, recorder=recorder)
        proven = prove.reduce_precision(model, proven, run_.work, recorder=recorder)
        if not proven.passed or (proven.nonfinite and model.quality.nan == "strict"):
            if proven.baseline.findings:
                raise ExportError(proven.baseline.findings[0].what, where=name)
            raise ExportError(
                "The ONNX file does not answer like PyTorch, so there is nothing to build of it.",
                where=name,
                next_step="see the report of `tritonize build`",
            )
        written = from_spec.write_request(from_spec.request(model, specification.target, proven.artifact), directory)
        given = ProofInput(golden=proven.golden, precision=model.precision, deadline_s=model.deadline_s)
        proof_input.write(given, directory / from_spec.PROOF_INPUT_FOLDER)
        return written
