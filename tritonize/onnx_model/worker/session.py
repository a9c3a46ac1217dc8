"""Run an ONNX file in ONNX Runtime on batches of samples and save the outputs. Runs in a worker process, without torch."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from tritonize.core import arrays, progress, sequence_states
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import export as wording
from tritonize.onnx_model.tasks import RunRequest, RunResult
from tritonize.onnx_model.worker import unsupported
from tritonize.process.stopwatch import Stopwatch

_LONGEST = 300  # characters of ONNX Runtime's error text
_OUT_OF_BOUNDS = "out of data bounds"  # of Gather and its relatives


def run(request: RunRequest) -> RunResult:
    """Run every batch, and the samples that are run alone.

    Raises:
        ExportError: ONNX Runtime does not load or run the file.
    """
    watch = Stopwatch()
    with watch.library():
        opened = session(request.path, request.libraries)
    samples = _rolled_out(opened, request, watch) if request.roll_out else request.samples
    outputs, seconds = [], []
    for position, indices in enumerate(progress.counted(request.batches, "batch")):
        batch = arrays.stack(samples.files, indices)
        before = watch.seconds
        with watch.library():
            outputs_of_batch = _run(opened, batch, request, size=len(indices))
        seconds.append(watch.seconds - before)
        outputs.append(_kept(outputs_of_batch, request.directory / str(position)))
    return RunResult(
        outputs=tuple(outputs),
        seconds=tuple(seconds),
        version=onnxruntime.__version__,
        library_seconds=watch.seconds,
        apart=tuple(_apart(opened, request, watch)),
        samples=samples if request.roll_out else None,
    )


def _rolled_out(opened: onnxruntime.InferenceSession, request: RunRequest, watch: Stopwatch) -> SampleSet:
    """The samples of a stateful model with the states of all steps.

    Raises:
        UsageError: the file does not return its state, or depends on one that Triton does not initialize.
    """

    def step(item: Arrays) -> Arrays:
        with watch.library():
            return run_batch(opened, item, 1)

    def close(one: Array, other: Array, _output: str) -> bool:
        same_nan = one.dtype.kind == "f"
        return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=same_nan))

    samples = sequence_states.roll_out(request.samples, step, request.directory / "steps")
    sequence_states.require_reset(samples, step, close=close)
    return samples


def _apart(opened: onnxruntime.InferenceSession, request: RunRequest, watch: Stopwatch) -> Iterator[TensorFiles | str]:
    for index in range(request.apart.files.count if request.apart else 0):
        assert request.apart is not None
        try:
            with watch.library():
                outputs = _run(opened, arrays.load(request.apart.files, index), request, size=1)
        except ExportError as error:
            yield error.found or error.what
            continue
        yield _kept(outputs, request.directory / f"apart-{index}")


def _run(opened: onnxruntime.InferenceSession, batch: Arrays, request: RunRequest, *, size: int) -> Arrays:
    """The outputs of one batch, or of one request with ragged inputs. Raises ExportError."""
    if request.ragged is None:
        return run_batch(opened, batch, size)
    found = run_batch(opened, request.ragged.model_inputs(batch), size)
    try:
        outputs: Arrays = request.ragged.client_outputs(found, batch)
    except ValueError as error:
        raise ExportError.of(wording.RUNTIME_FAILS, size=size, found=str(error)) from error
    return outputs


def _kept(found: Arrays, directory: Path) -> TensorFiles:
    """Save the outputs of one batch in a folder."""
    files = TensorFiles(directory=directory, tensors=tuple(arrays.spec_of(name, array) for name, array in found.items()), count=1)
    arrays.save(files, 0, found)
    return files


def session(path: Path, libraries: Sequence[str], *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """Open a file on the CPU provider.

    Args:
        optimized: whether ONNX Runtime may optimize the graph, which replaces nodes.

    Raises:
        UsageError, ExportError: a library, or the file, cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for library in libraries:
        try:
            options.register_custom_ops_library(library)
        except Exception as error:
            raise UsageError.of(wording.RUNTIME_LIBRARY, where=library, found=_first_line(error)) from error
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if lacking := unsupported.lacking(str(error), path):
            raise lacking from error
        raise ExportError.of(
            wording.RUNTIME_NOT_LOADED,
            where=path.name,
            found=unsupported.without_path(str(error)) or type(error).__name__,
        ) from error


def run_batch(session: onnxruntime.InferenceSession, batch: Arrays, size: int) -> Arrays:
    """Return the outputs of one batch by name.

    Raises:
        ExportError: the file's inputs differ from the batch's, or the run fails.
    """
    names = [output.name for output in session.get_outputs()]
    known = {each.name for each in session.get_inputs()}
    optional = {each.name for each in session.get_overridable_initializers()}
    if known != set(batch) - optional:
        raise ExportError.of(wording.RUNTIME_INPUTS, expected=", ".join(batch), found=", ".join(sorted(known)))
    try:
        outputs = session.get_outputs()
        if any(each.type == "tensor(bfloat16)" for each in (*session.get_inputs(), *outputs)):
            return _run_bfloat16(session, batch, names)
        return dict(zip(names, session.run(names, {name: batch[name] for name in batch}), strict=True))
    except Exception as error:
        found = " ".join(str(error).split())[:_LONGEST] or type(error).__name__  # all lines: the second one names the sizes
        if _OUT_OF_BOUNDS in found:
            raise ExportError.of(wording.INDEX_OUTSIDE, size=size, found=found, ranges=_integers(batch)) from error
        raise ExportError.of(wording.RUNTIME_FAILS, size=size, found=found) from error


def _integers(batch: Arrays) -> str:
    """The integers of a batch by input: `tokens 0 to 1023`."""
    whole = {name: array for name, array in batch.items() if array.dtype.kind in "iu" and array.size}
    return ", ".join(f"{name} {array.min()} to {array.max()}" for name, array in whole.items()) or "no integer input"


def _run_bfloat16(session: onnxruntime.InferenceSession, batch: Arrays, names: list[str]) -> Arrays:
    """Run a batch through OrtValues, the only interface for a type that NumPy lacks."""
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view("uint16"), 16)
        if array.dtype == arrays.BFLOAT16
        else onnxruntime.OrtValue.ortvalue_from_numpy(array)
        for name, array in batch.items()
    }
    outputs = session.run_with_ort_values(names, values)
    return {name: _array(value) for name, value in zip(names, outputs, strict=True)}


def _array(value: onnxruntime.OrtValue) -> arrays.Array:
    """Return the value's elements; bfloat16 is read from memory, since NumPy has no such type."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()  # type: ignore[no-any-return]
    shape = tuple(value.shape())
    memory = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
    return np.frombuffer(memory, np.uint16).view(arrays.BFLOAT16).reshape(shape)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
