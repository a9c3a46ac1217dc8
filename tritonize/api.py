"""The public functions. Each takes a spec, the path of one, or a model itself, and returns one Report per model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tritonize.core import arrays, temporary
from tritonize.core.artifacts import Report
from tritonize.core.errors import UsageError
from tritonize.source import in_process, input_inference
from tritonize.spec import loader
from tritonize.spec.schema import DEFAULT_MAX_BATCH_SIZE, Input, Model, Spec, Tolerance
from tritonize.triton import model_config
from tritonize.workflows import compare_models as compare_workflow
from tritonize.workflows import job as job_workflow
from tritonize.workflows import run as run_workflow
from tritonize.workflows import verify as verify_workflow


def run(
    specification: Spec | Path | str | Any,
    *,
    models: Sequence[str] = (),
    replace_config: bool = False,
    allow_unproven: bool = False,
    plans: Sequence[Path | str] = (),
    **description: Any,
) -> tuple[Report, ...]:
    """Build, serve, verify and publish the models of a specification: the main job.

    Args:
        specification: a `Spec`, the path of a YAML file, or a model: a `torch.nn.Module` (ScriptModules too) or a
            `torch.export.ExportedProgram`.
        models: names of the models; all where it is empty.
        replace_config: put a configuration in place that differs from the published one.
        allow_unproven: publish a version although a proof that it needs could not run here.
        plans: folders with TensorRT plans that were built elsewhere, of what `tritonize plan request` wrote; none is built then.
        description: of a model alone: `example`, its inputs as a tensor, a tuple or a dictionary of them, which gives names,
            types and shapes (the first axis is the batch; 0 as `max_batch_size` for a first axis that is not the batch); `name` and
            `repository`; and any field of `spec.Model`, such as `inputs`, `axes`, `outputs` or `samples`.

    Returns:
        One report per model; its `verdict` says whether the served outputs are PyTorch's.

    Raises:
        UsageError, MissingError, ExportError, RepositoryError, ServerError: nothing was published, nothing is left behind.
    """
    with _prepared(specification, description) as prepared:
        options = job_workflow.Options(
            replace_config=replace_config, allow_unproven=allow_unproven, plans=tuple(Path(each) for each in plans)
        )
        return run_workflow.run(prepared, models=models, options=options)


def build(
    specification: Spec | Path | str | Any, *, models: Sequence[str] = (), plans: Sequence[Path | str] = (), **description: Any
) -> tuple[Report, ...]:
    """Stage versions whose ONNX files answer like PyTorch in ONNX Runtime; no server is started, nothing is published.

    Args, return value and errors are those of `run`.
    """
    with _prepared(specification, description) as prepared:
        return run_workflow.build(prepared, models=models, options=job_workflow.Options(plans=tuple(Path(each) for each in plans)))


def compare_models(expected: Model, found: Model, *, tolerance: Tolerance | None = None) -> Report:
    """Two models on the same samples at every batch size, without a server; the first is the reference.

    Args:
        expected: the reference; its inputs, axes, samples and max_batch_size describe what both are asked.
        found: the model that has to answer like it; only its source, kwargs and weights matter.
        tolerance: for every output; by default those of `expected`.

    Raises:
        UsageError, MissingError, ExportError: one of them cannot be loaded or run.
    """
    with temporary.folder() as folder:
        return compare_workflow.compare_models(expected, found, Path(folder), tolerance=tolerance)


def verify(
    repository: Path | str,
    *,
    models: Sequence[str] = (),
    version: int | None = None,
    urls: Sequence[str] = (),
    serve_anyway: bool = False,
) -> tuple[Report, ...]:
    """Check published versions: their files against the manifest, a server's answers against the golden set.

    Args:
        repository: the model repository.
        models: names of the models; all where it is empty.
        version: the version; the newest where it is `None`.
        urls: `http://host:port` and `grpc://host:port` of a running server; the embedded one is started where it is empty.
        serve_anyway: ask a server also where files are not as they were proven; the verdict is `failed` all the same.

    Raises:
        UsageError, RepositoryError, MissingError, ServerError: it could not be verified.
    """
    request = verify_workflow.Request(
        repository=Path(repository), models=models, version=version, urls=urls, serve_anyway=serve_anyway
    )
    return verify_workflow.verify(request)


@contextlib.contextmanager
def _prepared(subject: Any, description: Mapping[str, Any]) -> Iterator[Spec]:
    """The specification, sound; where it is made for a model, the model lies in a file meanwhile."""
    if in_process.is_model(subject):
        with in_process.handed(subject, description.get("example")) as source:
            yield _sound(_described(source, type(subject).__name__, description))
        return
    if not isinstance(subject, Spec | Path | str):
        raise UsageError(
            "This is no specification and no model.",
            expected="a Spec, the path of one, a torch.nn.Module (an object, not its class) or a torch.export.ExportedProgram",
            found=f"a {type(subject).__name__}",
        )
    if description:
        raise UsageError("A specification describes its models itself.", found=", ".join(description))
    yield _sound(subject) if isinstance(subject, Spec) else loader.load(Path(subject), check_triton=model_config.triton_problems)


def _sound(specification: Spec) -> Spec:
    loader.require_sound(specification, check_triton=model_config.triton_problems)
    return specification


def _described(source: str, kind: str, description: Mapping[str, Any]) -> Spec:
    """A specification of one model that is handed over."""
    fields: dict[str, Any] = {"max_batch_size": DEFAULT_MAX_BATCH_SIZE, **description}
    name, repository = fields.pop("name", re.sub(r"[^A-Za-z0-9_-]", "_", kind)), fields.pop("repository", "model_repository")
    example = fields.pop("example", None)
    if example is not None and "inputs" not in fields:
        fields["inputs"] = _inputs_like(example, batched=bool(fields["max_batch_size"]))
    model = {"search_path": in_process.search_path(), **fields, "source": source}
    try:
        return Spec.model_validate({"schema": 1, "repository": repository, "models": {name: model}})
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in each['loc'][2:])}: {each['msg']}" for each in error.errors(include_url=False)]
        raise UsageError("The model is not described as one can be.", details=problems) from error


def _inputs_like(example: Any, *, batched: bool) -> dict[str, Input]:
    """Inputs like an example; integers are drawn between its smallest and its largest, since they may be indices."""
    found = dict(arrays.named(example, "example"))
    inputs = input_inference.like([arrays.spec_of(name, array) for name, array in found.items()], batched=batched, where="example")
    for name, array in found.items():
        if array.dtype.kind in "iu" and array.size and array.min() < array.max():  # one value alone says nothing of a range
            inputs[name] = inputs[name].model_copy(update={"range": (int(array.min()), int(array.max()))})
    return inputs
