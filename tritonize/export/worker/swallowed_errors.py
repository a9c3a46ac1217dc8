"""Find reads of data that torch.export rejects with an exception that the model's code catches. Runs in a worker process.

`try: if x.max() > 100: … except Exception: pass` is captured without the branch: the file always takes the path of the handler.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any  # Any: a method of torch, which takes and returns what it likes

import torch

from tritonize.core.decisions import Decision
from tritonize.export.worker import decision_runs, decisions, harmless_decisions
from tritonize.export.worker.decision_runs import Place
from tritonize.onnx_model.worker import origins

_READS: dict[object, dict[str, str]] = {
    torch.Tensor: {
        "__bool__": "branch",
        "__int__": "number",
        "__float__": "number",
        "__index__": "number",
        "item": "number",
        "tolist": "array",
        "numpy": "array",
        "__dlpack__": "array",
        "__reduce_ex__": "array",
        "data_ptr": "array",
        "untyped_storage": "array",
        "apply_": "array",
        "map_": "array",
        "__repr__": "text",
    },
    torch.SymBool: {"__bool__": "branch"},
    torch.SymInt: {"__bool__": "branch", "__int__": "number", "__index__": "number"},
    torch.SymFloat: {"__bool__": "branch", "__float__": "number"},
}
"""Methods by which a value leaves the captured graph, by class, with the kind of value."""
_ANY_OF_TORCH = ("", "Exception", "BaseException", "RuntimeError", "TypeError", "NotImplementedError")
"""Exception types whose handlers catch the exceptions of torch.export."""

_REFUSED = "torch.export rejects it, and the model's code catches that exception and goes on"
_PLAIN = ("tensor(", "Parameter containing")
"""Prefixes of a tensor's text that has values."""
_FORWARDING = ("__format__", "__repr__", "__torch_function__", "handle_torch_function")
"""Functions of torch between the one that builds a text and the caller's code."""


class SwallowedErrors:
    """Records rejected reads during a capture, within `watching`."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[Place, str, str]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record every read in this context that raises where the user's code catches the exception and goes on."""
        with _replaced(self._refusing):
            yield

    def _refusing(self, original: Callable[..., Any], kind: str) -> Callable[..., object]:
        @functools.wraps(original)
        def read(*arguments: object, **named: object) -> object:
            try:
                result = original(*arguments, **named)
            except Exception:
                place = _place(sys._getframe(1))
                if _goes_on(place):
                    self._keep(place, kind, _REFUSED)
                raise
            if (kind == "text" and not result.startswith(_PLAIN)) or original.__name__ == "untyped_storage":
                self._empty(sys._getframe(1), kind)
            return result

        return read

    def _empty(self, frame: FrameType, kind: str) -> None:
        """Record a text, or a storage, that has no values while torch.export captures the model."""
        if kind == "array" and origins.is_torch(frame.f_code.co_filename):
            return  # the capture itself reads many storages
        place, calls = _place(frame), decisions.calls(frame)
        inner = next((each for each, call in enumerate(calls) if not origins.is_torch(call.f_code.co_filename)), len(calls))
        if inner == len(calls) or any(each.f_code.co_name not in _FORWARDING for each in calls[:inner]):
            return  # torch reads it for its own use
        frames = calls[inner:]
        if kind == "text" and decisions.goes_into_answer(frames):
            self._keep(place, kind, "torch.export returns the text without values")
        elif kind == "array" and _goes_on(place) and not decisions.shows_no_value(frames, "untyped_storage", kind):
            self._keep(place, kind, _REFUSED)

    def _keep(self, place: Place, kind: str, why: str) -> None:
        self._places.setdefault(decision_runs.site(place), (place, kind, why))

    def found(
        self, model: Callable[..., object], samples: Iterable[tuple[torch.Tensor, ...]], example: tuple[torch.Tensor, ...]
    ) -> tuple[Decision, ...]:
        """Return the decisions that are missing in the file. Samples of zeros are left out, as in `decisions.found`.

        Args:
            model: runs in eager mode on the example and on every sample.
        """
        if not self._places:
            return ()
        seen: dict[str, dict[str, None]] = {where: {} for where in self._places}

        def watched(original: Callable[..., object], kind: str) -> Callable[..., object]:
            @functools.wraps(original)
            def read(*arguments: object, **named: object) -> object:
                result = original(*arguments, **named)
                where = decision_runs.site(_place(sys._getframe(1))) if kind == "branch" else ""
                if where in seen:
                    seen[where][str(bool(result))] = None
                return result

            return read

        telling = [example, *(tensors for tensors in samples if any(bool(each.any()) for each in tensors))]
        for tensors in telling:
            with contextlib.suppress(Exception), torch.no_grad(), _replaced(watched):
                model(*tensors)
        return tuple(
            Decision(
                where=where,
                kind=kind,  # type: ignore[arg-type]
                seen=tuple(seen[where]),
                samples=len(telling),
                verdict="both sides" if len(seen[where]) > 1 else "one side",
                why="" if len(seen[where]) > 1 else why,
            )
            for where, (_, kind, why) in self._places.items()
        )


@contextlib.contextmanager
def _replaced(wrapped: Callable[[Callable[..., object], str], Callable[..., object]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, methods in _READS.items():
            for name, kind in methods.items():
                if hasattr(owner, name):
                    stack.enter_context(_method(owner, name, wrapped(getattr(owner, name), kind)))
        yield


@contextlib.contextmanager
def _method(owner: object, name: str, other: Callable[..., object]) -> Iterator[None]:
    own = vars(owner).get(name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)  # it is inherited
        else:
            setattr(owner, name, own)


def _place(frame: FrameType | None) -> Place:
    found = []
    while frame is not None and not origins.is_ours(frame.f_code.co_filename):
        found.append((frame.f_code.co_filename, frame.f_lineno, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


def _goes_on(place: Place) -> bool:
    """Whether the innermost handler is the user's; torch also catches exceptions of its own attempts."""
    for file, line, _ in place:
        if harmless_decisions.is_caught([(file, line)], _ANY_OF_TORCH):
            return not origins.is_torch(file)
    return False
