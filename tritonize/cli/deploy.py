"""`tritonize deploy`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.serve import shown_notes
from tritonize.cli.sign import RequireSignature
from tritonize.cli.terminal import say, say_wrapped
from tritonize.core.errors import EXIT_DIFFERS
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.workflows.deploy import Request, Written

app = typer.Typer(help="Write the files that deploy a repository; nothing is started or uploaded.", no_args_is_help=True)

Repository = Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The model repository.")]
Out = Annotated[
    Path | None,
    typer.Option(parser=local, metavar="DIR", help="The new folder; default: deploy-KIND, here.", show_default=False),
]
Models = Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the deployment; default: from the model, triton for several.", show_default=False),
]
Release = Annotated[
    str | None,
    typer.Option(metavar="YY.MM", help="Triton's release; default: the target of the versions.", show_default=False),
]
Gpu = Annotated[bool, typer.Option("--gpu", help="Give the server a GPU.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Image = Annotated[str, typer.Option(metavar="IMAGE", help="The image that was built from the folder of `deploy image`.")]
Verifier = Annotated[
    str | None,
    typer.Option(metavar="IMAGE", help="The image that verifies; default: IMAGE-verify.", show_default=False),
]


@app.command("image")
def image(
    repository: Repository,
    out: Out = None,
    models: Models = None,
    *,
    triton: Release = None,
    require_signature: RequireSignature = None,
    json: Json = False,
) -> None:
    """Write a Dockerfile and its context: only what Triton loads, on NVIDIA's image; and a second one that verifies."""
    from tritonize.workflows.deploy import Request

    folder = out or Path("deploy-image")
    request = Request(kind="image", repository=repository, out=folder, models=models or (), release=triton, key=require_signature)
    _write(request, as_json=json)


@app.command("compose")
def compose(
    repository: Repository,
    out: Out = None,
    models: Models = None,
    *,
    triton: Release = None,
    name: Name = None,
    gpu: Gpu = False,
    require_signature: RequireSignature = None,
    json: Json = False,
) -> None:
    """Write a file for docker compose with a copy of the models: on loopback, with a service that verifies."""
    from tritonize.workflows.deploy import Request

    request = Request(
        kind="compose",
        repository=repository,
        out=out or Path("deploy-compose"),
        models=models or (),
        release=triton,
        name=name,
        gpu=gpu,
        key=require_signature,
    )
    _write(request, as_json=json)


@app.command("kubernetes")
def kubernetes(
    repository: Repository,
    out: Out = None,
    models: Models = None,
    *,
    image: Image,
    triton: Release = None,
    name: Name = None,
    verifier: Verifier = None,
    gpu: Gpu = False,
    require_signature: RequireSignature = None,
    json: Json = False,
) -> None:
    """Write Kubernetes objects: Deployment, Service, HorizontalPodAutoscaler, PodMonitor, and Jobs that verify."""
    from tritonize.workflows.deploy import Request

    request = Request(
        kind="kubernetes",
        repository=repository,
        out=out or Path("deploy-kubernetes"),
        models=models or (),
        release=triton,
        name=name,
        gpu=gpu,
        image=image,
        verifier=verifier,
        key=require_signature,
    )
    _write(request, as_json=json)


@app.command("helm")
def helm(
    repository: Repository,
    out: Out = None,
    models: Models = None,
    *,
    image: Image,
    triton: Release = None,
    name: Name = None,
    verifier: Verifier = None,
    gpu: Gpu = False,
    require_signature: RequireSignature = None,
    json: Json = False,
) -> None:
    """Write a Helm chart with the objects of `deploy kubernetes`, and render it if helm is installed."""
    from tritonize.workflows.deploy import Request

    request = Request(
        kind="helm",
        repository=repository,
        out=out or Path("deploy-helm"),
        models=models or (),
        release=triton,
        name=name,
        gpu=gpu,
        image=image,
        verifier=verifier,
        key=require_signature,
    )
    _write(request, as_json=json)


@app.command("kserve")
def kserve(
    repository: Repository,
    out: Out = None,
    models: Models = None,
    *,
    storage_uri: Annotated[str, typer.Option(metavar="URI", help="Where the packed models are, such as s3://bucket/models.")],
    triton: Release = None,
    name: Name = None,
    gpu: Gpu = False,
    require_signature: RequireSignature = None,
    json: Json = False,
) -> None:
    """Write a ServingRuntime and an InferenceService of KServe."""
    from tritonize.workflows.deploy import Request

    request = Request(
        kind="kserve",
        repository=repository,
        out=out or Path("deploy-kserve"),
        models=models or (),
        release=triton,
        name=name,
        gpu=gpu,
        storage_uri=storage_uri,
        key=require_signature,
    )
    _write(request, as_json=json)


def _write(request: Request, *, as_json: bool) -> None:
    """Write the files and print what was done.

    Raises:
        typer.Exit: versions are not what was proven.
    """
    from tritonize.core.messages import deploy as wording
    from tritonize.workflows import deploy as workflow

    done = workflow.deploy(request)
    if as_json:
        from json import dumps

        say(dumps(_plain(request, done), indent=2, ensure_ascii=False))
    elif done.deployment is None:
        for finding in done.findings:
            say_wrapped(f"{finding.where}: {finding.what}", err=True)
        say(wording.NOT_WRITTEN.text(), err=True)
        say(f"  next: {wording.NOT_WRITTEN.next_step}", err=True)
    else:
        say(f"Wrote {done.folder}: {done.deployment.summary}, {done.deployment.base}")
        for file in done.files:
            if not file.startswith("models/"):
                say(f"  {file}")
        for note in shown_notes(done.notes):
            say_wrapped(note, err=True)
    if done.deployment is None:
        raise typer.Exit(EXIT_DIFFERS)


def _plain(request: Request, done: Written) -> dict[str, object]:
    plain: dict[str, object] = {"kind": request.kind, "folder": str(done.folder) if done.deployment else None}
    if done.deployment is not None:
        plain |= {
            "name": done.deployment.name,
            "triton": done.deployment.base,
            "models": {model.name: list(model.versions) for model in done.deployment.models},
            "verifications": [asdict(each) for each in done.deployment.verifications],
            "files": list(done.files),
        }
    return plain | {"findings": [asdict(each) for each in done.findings], "notes": list(done.notes)}
