"""The public functions. Each takes a spec, or the path of one, and returns one Report per model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tritonize import deployment, model_config, pairing, pipeline, spec_file
from tritonize.artifacts import Report
from tritonize.spec import Model, Spec, Tolerance


def run(specification: Spec | Path | str, *, models: Sequence[str] = (), replace_config: bool = False) -> tuple[Report, ...]:
    """Build, serve, verify and publish the models of a specification: the main job.

    Args:
        specification: a `Spec`, or the path of a YAML file.
        models: names of the models; all where it is empty.
        replace_config: put a configuration in place that differs from the published one.

    Returns:
        One report per model; its `verdict` says whether the served outputs are PyTorch's.

    Raises:
        UsageError, MissingError, ExportError, RepositoryError, ServerError: nothing was published, nothing is left behind.
    """
    return pipeline.run(_loaded(specification), models=models, options=pipeline.Options(replace_config=replace_config))


def build(specification: Spec | Path | str, *, models: Sequence[str] = ()) -> tuple[Report, ...]:
    """Stage versions whose ONNX files answer like PyTorch in ONNX Runtime; no server is started, nothing is published.

    Args, return value and errors are those of `run`.
    """
    return pipeline.build(_loaded(specification), models=models)


def compare_models(expected: Model, found: Model, *, tolerance: Tolerance | None = None) -> Report:
    """Two models on the same samples at every batch size, without a server; the first is the reference.

    Args:
        expected: the reference; its inputs, axes, samples and max_batch_size describe what both are asked.
        found: the model that has to answer like it; only its source, kwargs and weights matter.
        tolerance: for every output; by default those of `expected`.

    Raises:
        UsageError, MissingError, ExportError: one of them cannot be loaded or run.
    """
    with tempfile.TemporaryDirectory(prefix="tritonize-") as folder:
        return pairing.compare_models(expected, found, Path(folder), tolerance=tolerance)


def verify(
    repository: Path | str, *, models: Sequence[str] = (), version: int | None = None, urls: Sequence[str] = ()
) -> tuple[Report, ...]:
    """Check published versions: their files against the manifest, a server's answers against the golden set.

    Args:
        repository: the model repository.
        models: names of the models; all where it is empty.
        version: the version; the newest where it is `None`.
        urls: `http://host:port` and `grpc://host:port` of a running server; the embedded one is started where it is empty.

    Raises:
        UsageError, RepositoryError, MissingError, ServerError: it could not be verified.
    """
    return deployment.verify(deployment.Request(repository=Path(repository), models=models, version=version, urls=urls))


def _loaded(specification: Spec | Path | str) -> Spec:
    if isinstance(specification, Spec):
        spec_file.require_sound(specification, check_triton=model_config.triton_problems)
        return specification
    return spec_file.load(Path(specification), check_triton=model_config.triton_problems)
