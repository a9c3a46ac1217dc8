"""Record the values that a model's Python code reads from tensors while PyTorch traces it. Runs in a worker process.

The tracer freezes each value that is read. The graph traced so far shows whether the value depends on the inputs. If one does,
every sample is traced too, and the values read at the same place show whether the samples take both sides.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any  # Any: numbers and tensors, whichever was read off a tensor

import torch
from torch.jit._trace import TracerWarning, _get_trace_graph

from tritonize.core.decisions import Decision, Warned
from tritonize.export.worker import copies, derived_values, harmless_decisions, imported_names, memory_reads
from tritonize.export.worker.condition_watch import Watch
from tritonize.export.worker.decision_runs import Place, Run, judge, site
from tritonize.export.worker.derived_values import Derived, Range
from tritonize.export.worker.trace_graph import TracedGraph, fingerprint
from tritonize.onnx_model.worker import origins

_KINDS = {
    "__bool__": "branch",
    "is_nonzero": "branch",
    "equal": "branch",
    "allclose": "branch",
    "__int__": "number",
    "__float__": "number",
    "__complex__": "number",
    "__index__": "number",
    "item": "number",
    "tolist": "array",
    "numpy": "array",
    "__dlpack__": "array",
    "__reduce_ex__": "array",
    "storage": "array",
    "untyped_storage": "array",
    "_typed_storage": "array",
    "data_ptr": "array",
    "apply_": "array",
    "map_": "array",
    "__repr__": "text",
    "__len__": "length",
    "__iter__": "length",
}
"""Tensor methods that read a value out of the trace, with the kind of value."""
_FUNCTIONS = {
    "is_nonzero": (torch, "branch"),
    "equal": (torch, "branch"),
    "allclose": (torch, "branch"),
    "to_dlpack": (torch, "array"),
    "_to_dlpack": (torch._C, "array"),
}
"""Functions of torch that do the same: the namespace that has them, and the kind of value."""
_BY_ELEMENT = ("apply_", "map_")
"""Methods that call a Python function for each element."""
_PRINTING = os.sep + "_tensor_str.py"
_PACKAGE = str(Path(__file__).resolve().parents[2]) + os.sep


class Recorder:
    """Records the reads of traced runs, within `watching`."""

    def __init__(self, inputs: int, model: torch.nn.Module) -> None:
        """Args: inputs: number of the model's inputs."""
        self.run = Run()
        self.warned: dict[Warned, None] = {}
        """Of the first run, in order."""
        self._inputs = inputs
        self._silent = False
        originals = {name: getattr(owner, name) for name, (owner, _) in _FUNCTIONS.items()}
        self._functions = {name: (each, self._reading(each, _FUNCTIONS[name][1])) for name, each in originals.items()}
        self._names = imported_names.names(originals, model, installed=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record every read of a tensor and every warning of the tracer in this context."""
        with contextlib.ExitStack() as stack:
            for name, kind in _KINDS.items():
                stack.enter_context(_replaced(torch.Tensor, name, self._reading(getattr(torch.Tensor, name), kind)))
            for name, (owner, _) in _FUNCTIONS.items():
                stack.enter_context(_replaced(owner, name, self._functions[name][1]))
            stack.enter_context(imported_names.replaced(self._functions, self._names))
            stack.enter_context(copies.traced())
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always", TracerWarning)
            yield
        for each in caught:
            if issubclass(each.category, TracerWarning) and not each.filename.startswith(_PACKAGE):
                self.warned[Warned(where=f"{origins.relative(each.filename)}:{each.lineno}", what=_first(each.message))] = None

    def _reading(self, original: Callable[..., object], kind: str) -> Callable[..., object]:
        @functools.wraps(original)
        def read(*arguments: object, **named: object) -> object:
            state = None if self._silent else torch._C._get_tracing_state()
            frames = calls(sys._getframe(1)) if state is not None else []
            if state is None or not frames:
                return original(*arguments, **named)
            if shows_no_value(frames, original.__name__, kind):
                with self._muted():
                    return original(*arguments, **named)
            graph = TracedGraph(state.graph(), self._inputs)
            tensors = [each for each in (*arguments, *named.values()) if isinstance(each, torch.Tensor)]
            depends_on_data = graph.size_depends if kind == "length" else graph.depends
            with self._muted():
                depends = any(depends_on_data(value) for each in tensors if (value := _traced(each)) is not None)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    found = original(*arguments, **named)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", TracerWarning)
                    value = _summary(tensors[0], found, kind)
            place = self._keep(_place(frames), kind, value, depends=depends)
            if depends and kind != "branch" and place not in self.run.derived:
                self.run.derived[place] = _derived(frames, original.__name__)
            for each in caught:
                if issubclass(each.category, TracerWarning):
                    self.warned[Warned(where=site(place), what=_first(each.message))] = None
            return found

        return read

    @contextlib.contextmanager
    def _muted(self) -> Iterator[None]:
        """Record nothing in this context: one read may call others."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def _keep(self, place: Place, kind: str, value: str, *, depends: bool) -> Place:
        key = place, self.run.times[place]
        self.run.times[place] += 1
        self.run.values[key] = kind, value
        if depends:
            self.run.depending.add(key)
        return place

    def decided(self, frame: FrameType, where: Range, holds: bool) -> None:
        """Record the outcome of a condition that a read number enters."""
        frames = calls(frame)
        if not frames:
            return
        first, *callers = frames
        place = ((first.f_code.co_filename, where[0], where[1]), *_place(callers))
        self._keep(place, "branch", str(holds), depends=True)


@contextlib.contextmanager
def _replaced(owner: object, name: str, other: Callable[..., object]) -> Iterator[None]:
    original, own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, other)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)  # it is inherited


