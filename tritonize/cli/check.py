"""`tritonize check`."""

from __future__ import annotations

from typing import Annotated

import typer

from tritonize.cli.display import display, finish
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.model_options import Axes, Inputs, MaxBatch, NoBatch


def check(
    expected: Annotated[str, typer.Argument(metavar="A", help="The reference: .pt, .pt2, .onnx or package.module:factory.")],
    found: Annotated[str, typer.Argument(metavar="B", help="The model to compare with A.")],
    inputs: Inputs = None,
    *,
    axes: Axes = None,
    max_batch_size: MaxBatch = None,
    no_batch: NoBatch = False,
    count: Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Number of samples.")] = 4,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the samples.")] = 0,
    rtol: Annotated[float, typer.Option(min=0, help="Relative tolerance.")] = 1e-4,
    atol: Annotated[float, typer.Option(min=0, help="Absolute tolerance, in the outputs' unit.")] = 9e-4,
    seconds: Deadline = RUN_S,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare the outputs of two model files on the same samples, without a server."""
    from tritonize.cli import flags
    from tritonize.core import temporary
    from tritonize.core.recorder import Recorder
    from tritonize.workflows import compare_models as compare_workflow

    models = []
    for source in (expected, found):
        given = flags.ModelFlags(
            source=source, name="a", inputs=inputs, axes=axes, max_batch_size=max_batch_size, no_batch=no_batch
        )
        (model,) = flags.specification(given).models.values()
        drawn = model.samples.model_copy(update={"count": count, "seed": seed})
        models.append(model.model_copy(update={"samples": drawn}))
    with limited(seconds), temporary.folder() as folder, display() as terminal:
        report = compare_workflow.compare_models(
            models[0], models[1], folder, recorder=Recorder(terminal.on_stage), tolerance=flags.tolerance(rtol, atol)
        )
    finish([report], as_json=json)
