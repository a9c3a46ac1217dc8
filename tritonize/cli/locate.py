"""`tritonize locate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display
from tritonize.cli.model_options import Axes, Described, Inputs, NoBatch
from tritonize.cli.run import Models
from tritonize.cli.terminal import say
from tritonize.core.errors import EXIT_DIFFERS, UnprovenError
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.core.error_location import Location
    from tritonize.core.errors import ExportError
    from tritonize.core.recorder import Recorder
    from tritonize.spec.schema import Model


def locate(
    expected: Annotated[str, typer.Argument(metavar="SPEC_OR_A", help="A spec (.yaml), or the correct ONNX file.")],
    found: Annotated[
        Path | None,
        typer.Argument(parser=local, metavar="B", help="The ONNX file that differs from A and has the same node names."),
    ] = None,
    models: Models = None,
    *,
    samples: Annotated[
        list[str] | None,
        typer.Option("--samples", metavar="FILE", help="Samples for A and B: .npz files, or patterns such as samples/*.npz."),
    ] = None,
    inputs: Inputs = None,
    axes: Axes = None,
    no_batch: NoBatch = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write the nodes that have to stay fp32 into the spec (keep_fp32.nodes).")
    ] = False,
    trials: Annotated[
        int, typer.Option(metavar="N", min=1, help="In fp16 and bf16: most sets of nodes to try, each with a full comparison.")
    ] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Find the node that an error comes from, in a model's export or in an ONNX file compared with another.

    Every node runs on the expected inputs, which separates its own error from the error it inherits. In fp16 and bf16, the command
    also finds a small set of nodes that have to stay fp32. Exit code 1 if it finds an origin or such a set, 3 if the modules of the
    model cannot be observed.
    """
    from tritonize.core import temporary
    from tritonize.core.recorder import Recorder

    with temporary.folder() as folder, display() as terminal:
        recorder = Recorder(terminal.on_stage)
        if expected.lower().endswith((".yaml", ".yml")):
            locations = _of_spec(Path(expected), found, models or [], work=folder, recorder=recorder, write=write, trials=trials)
        else:
            described = Described(inputs=inputs, axes=axes, no_batch=no_batch)
            locations = {str(found): _of_files(expected, found, samples, described=described, work=folder, recorder=recorder)}
    _finish(locations, as_json=json)


def _of_spec(
    path: Path, found: Path | None, models: list[str], *, work: Path, recorder: Recorder, write: bool, trials: int
) -> dict[str, Location]:
    from tritonize.core import errors
    from tritonize.core.messages import usage
    from tritonize.source import identification
    from tritonize.spec import editing, loader, steps
    from tritonize.triton import config_section
    from tritonize.workflows import keep_fp32

    if found is not None:
        raise errors.UsageError.of(usage.SPEC_AND_FILE, found=str(found))
    specification = loader.load(path, check_triton=config_section.problems)
    locations = {}
    named = specification.selected(models)
    names = [name for name in named if specification.models[name].is_exported] or named[:1]
    for name in names:
        model: Model = specification.models[name]
        steps.require_exported(name, model)
        if identification.identify(model).kind != "onnx":
            errors.require("torch", extra="torch")
        (work / name).mkdir()
        try:
            located = keep_fp32.locate_model(model, work / name, recorder, trials=trials)
        except errors.ExportError as error:
            if len(names) == 1:
                raise
            located = _not_exported(model, error)  # a failed export does not prevent the search in the other models
        locations[name] = located
        if write and located.keep_passes:
            editing.keep_in_fp32(path, name, [*model.keep_fp32.nodes, *located.keep])
            locations[name] = replace(located, written=str(path))
    return locations


def _not_exported(model: Model, error: ExportError) -> Location:
    from tritonize.core.error_location import Location

    return Location(expected=model.source, found="its export", kind="not available", notes=tuple(str(error).splitlines()))


def _of_files(
    expected: str,
    found: Path | None,
    samples: list[str] | None,
    *,
    described: Described,
    work: Path,
    recorder: Recorder,
) -> Location:
    from tritonize.cli import flags
    from tritonize.core import errors
    from tritonize.core.messages import usage
    from tritonize.locate import search as locate_search

    if found is None or not expected.lower().endswith(".onnx") or found.suffix.lower() != ".onnx":
        given_files = " ".join([expected, str(found or "")]).strip()
        raise errors.UsageError.of(usage.LOCATE_ARGUMENTS, expected="A.onnx B.onnx, or SPEC.yaml", found=given_files)
    given = flags.ModelFlags(**{**vars(described), "name": "a"}, source=expected)
    (model,) = flags.specification(given).models.values()
    if samples:
        model = model.model_copy(update={"samples": model.samples.model_copy(update={"files": samples})})
    return locate_search.locate_files(model, found, work, recorder=recorder)


def _finish(locations: dict[str, Location], *, as_json: bool) -> None:
    from tritonize.core import error_location
    from tritonize.core.artifacts import to_json

    if as_json:
        from json import dumps

        say(dumps({"locations": {name: to_json(each) for name, each in locations.items()}}, indent=2, ensure_ascii=False))
    else:
        for name, each in locations.items():
            if len(locations) > 1:
                say(f"\n{name}", nl=False)
            say(f"\n{error_location.as_text(each)}", nl=False)
    if any(each.origin is not None or each.state or each.keep or each.hopeless or each.exhausted for each in locations.values()):
        raise typer.Exit(EXIT_DIFFERS)
    if any(each.kind == "not available" for each in locations.values()):
        raise typer.Exit(UnprovenError.exit_code)
