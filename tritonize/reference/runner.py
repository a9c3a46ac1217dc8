"""The PyTorch model and what it answers: the reference that everything later is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tritonize.core.artifacts import Reference, SampleSet, Source, TensorFiles, from_json, to_json
from tritonize.core.errors import ExportError, UsageError, WorkerError
from tritonize.process import workers
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A reference, and PyTorch's own answers to some batches of the same samples."""

    reference: Reference
    batched: TensorFiles
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Edge case to why the model has no answer to it; its files are left out of the outputs."""
    exact: Recomputed | None = None
    """The answers in float64, or why there are none; `None` where they were not tried."""
    variants: tuple[Variant, ...] = ()
    """What the model answers in another state, such as that in which it was loaded."""
    changed: tuple[str, ...] = ()
    """Attributes of Python's that were others after the answers than before, with what they held."""
    traced: bool = False
    """Whether it is a traced file, which has no branches of Python's left."""
    apart: TensorFiles | None = None
    """The answers to the samples asked apart, in their order, of those that it answers."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Of the samples asked apart: name to why the model has no answer to it."""
    unpadded: str = ""
    """Why a sample beside zeros is not answered as alone; empty where it is."""
    moved: tuple[Mapping[str, float], ...] = ()
    """By sample, output to how far its answer moves where the weights are rounded otherwise; of small models alone."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Answers of the model in another state than that of the reference; see `workers.untouched.Variant`."""

    cause: Literal["training", "evaluation", "attention", "compiled"]
    parts: tuple[str, ...]
    outputs: TensorFiles | None
    """To the first samples, or to all of them."""
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """PyTorch's answers in another precision, or why there are none."""

    outputs: TensorFiles | None
    """Without those that the model does not answer in that precision."""
    reason: str = ""
    """Why there are none."""
    without: Mapping[str, str] = field(default_factory=dict)
    """The outputs that are missing, with the reason."""
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""


def load_request(model: schema.Model, source: Source) -> dict[str, object]:
    """The part of a worker's request that says how to load the model (`workers.torch_source.LoadRequest`)."""
    return {
        "kind": source.kind,
        "location": source.location,
        "kwargs": model.kwargs,
        "weights": str(model.state_dict.file) if model.state_dict else None,
        "weights_key": model.state_dict.key if model.state_dict else "",
        "weights_prefix": model.state_dict.prefix if model.state_dict else "",
        "operators": [str(path) for path in model.operators],
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "training": model.training,
        "fast_path": model.reference == "fast_path",
    }


def compute(
    model: schema.Model,
    source: Source,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    float64: bool = False,
    apart: SampleSet | None = None,
) -> Computed:
    """Run the model in a worker on every sample alone, and on `batches` of them; a small one in float64 too, where that is asked.

    Args:
        apart: further samples with names (`edges`), each asked alone; that the model fails on one is an answer and no error.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run as described; see the text.
    """
    request = {
        "model": load_request(model, source),
        "samples": to_json(samples),
        "batches": [list(batch) for batch in batches],
        "directory": str(directory),
        "float64": float64,
        "apart": apart and to_json(apart),
        "tolerances": {name: [output.tolerance.rtol, output.tolerance.atol] for name, output in model.outputs.items()},
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_named(
            "reference.worker.runner.compute",
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except WorkerError as error:
        raise died(error, "while PyTorch loaded and ran the model", source) from error
    return _computed(source, answer)


def _computed(source: Source, answer: workers.WorkerAnswer[dict[str, Any]]) -> Computed:
    """The worker's answer, typed."""
    outputs = from_json(TensorFiles, answer.value["outputs"])
    return Computed(
        reference=Reference(
            source=replace(source, sha256={**source.sha256, **answer.value["code"]}),
            outputs=outputs,
            parameters=answer.value["parameters"],
            state=answer.value["state"],
            renamed=answer.value["renamed"],
        ),
        batched=from_json(TensorFiles, answer.value["batched"]),
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
        peak_memory=answer.peak_memory,
        unusable=answer.value["unusable"],
        apart=answer.value["apart"] and from_json(TensorFiles, answer.value["apart"]),
        unasked=answer.value["unasked"],
        unpadded=answer.value["unpadded"],
        exact=_exact(answer.value),
        variants=tuple(from_json(Variant, each) for each in answer.value["variants"]),
        changed=tuple(answer.value["changed"]),
        traced=answer.value["traced"],
        moved=tuple(answer.value["moved"]),
    )


def _exact(value: Mapping[str, Any]) -> Recomputed | None:
    if value["exact"] is None and not value["why_not"]:
        return None
    outputs = value["exact"] and from_json(TensorFiles, value["exact"])
    return Recomputed(outputs=outputs, reason=value["why_not"], without=value["without"])


def recompute(
    model: schema.Model, answered: Reference, samples: SampleSet, *, dtype: Literal["fp64", "fp16", "bf16"], directory: Path
) -> Recomputed:
    """Run the model in a worker on every sample again, weights and inputs in another precision, within the bounds of `quality`.

    That it cannot, for want of time or memory or since it keeps to float32 inside, is an answer and no error.
    """
    request = {
        "model": load_request(model, answered.source),
        "samples": to_json(samples),
        "expected": to_json(answered.outputs),
        "dtype": dtype,
        "directory": str(directory),
    }
    directory.mkdir(parents=True, exist_ok=True)
    memory = model.quality.float64_memory_mib
    try:
        answer = workers.run_named(
            "reference.worker.recompute.recompute",
            request,
            directory=directory,
            deadline_s=model.quality.float64_deadline_s,
            memory_bytes=memory << 20 if memory else model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except (WorkerError, ExportError, UsageError) as error:
        return Recomputed(outputs=None, reason=f"{error.what} {error.found}" if error.found else error.what)
    return Recomputed(
        outputs=from_json(TensorFiles, answer.value["outputs"]),
        without=answer.value["without"],
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
        peak_memory=answer.peak_memory,
    )


def died(error: WorkerError, when: str, source: Source) -> ExportError:
    """The error of a worker that ran the user's model and gave no answer."""
    return ExportError(
        f"The model's process ended {when}.",
        where=source.location,
        found=error.what,
        cause="the model's own code exits, hangs, crashes or needs more memory than there is",
        next_step="raise deadline_s or memory_mib in the spec if that is all it lacks",
        details=error.details,
    )