def _place(frames: Sequence[FrameType]) -> Place:
    return tuple((each.f_code.co_filename, each.f_lineno, each.f_lasti) for each in frames)


def _expression(frame: FrameType) -> tuple[str, Range]:
    """Return the file and the expression that a frame is executing."""
    line, last, column, end = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    return frame.f_code.co_filename, (line or 0, column or 0, last or 0, end or 0)


def _derived(frames: Sequence[FrameType], name: str) -> Derived:
    """Find the uses of a read value."""
    if name in _BY_ELEMENT:
        return Derived(lost={f"the function that {name}() calls for each element"})
    return derived_values.of([_expression(each) for each in frames], [each.f_globals for each in frames])


def goes_into_answer(frames: Sequence[FrameType]) -> bool:
    """Whether a text may influence an output, that is, whether it is used for more than a log or an exception."""
    goes = _derived(frames, "")
    return not shows_no_value(frames, "", "text") and bool(goes.conditions or goes.lost or goes.computes)


def shows_no_value(frames: Sequence[FrameType], name: str, kind: str) -> bool:
    """Whether a text is only logged, or only the size or identity of a storage or an address is read."""
    if kind == "text":
        return harmless_decisions.only_logged([(each.f_code.co_filename, each.f_lineno, each.f_code.co_name) for each in frames])
    return name in memory_reads.READS and memory_reads.reads_no_values(*_expression(frames[0]))


def found(
    model: torch.nn.Module, example: tuple[torch.Tensor, ...], samples: Iterable[tuple[torch.Tensor, ...]], *, first: Run
) -> tuple[Decision, ...]:
    """Return the decisions on data that the exporter froze, with the values that the samples read there.

    Args:
        example: the inputs that the exporter traced.
        samples: samples on which the model raises are left out. So are samples of zeros: both sides of most branches compute the
            same from zeros, such as `x / 255` and `x`.
        first: the reads of that trace; if none depends on data, no sample is traced.
    """
    if not first.depending:
        return ()
    recorder = Recorder(len(example), model)
    conditions = {each for goes in first.derived.values() for each in goes.conditions}
    watch = Watch(conditions, recorder.decided)
    again = _traced_run(model, example, recorder, watch=watch)
    telling = (tensors for tensors in samples if any(bool(each.any()) for each in tensors))
    others = [run for tensors in telling if (run := _traced_run(model, tensors, recorder, watch=watch))]
    return judge(again or first, others)


def _traced_run(model: torch.nn.Module, tensors: tuple[torch.Tensor, ...], recorder: Recorder, *, watch: Watch) -> Run | None:
    """Trace the model as the exporter does; `None` if it raises."""
    from torch.onnx._internal.torchscript_exporter._globals import GLOBALS  # the model's code may check it

    recorder.run = Run()
    GLOBALS.in_onnx_export = True
    try:
        with torch.no_grad(), recorder.watching(), watch.watching():
            graph, *_ = _get_trace_graph(model, tensors, strict=False, _force_outplace=False)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - the user's code may raise anything; skip the sample
        return None
    finally:
        GLOBALS.in_onnx_export = False
    run = recorder.run
    run.sizes, run.graph = tuple(tuple(each.shape) for each in tensors), fingerprint(graph)
    return run


def calls(start: FrameType) -> list[FrameType]:
    """Return the frames from the model's forward() to a read; empty if the read only prints."""
    frames = []
    at: FrameType | None = start
    while at is not None and not at.f_code.co_filename.startswith(_PACKAGE):
        if at.f_code.co_filename.endswith(_PRINTING):
            return []
        frames.append(at)
        at = at.f_back
    return frames


def _traced(tensor: torch.Tensor) -> object:
    """Return the tensor's value in the graph; `None` if the tensor was created outside of it."""
    try:
        return torch._C._get_value_trace(tensor)  # type: ignore[attr-defined]
    except RuntimeError:
        return None


def _summary(tensor: torch.Tensor, found: Any, kind: str) -> str:
    """Summarize a read value in a short text."""
    if kind == "length":
        return str(tensor.shape[0]) if tensor.dim() else "1"
    if kind == "array":
        return f"{[int(size) for size in tensor.shape]} {hashlib.sha256(repr(tensor.tolist()).encode()).hexdigest()[:8]}"
    if kind == "text":
        return f"of {len(found)} characters {hashlib.sha256(found.encode()).hexdigest()[:8]}"
    return str(bool(found)) if kind == "branch" else f"{found:.6g}" if isinstance(found, float) else str(found)


def _first(message: object) -> str:
    """Return the first sentence of a warning."""
    return str(message).split(". ")[0]
