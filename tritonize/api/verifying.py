"""Verify published versions and deployments, exchange golden files, and compare versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tritonize.api.listening import OnProgress, OnStage, lines
from tritonize.api.wording import in_python
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import usage
from tritonize.core.recorder import silent
from tritonize.core.reports import Report
from tritonize.core.server_choice import Way
from tritonize.reference.golden_file import GoldenFile
from tritonize.triton import weight
from tritonize.triton.weight import ProfileName
from tritonize.workflows import diff as diff_workflow
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import replicas
from tritonize.workflows import verify as verify_workflow
from tritonize.workflows.diff import VersionDiff
from tritonize.workflows.golden import Export


@in_python
def verify(
    repository: Path | str | None = None,
    *,
    golden: Path | str | None = None,
    models: Sequence[str] = (),
    version: int | None = None,
    urls: Sequence[str] = (),
    connection: ConnectionOptions | None = None,
    profile: ProfileName = "standard",
    rate: float | None = None,
    serve_anyway: bool = False,
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Report, ...]:
    """Verify published versions, or a deployment with a golden file alone.

    With a repository, it compares the files of each version with its manifest, and a server's responses with its golden set. With a
    golden file, it compares the responses of the server at `urls` with that file, without the repository and the model's source.

    >>> (report,) = tritonize.verify("model_repository", models=["classifier"])
    >>> report.verdict
    'passed'

    Args:
        repository: the model repository; leave it out with `golden`.
        golden: a golden file; see `write_golden`.
        models: names of the models; all models if empty. With a golden file, the name of the served model, if it is another one.
        version: the version; the newest if `None`. With a golden file, the version on the server.
        urls: `http://host:port` and `grpc://host:port` of a running server; if empty, the embedded server is started.
        connection: certificates, headers and limits of the connection to it.
        profile: how many requests it gets: `quick` some ten, `standard` every sample at every batch size, `thorough` more.
        rate: most inference requests per second to it; `None` for no limit.
        serve_anyway: verify also versions whose files changed after publication; their verdict is `failed` in any case.
        on_stage: as in `run`.
        on_progress: as in `run`.

    Raises:
        UsageError, RepositoryError, MissingError, ServerError, InferenceError: the verification could not run.
    """
    if (repository is None) == (golden is None):
        raise UsageError.of(usage.VERIFY_WHAT, found="neither" if golden is None else "both")
    if profile not in weight.PROFILES or (rate is not None and not rate > 0):
        expected = f"profile: one of {', '.join(weight.PROFILES)}; rate: above 0"
        raise UsageError.of(usage.WEIGHT_INVALID, found=f"profile={profile!r}, rate={rate}", expected=expected)
    with lines(on_progress) as on_line:
        request = verify_workflow.Request(
            repository=local(repository or ""),
            models=models,
            version=version,
            urls=urls,
            connection=connection or ConnectionOptions(),
            profile=profile,
            rate=rate,
            serve_anyway=serve_anyway,
            on_stage=on_stage or silent,
            on_progress=on_line,
        )
        return replicas.verify(request) if golden is None else (_verify_golden(local(golden), request),)


def _verify_golden(path: Path, request: verify_workflow.Request) -> Report:
    """Verify a deployment with a golden file, as a request for a repository asks for it."""
    if len(request.models) > 1:
        raise UsageError.of(usage.GOLDEN_MODELS, found=", ".join(request.models))
    golden = golden_workflow.Request(
        path=path,
        urls=request.urls,
        connection=request.connection,
        model=request.models[0] if request.models else None,
        version=request.version,
        profile=request.profile,
        rate=request.rate,
        on_stage=request.on_stage,
        on_progress=request.on_progress,
    )
    return replicas.verify_golden(golden, on_progress=request.on_progress)


@in_python
def write_golden(
    repository: Path | str,
    model: str,
    *,
    out: Path | str | None = None,
    version: int | None = None,
    max_mib: int = 64,
    seeds: bool = False,
) -> Export:
    """Write the samples, expected outputs and rules of a version to one file, with which `verify` checks a deployment.

    >>> written = tritonize.write_golden("model_repository", "classifier")
    >>> written.path.name
    'classifier-1.golden'

    Args:
        repository: the model repository.
        model: its name there.
        out: the file (`<model>-<version>.golden` in the working folder).
        version: the version (the newest).
        max_mib: largest size in MiB; the file has at least one sample.
        seeds: store generated samples as a seed and a SHA-256.

    Raises:
        UsageError: the model or version does not exist, or the file does.
        RepositoryError: the version has no evidence, or its files changed.
    """
    path = None if out is None else local(out)
    return golden_workflow.export(local(repository), model, version=version, out=path, budget=max_mib * 2**20, seeds=seeds)


@in_python
def read_golden(path: Path | str) -> GoldenFile:
    """Check a golden file, and return what it says: where it comes from, and its rules. Its arrays are not kept.

    >>> file = tritonize.read_golden("classifier-1.golden")
    >>> file.origin.model, file.origin.verdict
    ('classifier', 'passed')

    Raises:
        UsageError, RepositoryError: it is no golden file, or it is damaged.
    """
    return golden_workflow.look(local(path))


@in_python
def diff(
    repository: Path | str,
    model: str,
    *,
    before: int,
    after: int,
    requests: int = diff_workflow.REQUESTS,
    serve_anyway: bool = False,
    server: Way | Literal["auto"] = "auto",
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
) -> VersionDiff:
    """Compare two published versions, which are served side by side: outputs, configuration, graph, files, latency.

    Args:
        repository: the model repository.
        model: its name there.
        before: a version.
        after: the version to compare with it.
        requests: timed requests to each version.
        serve_anyway: serve versions whose files changed after publication too.
        server: how the server is started, as in `run`.
        on_stage: as in `run`.
        on_progress: as in `run`.

    Raises:
        UsageError, RepositoryError, MissingError, ServerError: the versions could not be compared.
    """
    with lines(on_progress) as on_line:
        request = diff_workflow.Request(
            repository=local(repository),
            model=model,
            before=before,
            after=after,
            requests=requests,
            serve_anyway=serve_anyway,
            way=server,
            on_stage=on_stage or silent,
            on_progress=on_line,
        )
        return diff_workflow.diff(request)
