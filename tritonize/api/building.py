"""Export, prove and compare models: `run`, `build`, `compare_models` and `measure_tolerance`.

The example needs `import torch, tritonize`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from tritonize.api.listening import OnProgress, OnStage, lines
from tritonize.api.model_description import ModelDescription, place, specified
from tritonize.api.wording import in_python
from tritonize.core import temporary
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.local_paths import local
from tritonize.core.recorder import Recorder, silent
from tritonize.core.reports import Report
from tritonize.core.server_choice import ServerChoice, chosen
from tritonize.spec.schema import Model, Spec, Tolerance
from tritonize.workflows import compare_models as compare_workflow
from tritonize.workflows import job as job_workflow
from tritonize.workflows import run as run_workflow
from tritonize.workflows import tolerance as tolerance_workflow


@in_python
def run(
    specification: Spec | Path | str | object,
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
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
    **description: Unpack[ModelDescription],
) -> tuple[Report, ...]:
    """Export, serve, verify and publish the models of a specification.

    >>> (report,) = tritonize.run(torch.nn.Linear(8, 4), name="classifier", example=torch.randn(1, 8))
    >>> report.verdict
    'passed'

    Args:
        specification: a `Spec`, the path of a YAML file, or a model: a `torch.nn.Module` (also a ScriptModule), a
            `torch.export.ExportedProgram`, the path of a model file, or `package.module:factory`.
        models: names of the models; all models if empty.
        replace_config: replace a published configuration that differs.
        drop_config_fields: replace it even if it was written by hand and has fields that the new one lacks.
        allow_unproven: publish although a required check could not run on this machine, or a quick version over a proven one.
        plans: folders with TensorRT plans that other machines built from a request (`request_plans`); no plan is built then.
        quick: leave out float64, edge cases, NaN inputs and most requests; the verdict is then `passed quick`.
        force: run models that are up to date too.
        server: `auto`, `embedded`, `binary` or `docker` to start one; or addresses of a running Triton, to prove versions there.
        server_repository: its model repository, as a folder that this machine can write; by default the files are sent to it.
        connection: certificates, headers and limits of the connection to it.
        on_stage: called with a stage's name and `None` when it begins, and with its `Stage` when it ends.
        on_progress: called with a `Progress` (done, total, unit, text) during long stages, from any thread.
        description: only with a model: `example`, its inputs, and what a spec would say about it; see `ModelDescription`.

    Returns:
        One report per model; its `verdict` is `passed` if the served outputs match PyTorch's.

    Raises:
        UsageError, MissingError, ExportError, RepositoryError, ServerError: nothing of the model is published or left behind.
    """
    with specified(specification, description) as given, lines(on_progress) as on_line:
        options = job_workflow.Options(
            replace_config=replace_config,
            drop_config_fields=drop_config_fields,
            allow_unproven=allow_unproven,
            plans=tuple(local(each) for each in plans),
            quick=quick,
            force=force,
            server=_server(server, server_repository, connection),
            set_in=place(specification),
            on_stage=on_stage,
            on_progress=on_line,
        )
        return run_workflow.run(given, models=models, options=options)


def _server(server: str | Sequence[str], shared: Path | str | None, connection: ConnectionOptions | None) -> ServerChoice:
    words = [server] if isinstance(server, str) else server
    return chosen(words, shared=None if shared is None else local(shared), connection=connection)


@in_python
def build(
    specification: Spec | Path | str | object,
    *,
    models: Sequence[str] = (),
    plans: Sequence[Path | str] = (),
    quick: bool = False,
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
    **description: Unpack[ModelDescription],
) -> tuple[Report, ...]:
    """Export models, compare them with PyTorch in ONNX Runtime and stage the versions, without a server and without publishing.

    Arguments, return value and errors are as in `run`.
    """
    with specified(specification, description) as given, lines(on_progress) as on_line:
        options = job_workflow.Options(
            plans=tuple(local(each) for each in plans),
            quick=quick,
            set_in=place(specification),
            on_stage=on_stage,
            on_progress=on_line,
        )
        return run_workflow.build(given, models=models, options=options)


@in_python
def measure_tolerance(
    specification: Spec | Path | str | object,
    *,
    models: Sequence[str] = (),
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
    **description: Unpack[ModelDescription],
) -> tuple[Report, ...]:
    """Find the smallest tolerance with which each output passes; no server is started and no file is kept.

    Arguments are as in `run`. `Report.tolerances` has the result for each output; it is in the reports of `run`, `build` and
    `verify` too.

    Raises:
        UnprovenError: a model's outputs are compared on a server alone.
        UsageError, MissingError, ExportError: a model cannot be loaded, exported or run.
    """
    with specified(specification, description) as given, lines(on_progress) as on_line:
        options = job_workflow.Options(set_in=place(specification), on_stage=on_stage, on_progress=on_line)
        return tolerance_workflow.measured(given, models=models, options=options)


@in_python
def compare_models(
    expected: Model,
    found: Model,
    *,
    tolerance: Tolerance | None = None,
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Compare the outputs of two models on the same samples at every batch size, without a server.

    Args:
        expected: the reference; its inputs, axes, samples and max_batch_size apply to both models.
        found: the model to compare with it; only its source, kwargs and weights are used.
        tolerance: for every output; by default the tolerances of `expected`.
        on_stage: as in `run`.
        on_progress: as in `run`.

    Raises:
        UsageError, MissingError, ExportError: one of the models cannot be loaded or run.
    """
    with temporary.folder() as folder, lines(on_progress):
        recorder = Recorder(on_stage or silent)
        return compare_workflow.compare_models(expected, found, Path(folder), recorder=recorder, tolerance=tolerance)
