"""Call the function of a Python step on samples, write its outputs, and check them against the spec. Runs in a worker."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar  # Any: what a user's function returns

import numpy as np

from tritonize.core import arrays, progress, texts
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import TensorFiles, TensorSpec
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import decoupled
from tritonize.core.messages import steps as wording
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.tasks import StepRequest, StepResult

T = TypeVar("T")
MOST_RESPONSES = 10_000
"""Most responses to one request."""


def call(request: StepRequest) -> StepResult:
    """Call the function on every sample alone, on the batches, and twice on the first sample.

    Raises:
        UsageError: the file has no such function, or its outputs are not those of the spec.
        ExportError: the file cannot be imported, the function raises on a sample, or its outputs vary.
    """
    watch = Stopwatch()
    step = _Step(request, watch)
    if request.decoupled:
        return _every_response(step, request, watch)
    outputs = TensorFiles(directory=request.directory / "expected", tensors=request.outputs, count=0)
    unusable: dict[str, str] = {}
    for index in progress.counted(range(request.samples.files.count), "sample"):
        edge = request.samples.edges.get(index)
        try:
            found = step.run((index,))
        except ExportError as error:
            if edge is None or index in request.samples.files.absent:
                raise
            unusable[edge] = f"the function raises: {error.found}"
            continue
        if edge and (odd := next((name for name, array in found.items() if not _is_finite(array)), None)):
            unusable[edge] = f"output {odd} is not finite"
            continue
        arrays.save(outputs, outputs.count, found)
        outputs = replace(outputs, count=outputs.count + 1)
    batched = TensorFiles(directory=request.directory / "batched", tensors=request.outputs, count=len(request.batches))
    for position, batch in enumerate(progress.counted(request.batches, "batch")):
        arrays.save(batched, position, step.run(batch))
    first, again = arrays.load(outputs, 0), step.run((0,))
    if varying := [name for name in first if arrays.bits(first[name]).tobytes() != arrays.bits(again[name]).tobytes()]:
        raise ExportError.of(wording.VARIES, where=request.function, found=f"outputs {', '.join(varying)} of sample 0")
    return StepResult(outputs=outputs, samples=request.samples, batched=batched, unusable=unusable, library_seconds=watch.seconds)


def _every_response(step: _Step, request: StepRequest, watch: Stopwatch) -> StepResult:
    """Write every response as an output of its own, and the inputs again for each."""
    samples = request.samples
    inputs = TensorFiles(directory=request.directory / "inputs", tensors=samples.files.tensors, count=0)
    outputs = TensorFiles(directory=request.directory / "expected", tensors=request.outputs, count=0)
    edges: dict[int, str] = {}
    unusable: dict[str, str] = {}
    starts: list[int] = []
    for index in progress.counted(range(samples.files.count), "sample"):
        edge = samples.edges.get(index)
        try:
            found = step.responses(index)
        except ExportError as error:
            if edge is None:
                raise
            unusable[edge] = f"the function raises: {error.found}"
            continue
        if edge and not (found and all(_is_finite(array) for each in found for array in each.values())):
            unusable[edge] = "a response is not finite" if found else "the function yields no response"
            continue
        if not found:
            raise UsageError.of(decoupled.NO_RESPONSE, where=request.function, sample=index)
        starts.append(outputs.count)
        for each in found:
            arrays.save(inputs, inputs.count, arrays.load(samples.files, index))
            arrays.save(outputs, outputs.count, each)
            edges |= {outputs.count: edge} if edge else {}
            inputs, outputs = (replace(files, count=files.count + 1) for files in (inputs, outputs))
    first, again = [arrays.load(outputs, index) for index in range([*starts, outputs.count][1])], step.responses(0)
    if [*map(arrays.digest, first)] != [*map(arrays.digest, again)]:
        raise ExportError.of(wording.VARIES, where=request.function, found="the responses to sample 0")
    return StepResult(
        outputs=outputs,
        samples=replace(samples, files=inputs, edges=edges, requests=tuple(starts)),
        batched=TensorFiles(directory=request.directory / "batched", tensors=request.outputs, count=0),
        unusable=unusable,
        library_seconds=watch.seconds,
    )


class _Step:
    """The loaded function, called with arrays and checked."""

    def __init__(self, request: StepRequest, watch: Stopwatch) -> None:
        self._request = request
        self._watch = watch
        with watch.library():
            self._function = _load(request)
        try:
            self._by_name = set(request.inputs) <= set(inspect.signature(self._function).parameters)
        except (TypeError, ValueError):
            self._by_name = False
        if request.samples.files.absent and not self._by_name:
            raise UsageError.of(wording.OPTIONAL_BY_NAME, where=request.function, expected=", ".join(request.inputs))

    def run(self, batch: Sequence[int]) -> Arrays:
        """The checked outputs for some samples, joined along the batch axis."""
        size = len(batch) if self._request.samples.batched else None
        return self._outputs(self._called(batch, lambda returned: returned), size)

    def responses(self, index: int) -> list[Arrays]:
        """The checked outputs of every response that the function yields for a sample."""

        def every(returned: object) -> list[object]:
            if isinstance(returned, Mapping | tuple | list | np.ndarray) or not isinstance(returned, Iterable):
                found = f"a {type(returned).__name__}"
                raise UsageError.of(decoupled.NOT_ITERABLE, where=self._request.function, found=found)
            found_first = list(itertools.islice(returned, MOST_RESPONSES + 1))
            if len(found_first) > MOST_RESPONSES:
                raise UsageError.of(decoupled.ENDLESS, where=self._request.function, limit=MOST_RESPONSES)
            return found_first

        return [self._outputs(each, None) for each in self._called((index,), every)]

    def _called(self, batch: Sequence[int], take: Callable[[object], T]) -> T:
        request = self._request
        stacked = arrays.stack(request.samples.files, batch)
        given = {name: _read_only(stacked[name]) for name in request.inputs if name in stacked}
        try:
            with self._watch.library():
                return take(self._function(**given) if self._by_name else self._function(*given.values()))
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            described = ", ".join(f"{name}: {arrays.dtype_name(array)} {list(array.shape)}" for name, array in given.items())
            found = f"{type(error).__name__}: {error}"
            where = _line(error, request.folder) or request.function
            raise ExportError.of(wording.RAISED, where=where, found=found, described=described) from error

    def _outputs(self, returned: object, size: int | None) -> Arrays:
        named = self._named(returned)
        return {spec.name: self._checked(spec, named[spec.name], size) for spec in self._request.outputs}

    def _named(self, returned: object) -> Mapping[str, Any]:
        names = [spec.name for spec in self._request.outputs]
        if isinstance(returned, Mapping):
            named = dict(returned)
        elif isinstance(returned, tuple | list):
            if len(returned) != len(names):
                self._refuse(f"one array for each of {', '.join(names)}", f"{len(returned)} arrays")
            named = dict(zip(names, returned, strict=True))
        else:
            named = {names[0]: returned}
        if set(named) != set(names):
            self._refuse(", ".join(names), ", ".join(map(str, named)) or "none")
        return named

    def _checked(self, spec: TensorSpec, value: object, size: int | None) -> Array:
        """The array in the type that files of samples have, if it is as the spec describes it."""
        shape = spec.shape if size is None else (size, *spec.shape[1:])
        expected = f"{spec.name}: {spec.dtype} [{', '.join(map(str, shape))}]"
        if not isinstance(value, np.ndarray | np.generic):
            self._refuse(expected, f"a {type(value).__name__}")
        array: Array = np.asarray(value)
        if spec.dtype == "string" and array.dtype.kind in "OUS":
            array = texts.decoded(array)
            if odd := next((each for each in array.reshape(-1) if not texts.is_bytes(each)), None):
                self._refuse(f"{expected}, of text that can be encoded", ascii(odd)[:80])
        fits = len(shape) == array.ndim and all(
            isinstance(wanted, str) or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
        )
        if arrays.dtype_name(array) != spec.dtype or not fits:
            self._refuse(expected, f"{arrays.dtype_name(array)} {list(array.shape)}")
        return np.array(array)

    def _refuse(self, expected: str, found: str) -> NoReturn:
        raise UsageError.of(wording.OUTPUTS, where=self._request.function, expected=expected, found=found)


def _load(request: StepRequest) -> Callable[..., object]:
    name, _, attribute = request.function.rpartition(":")
    path = request.folder / name
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(request.folder))
    spec = importlib.util.spec_from_file_location(f"step_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error}"
        raise ExportError.of(wording.NOT_LOADED, where=_line(error, request.folder) or name, found=found) from error
    function: object = getattr(module, attribute, None)
    if not callable(function):
        found = ", ".join(each for each, value in vars(module).items() if inspect.isfunction(value)) or "no functions"
        raise UsageError.of(wording.NO_STEP_FUNCTION, where=name, found=found, name=attribute)
    return function


def _read_only(array: Array) -> Array:
    """A copy that the function cannot write into, as in the server."""
    copied = np.array(array)
    copied.flags.writeable = False
    return copied


def _line(error: BaseException, folder: Path) -> str | None:
    """`file.py:line` of the innermost frame in the step's own files; `None` if no frame is in them."""
    traceback, line = error.__traceback__, None
    while traceback:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.parent == folder:
            line = f"{path.name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).parent == folder:
        return f"{Path(error.filename).name}:{error.lineno}"
    return line


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
