"""`tritonize plan`: build, request, prove, collect and check TensorRT plans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.plans.builder import BuiltPlan
    from tritonize.plans.compatibility import Compatibility

app = typer.Typer(
    help="TensorRT plans: build them on this or another machine, compare them with PyTorch, check where they load.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def build(
    request: Annotated[
        Path, typer.Option("--request", parser=local, metavar="FILE", help="A plan request: ONNX file, module, profiles, settings.")
    ],
    out: Annotated[Path, typer.Option(parser=local, metavar="FOLDER", help="Folder for plans, metadata and logs.")] = Path(),
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not take plans from the cache.")] = False,
    *,
    json: Json = False,
) -> None:
    """Build the plans of a request. The request and the ONNX file are all it needs."""
    from tritonize.cli.display import display
    from tritonize.plans import builder as plan_builder

    wanted = plan_builder.read_request(request)
    with display() as terminal, terminal.stage("Build the plans"):
        built = plan_builder.build(wanted, out, use_cache=not no_cache, on_progress=terminal.on_progress)
    if json:
        from json import dumps

        say(dumps({"plans": [plan_builder.describe(each) for each in built]}, indent=2))
        return
    for each in built:
        say_lines(_lines(each))


def _lines(built: BuiltPlan) -> Iterator[str]:
    from tritonize.core.artifacts import to_json
    from tritonize.report import text as report_text

    how = "from the cache" if built.cached else f"built in {built.metadata.build_seconds:.1f} s"
    yield f"{built.path}: {how}"
    yield from report_text.plan_lines(to_json(built.metadata))
    why = "no GPU on this machine" if built.metadata.gpu is None else "`plan build` only builds"
    yield f"  not run ({why}): its outputs are not compared with PyTorch yet"


@app.command()
def request(
    spec: Annotated[Path, typer.Argument(parser=local, metavar="SPEC", help="A spec (.yaml).")],
    out: Annotated[Path, typer.Option(parser=local, metavar="FOLDER", help="A new folder for the request and the ONNX file.")],
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model of the spec.")] = None,
) -> None:
    """Export and verify a model, and write a self-contained request to build its plans on other machines."""
    from tritonize.cli.display import display
    from tritonize.spec import loader
    from tritonize.triton import config_section
    from tritonize.workflows import job as job_workflow
    from tritonize.workflows import plan_request

    specification = loader.load(spec, check_triton=config_section.problems)
    with display() as terminal:
        options = job_workflow.Options(on_stage=terminal.on_stage, on_progress=terminal.on_progress)
        written = plan_request.request(specification, out, models=(model,) if model else (), options=options)
    say(f"{written}: copy this folder to each GPU machine and run there")
    say("  tritonize plan build --request request.json --out plans/")
    say("  tritonize plan prove plans/ --question question/")
    say(f"then copy the plans back and run: tritonize run {spec} --plans plans/")


@app.command()
def prove(
    places: Annotated[
        list[Path], typer.Argument(parser=local, metavar="FOLDER...", help="Output folders of `plan build`, or plans.")
    ],
    question: Annotated[
        Path, typer.Option(parser=local, metavar="FOLDER", help="The folder `question` that `plan request` wrote.")
    ],
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", parser=local, metavar="FILE", help="A plugin library of the plans.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Run plans on this machine's GPU and compare their outputs with PyTorch's. Writes a record beside each plan for `collect`.

    Exit code 1 if a plan's outputs are wrong, 3 if a plan could not run.
    """
    from tritonize.cli.display import display
    from tritonize.core import temporary
    from tritonize.core.errors import EXIT_DIFFERS, MissingError
    from tritonize.core.recorder import Recorder
    from tritonize.plans import proof as plan_proof
    from tritonize.plans import proof_input
    from tritonize.workflows import prove_plans

    given = proof_input.read(question)
    with display() as terminal, temporary.folder() as folder:
        plugins = tuple(each.absolute() for each in plugin or ())
        proofs = prove_plans.prove(places, given, folder, recorder=Recorder(terminal.on_stage), plugins=plugins)
    if json:
        from json import dumps

        say(dumps({"plans": [{"path": str(each.plan.path), **each.as_json()} for each in proofs]}, indent=2))
    else:
        for each in proofs:
            say(f"{each.plan.path}: {each.text}")
            for note in each.notes:
                say(f"  {note}")
    verdict = plan_proof.overall(proofs)
    if verdict != "passed":
        raise typer.Exit(EXIT_DIFFERS if verdict == "failed" else MissingError.exit_code)


