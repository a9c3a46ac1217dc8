"""The public functions. `run` and `build` accept a spec, the path of a spec file, or a model, and return one Report per model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tritonize.core import arrays, named_arrays, temporary
from tritonize.core.artifacts import Report
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import usage
from tritonize.core.server_choice import ServerChoice, chosen
from tritonize.source import in_process, input_inference
from tritonize.spec import key_places, loader, sentences
from tritonize.spec.schema import DEFAULT_MAX_BATCH_SIZE, Input, Model, Spec, Tolerance
from tritonize.triton import config_section, weight
from tritonize.triton.weight import ProfileName
from tritonize.workflows import compare_models as compare_workflow
from tritonize.workflows import job as job_workflow
from tritonize.workflows import replicas
from tritonize.workflows import run as run_workflow
from tritonize.workflows import verify as verify_workflow


def run(
    specification: Spec | Path | str | Any,
    *,
    models: Sequence[str] = (),
    replace_config: bool = False,
    drop_config_fields: bool = False,
    allow_unproven: bool = False,
    plans: Sequence[Path | str] = (),
    quick: bool = False,
    force: bool = False,
    server: str | Sequence[str] = "auto",
    server_repository: Path | str | None = None,
    connection: ConnectionOptions | None = None,
    **description: Any,
) -> tuple[Report, ...]:
    """Export, serve, verify and publish the models of a specification.

    Args:
        specification: a `Spec`, the path of a YAML file, or a model: a `torch.nn.Module` (also a ScriptModule) or a
            `torch.export.ExportedProgram`.
        models: names of the models; all models if empty.
        replace_config: replace a published configuration that differs.
        drop_config_fields: replace it even if it was written by hand and has fields that the new one lacks.
        allow_unproven: publish a version although a required check could not run on this machine.
        plans: folders with TensorRT plans that other machines built from a `tritonize plan request`; no plan is built then.
        quick: leave out float64, edge cases, NaN inputs and most requests; the verdict is then `passed quick`.
        force: run models that are up to date too.
        server: `embedded`, `binary`, `docker` or `auto`, which starts a server in that way; or the addresses of a running Triton,
            on which the versions are then proven.
        server_repository: its model repository, as a folder that this machine can write; by default the files are sent to it.
        connection: certificates, headers and limits of the connection to it.
        description: only with a model. `example`: its inputs as a tensor, or a tuple or dictionary of tensors, from which names,
            types and shapes are inferred; the first axis is the batch, unless `max_batch_size` is 0. `name`, `repository`, and
            any field of `spec.Model`, such as `inputs`, `axes`, `outputs` or `samples`.

    Returns:
        One report per model; its `verdict` is `passed` if the served outputs match PyTorch's.

    Raises:
        UsageError, MissingError, ExportError, RepositoryError, ServerError: the failing model is not published, and no process
            or temporary file is left.
    """
    with _prepared(specification, description) as prepared:
        options = job_workflow.Options(
            replace_config=replace_config,
            drop_config_fields=drop_config_fields,
            allow_unproven=allow_unproven,
            plans=tuple(local(each) for each in plans),
            quick=quick,
            force=force,
            server=_server(server, server_repository, connection),
        )
        return run_workflow.run(prepared, models=models, options=options)


def _server(server: str | Sequence[str], shared: Path | str | None, connection: ConnectionOptions | None) -> ServerChoice:
    words = [server] if isinstance(server, str) else server
    return chosen(words, shared=None if shared is None else local(shared), connection=connection)


def build(
    specification: Spec | Path | str | Any,
    *,
    models: Sequence[str] = (),
    plans: Sequence[Path | str] = (),
    quick: bool = False,
    **description: Any,
) -> tuple[Report, ...]:
    """Export models, compare them with PyTorch in ONNX Runtime and stage the versions, without a server and without publishing.

    Arguments, return value and errors are as in `run`.
    """
    with _prepared(specification, description) as prepared:
        options = job_workflow.Options(plans=tuple(local(each) for each in plans), quick=quick)
        return run_workflow.build(prepared, models=models, options=options)


def compare_models(expected: Model, found: Model, *, tolerance: Tolerance | None = None) -> Report:
    """Compare the outputs of two models on the same samples at every batch size, without a server.

    Args:
        expected: the reference; its inputs, axes, samples and max_batch_size apply to both models.
        found: the model to compare with it; only its source, kwargs and weights are used.
        tolerance: for every output; by default the tolerances of `expected`.

    Raises:
        UsageError, MissingError, ExportError: one of the models cannot be loaded or run.
    """
    with temporary.folder() as folder:
        return compare_workflow.compare_models(expected, found, Path(folder), tolerance=tolerance)


def verify(
    repository: Path | str,
    *,
    models: Sequence[str] = (),
    version: int | None = None,
    urls: Sequence[str] = (),
    connection: ConnectionOptions | None = None,
    profile: ProfileName = "standard",
    rate: float | None = None,
    serve_anyway: bool = False,
) -> tuple[Report, ...]:
    """Verify published versions: their files against the manifest, a server's responses against the golden set.

    Args:
        repository: the model repository.
        models: names of the models; all models if empty.
        version: the version; the newest if `None`.
        urls: `http://host:port` and `grpc://host:port` of a running server; if empty, the embedded server is started.
        connection: certificates, headers and limits of the connection to it.
        profile: how many requests it gets: `quick` some ten, `standard` every sample at every batch size, `thorough` more.
        rate: most inference requests per second to it; `None` for no limit.
        serve_anyway: verify also versions whose files changed after publication; their verdict is `failed` in any case.

    Raises:
        UsageError, RepositoryError, MissingError, ServerError: the verification could not run.
    """
    if profile not in weight.PROFILES or (rate is not None and not rate > 0):
        expected = f"profile: one of {', '.join(weight.PROFILES)}; rate: above 0"
        raise UsageError.of(usage.WEIGHT_INVALID, found=f"profile={profile!r}, rate={rate}", expected=expected)
    request = verify_workflow.Request(
        repository=local(repository),
        models=models,
        version=version,
        urls=urls,
        connection=connection or ConnectionOptions(),
        profile=profile,
        rate=rate,
        serve_anyway=serve_anyway,
    )
    return replicas.verify(request)


@contextlib.contextmanager
def _prepared(subject: Any, description: Mapping[str, Any]) -> Iterator[Spec]:
    """The validated specification. A model is stored in a temporary file for the duration of the block."""
    if in_process.is_model(subject):
        with in_process.saved_model(subject, description.get("example")) as source:
            yield _validated(_described(source, type(subject).__name__, description))
        return
    if not isinstance(subject, Spec | Path | str):
        raise UsageError.of(
            usage.NO_SUBJECT,
            expected="a Spec, the path of a spec file, a torch.nn.Module (an object, not its class) or a "
            "torch.export.ExportedProgram",
            found=f"a {type(subject).__name__}",
        )
    if description:
        raise UsageError.of(usage.DESCRIPTION_WITH_SPEC, found=", ".join(description))
    yield (_validated(subject) if isinstance(subject, Spec) else loader.load(local(subject), check_triton=config_section.problems))


def _validated(specification: Spec) -> Spec:
    loader.require_sound(specification, check_triton=config_section.problems)
    return specification


def _described(source: str, kind: str, description: Mapping[str, Any]) -> Spec:
    """The specification of one model from the caller's process."""
    fields: dict[str, Any] = {"max_batch_size": DEFAULT_MAX_BATCH_SIZE, **description}
    name, repository = fields.pop("name", re.sub(r"[^A-Za-z0-9_-]", "_", kind)), fields.pop("repository", "model_repository")
    example = fields.pop("example", None)
    if example is not None and "inputs" not in fields:
        fields["inputs"] = _inputs_like(example, batched=bool(fields["max_batch_size"]))
    model = {"search_path": in_process.search_path(), **fields, "source": source}
    try:
        return Spec.model_validate({"schema": 1, "repository": repository, "models": {name: model}})
    except ValidationError as error:
        problems = [f"{key_places.dotted(where[2:])}: {text}" for where, text in sentences.problems(error, Spec)]
        raise UsageError.of(usage.INVALID_DESCRIPTION, details=problems) from error


def _inputs_like(example: Any, *, batched: bool) -> dict[str, Input]:
    """Inputs with the types and shapes of an example. The range of an integer input is that of the example: it may hold indices."""
    found = dict(named_arrays.named(example, "example"))
    inputs = input_inference.inputs_like(
        [arrays.spec_of(name, array) for name, array in found.items()], batched=batched, where="example"
    )
    for name, array in found.items():
        if array.dtype.kind in "iu" and array.size and array.min() < array.max():  # a single value is not a range
            inputs[name] = inputs[name].model_copy(update={"range": (int(array.min()), int(array.max()))})
    return inputs
