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
from tritonize.spec import schema, steps
from tritonize.workflows import prove
from tritonize.workflows.job import Options


def request(specification: schema.Spec, directory: Path, *, models: Sequence[str] = (), options: Options | None = None) -> Path:
    """Write a folder for other machines with the compared ONNX file of one model and the request for its plans.

    `tritonize plan build --request` builds the plans from the returned file; a run takes them as `Options.plans`.

    Raises:
        UsageError: the spec has several models and none is named, or the backend is not a TensorRT one.
        ExportError: no strategy exported an ONNX file whose outputs match PyTorch's.
    """
    names = specification.selected(models)
    if len(names) > 1:
        raise UsageError.of(wording.REQUEST_SEVERAL_MODELS, found=", ".join(names))
    (name,) = names
    model, place = specification.models[name], specification.repository
    steps.require_exported(name, model)
    if model.backend not in from_spec.MODULES:
        raise UsageError.of(wording.NO_PLANS, where=f"models.{name}.backend")
    from_spec.require_empty(directory)
    source = identification.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    with errors.storage_errors(place), repository.staging(place) as run_:
        model = input_inference.complete(model, source, run_.work)
        recorder = Recorder(options.on_stage if options else None)
        proven = prove.prove(model, source, run_.work, recorder=recorder)
        proven = prove.reduce_precision(model, proven, run_.work, recorder=recorder)
        if not proven.passed or (proven.nonfinite and model.quality.nan == "strict"):
            if proven.baseline.findings:
                raise ExportError.of(wording.REQUEST_WITHOUT_REFERENCE, where=name, found=proven.baseline.findings[0].what)
            raise ExportError.of(wording.REQUEST_ONNX_DIFFERS, where=name)
        written = from_spec.write_request(from_spec.request(model, specification.target, proven.artifact), directory)
        inputs = ProofInput(golden=proven.golden, precision=model.precision, deadline_s=model.deadline_s)
        proof_input.write(inputs, directory / from_spec.PROOF_INPUT_FOLDER)
        return written
