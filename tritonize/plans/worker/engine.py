"""Run a TensorRT plan on the GPU of this machine: every batch of samples in its profile. Write the outputs, and inspect the layers.

Runs inside a worker, without torch. `backends/plans/runner.py`, which the serving backends use too, runs the engine;
`backends/plans/cuda.py` manages the GPU's memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TextIO

from tritonize.backends.plans import cuda, runner
from tritonize.backends.plans.bindings import TensorRT
from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import MissingError, PlanError
from tritonize.core.messages import plans as wording
from tritonize.plans import gpu
from tritonize.plans.tasks import EngineRequest, EngineResult
from tritonize.plans.worker import import_trt

JSON, ONELINE = "layers.json", "layers.txt"


def run(request: EngineRequest) -> EngineResult:
    """Run every batch.

    Raises:
        MissingError: there is no GPU, or the module is not installed or does not start on this machine.
        PlanError: the plan cannot be loaded or run; the error contains the module's message.
    """
    try:
        device = cuda.Device()
    except cuda.CudaError as error:
        raise MissingError.of(wording.NO_GPU_TO_RUN, found=str(error)) from error
    trt = import_trt.load(request.module)
    try:
        with request.log.open("w", encoding="utf-8") as log:
            return _run(request, trt, device, log=log)
    except runner.StartError as error:
        raise MissingError.of(
            wording.MODULE_NOT_STARTED, found=str(error), module=request.module, version=trt.__version__
        ) from error
    except (runner.EngineError, cuda.CudaError) as error:
        raise PlanError.of(wording.ENGINE_FAILED, where=request.plan.name, found=str(error), plan=request.plan) from error


def _run(request: EngineRequest, trt: TensorRT, device: cuda.Device, *, log: TextIO) -> EngineResult:
    began = time.perf_counter()
    progress.report(text="load the plan")
    engine = runner.Engine(
        trt,
        device,
        request.plan.read_bytes(),
        plugins=[str(each) for each in request.plugins],
        host_code=request.version_compatible,
        log=lambda severity, text: _write(log, f"{severity}: {text}"),
    )
    loaded = time.perf_counter() - began
    stream, outputs, seconds = device.stream(), [], []
    information = engine.information()
    for files, taken, layers in _outputs(request, engine, stream):
        outputs.append(files)
        seconds.append(taken)
        information = layers or information
    for name, text in zip((JSON, ONELINE), information, strict=True):
        (request.directory / name).write_text(text, encoding="utf-8")
    return EngineResult(
        outputs=tuple(outputs),
        seconds=tuple(seconds),
        gpu=device.name,
        compute_capability=device.compute_capability,
        driver=gpu.driver_version(device.cuda),
        cuda=device.cuda,
        version=trt.__version__,
        layers=request.directory / JSON,
        load_seconds=loaded,
        library_seconds=time.perf_counter() - began,
    )


def _outputs(
    request: EngineRequest, engine: runner.Engine, stream: int
) -> Iterator[tuple[TensorFiles, float, tuple[str, str] | None]]:
    """The outputs and seconds of every batch, and the inspector's output for the first profile after its first run."""
    numbered = list(enumerate(request.batches))
    for profile, members in groupby(numbered, key=lambda each: each[1].profile):
        context = engine.context(profile, stream)
        described = False
        for position, batch in members:
            progress.report(done=position, total=len(numbered), unit="batch", text=f"profile {profile}")
            inputs = _engine_inputs(arrays.stack(request.samples.files, batch.samples))
            started = time.perf_counter()
            outputs = context.run(inputs)
            seconds = time.perf_counter() - started
            files = _save(engine, outputs, request.directory / str(position))
            yield files, seconds, engine.information(context) if profile == 0 and not described else None
            described = True
        context.release()


def _engine_inputs(batch: Arrays) -> Arrays:
    """The arrays as the engine expects them: bfloat16 as uint16."""
    return {name: array.view("uint16") if array.dtype == arrays.BFLOAT16 else array for name, array in batch.items()}


def _save(engine: runner.Engine, found: Arrays, directory: Path) -> TensorFiles:
    typed = {name: array.view(arrays.BFLOAT16) if engine.outputs[name].dtype == "BF16" else array for name, array in found.items()}
    files = TensorFiles(directory=directory, tensors=tuple(arrays.spec_of(name, array) for name, array in typed.items()), count=1)
    arrays.save(files, 0, typed)
    return files


def _write(log: TextIO, line: str) -> None:
    log.write(f"{line}\n")
    log.flush()
