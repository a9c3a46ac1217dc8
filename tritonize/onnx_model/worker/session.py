"""Run an ONNX file in ONNX Runtime on batches of samples and keep the answers; runs inside a worker, without torch."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import ExportError, UsageError
from tritonize.onnx_model.tasks import RunAnswer, RunRequest
from tritonize.onnx_model.worker import unsupported
from tritonize.process.stopwatch import Stopwatch

_SHOWN = 300  # characters of what ONNX Runtime says


def run(asked: RunRequest) -> RunAnswer:
    """Run every batch, and the samples that are run alone.

    Raises:
        ExportError: ONNX Runtime does not load or run the file.
    """
    watch = Stopwatch()
    with watch.library():
        opened = session(asked.path, asked.libraries)
    outputs, seconds = [], []
    for position, indices in enumerate(asked.batches):
        batch = arrays.stack(asked.samples.files, indices)
        before = watch.seconds
        with watch.library():
            found = answer(opened, batch, len(indices))
        seconds.append(watch.seconds - before)
        outputs.append(_kept(found, asked.directory / str(position)))
    return RunAnswer(
        outputs=tuple(outputs),
        seconds=tuple(seconds),
        version=onnxruntime.__version__,
        library_seconds=watch.seconds,
        apart=tuple(_apart(opened, asked, watch)),
    )


def _apart(opened: onnxruntime.InferenceSession, asked: RunRequest, watch: Stopwatch) -> Iterator[TensorFiles | str]:
    for index in range(asked.apart.files.count if asked.apart else 0):
        assert asked.apart is not None
        try:
            with watch.library():
                found = answer(opened, arrays.load(asked.apart.files, index), 1)
        except ExportError as error:
            yield error.found or error.what
            continue
        yield _kept(found, asked.directory / f"apart-{index}")


def _kept(found: Arrays, directory: Path) -> TensorFiles:
    """An answer as files of its own."""
    files = TensorFiles(directory=directory, tensors=tuple(arrays.spec_of(name, array) for name, array in found.items()), count=1)
    arrays.save(files, 0, found)
    return files


def session(path: Path, libraries: Sequence[str], *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """A file opened on the CPU provider.

    Args:
        optimized: whether ONNX Runtime may put other nodes in the place of the file's.

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
            raise UsageError(
                "ONNX Runtime does not load the library of custom operators.", where=library, found=_first_line(error)
            ) from error
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if lacking := unsupported.lacking(str(error), path):
            raise lacking from error
        raise ExportError(
            "ONNX Runtime does not load the exported file.",
            where=path.name,
            found=unsupported.without_path(str(error)) or type(error).__name__,
        ) from error


def answer(session: onnxruntime.InferenceSession, batch: Arrays, size: int) -> Arrays:
    """Named outputs for one batch.

    Raises:
        ExportError: it has other inputs, or fails.
    """
    names = [output.name for output in session.get_outputs()]
    known = {each.name for each in session.get_inputs()}
    optional = {each.name for each in session.get_overridable_initializers()}
    if known != set(batch) - optional:
        raise ExportError(
            "The exported file has other inputs than the model.", expected=", ".join(batch), found=", ".join(sorted(known))
        )
    try:
        outputs = session.get_outputs()
        if any(each.type == "tensor(bfloat16)" for each in (*session.get_inputs(), *outputs)):
            return _answer_bfloat16(session, batch, names)
        return dict(zip(names, session.run(names, {name: batch[name] for name in batch}), strict=True))
    except Exception as error:
        raise ExportError(
            f"ONNX Runtime fails on the exported file at batch {size}.",
            found=" ".join(str(error).split())[:_SHOWN] or type(error).__name__,  # of sizes, the second line says which
            cause="a size that the exporter fixed, or an operator that ONNX Runtime's CPU provider lacks",
        ) from error


def _answer_bfloat16(session: onnxruntime.InferenceSession, batch: Arrays, names: list[str]) -> Arrays:
    """The same through OrtValues, the one way in for a type that NumPy lacks."""
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view("uint16"), 16)
        if array.dtype == arrays.BFLOAT16
        else onnxruntime.OrtValue.ortvalue_from_numpy(array)
        for name, array in batch.items()
    }
    found = session.run_with_ort_values(names, values)
    return {name: _array(value) for name, value in zip(names, found, strict=True)}


def _array(value: onnxruntime.OrtValue) -> arrays.Array:
    """The value's elements; for bfloat16 from its memory, since ONNX Runtime has no NumPy type to give them in."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()  # type: ignore[no-any-return]
    shape = tuple(value.shape())
    memory = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
    return np.frombuffer(memory, np.uint16).view(arrays.BFLOAT16).reshape(shape)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