@app.command()
def collect(
    places: Annotated[
        list[Path], typer.Argument(parser=local, metavar="FOLDER...", help="Output folders of `plan build`, or plans.")
    ],
    out: Annotated[Path, typer.Option(parser=local, metavar="FOLDER", help="A new folder for the plans.")],
    json: Json = False,
) -> None:
    """Copy the plans of several machines into one folder, one per GPU model. Fails if they do not belong together."""
    from tritonize.plans import collection as plan_collection

    collected = plan_collection.collect(places, out)
    if json:
        from json import dumps

        from tritonize.core.artifacts import to_json

        say(dumps({"plans": [to_json(each) for each in collected]}, indent=2))
        return
    for each in collected:
        metadata = each.metadata
        say(f"{each.path}: {metadata.module} {metadata.version}, compute capability {metadata.compute_capability}")


@app.command()
def check(
    plan: Annotated[Path, typer.Argument(parser=local, metavar="PLAN", help="A .plan file.")],
    triton: Annotated[str | None, typer.Option(metavar="YY.MM", help="Triton release, such as 26.06, or an image tag.")] = None,
    trt_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="TensorRT version of the target, all four parts: 10.16.1.11.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Describe a plan, and check whether it loads in a TensorRT version. Exit code 1 if it does not, 3 if that is unknown."""
    import re

    from tritonize.core.errors import MissingError, UsageError
    from tritonize.core.messages import usage
    from tritonize.plans import compatibility

    if triton and trt_version:
        raise UsageError.of(usage.TWO_TARGETS)
    if trt_version is not None and not re.fullmatch(r"\d+(\.\d+){3}", trt_version):
        raise UsageError.of(usage.TENSORRT_VERSION, expected="four numbers, such as 10.16.1.11", found=trt_version)
    if triton and not re.fullmatch(r"\d\d\.\d\d(-[a-z0-9.-]+)?", triton):
        expected = "year and month, such as 26.06, or an image tag such as 26.06-py3"
        raise UsageError.of(usage.TRITON_RELEASE, expected=expected, found=triton)
    compatibility.check(plan, None)  # raises for an invalid plan before the slow look-up of the image
    image = compatibility.of_image(triton) if triton else None
    loading = compatibility.check(plan, image.version if image else trt_version, image=image is not None)
    if json:
        from json import dumps

        from tritonize.core.artifacts import to_json

        say(dumps(to_json(loading) | {"image": to_json(image) if image else None}, indent=2))
    else:
        say_lines(_verdict(plan, loading))
        if image:
            say(f"  {image.image} has TensorRT {image.version or 'unknown'}: {image.source}")
    if loading.verdict == "does not load":
        raise typer.Exit(1)
    if loading.verdict == "unknown" and (triton or trt_version):
        raise typer.Exit(MissingError.exit_code)


def _verdict(path: Path, found: Compatibility) -> Iterator[str]:
    header, metadata = found.header, found.metadata
    capabilities = header.compute_capabilities or ((metadata.compute_capability,) if metadata else ())
    yield f"{path}: {header.module} {header.version_text}, compute capability {', '.join(capabilities) or 'unknown'}"
    yield f"  {found.verdict}: {'; '.join(found.reasons)}"
    if metadata is None:
        yield "  no metadata beside it"
