"""Reads of data that torch.export refuses while the user's own code catches the refusal and goes on; runs inside a worker.

`try: if x.max() > 100: … except Exception: pass` is captured without the branch: the file always takes the way of the handler.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import torch

from tritonize.core.decisions import Decision
from tritonize.export.worker import decision_runs, decisions, harmless_decisions
from tritonize.export.worker.decision_runs import Place
from tritonize.onnx_model.worker import origins

_READS: dict[Any, dict[str, str]] = {
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
"""Ways of data out of what is captured, by class and method."""
_ANY_OF_TORCH = ("", "Exception", "BaseException", "RuntimeError", "TypeError", "NotImplementedError")
"""Handlers that catch what torch.export raises."""

_REFUSED = "torch.export refuses it, and the model's code catches that and goes on"
_PLAIN = ("tensor(", "Parameter containing")
"""How the texts of tensors begin that have values."""
_PASSING_ON = ("__format__", "__repr__", "__torch_function__", "handle_torch_function")
"""Functions of torch by which a text gets to the code that wants it."""


class Swallowed:
    """Watches what is captured within `watching`."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[Place, str, str]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record meanwhile every read that raises where the user's code goes on."""
        with _replaced(self._refusing):
            yield

    def _refusing(self, original: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def read(*arguments: Any, **named: Any) -> Any:
            try:
                answer = original(*arguments, **named)
            except Exception:
                place = _place(sys._getframe(1))
                if _goes_on(place):
                    self._keep(place, kind, _REFUSED)
                raise
            if (kind == "text" and not answer.startswith(_PLAIN)) or original.__name__ == "untyped_storage":
                self._empty(sys._getframe(1), kind)
            return answer

        return read

    def _empty(self, frame: FrameType, kind: str) -> None:
        """Keep a text, or a storage, that has no values while torch.export captures the model."""
        if kind == "array" and origins.is_torch(frame.f_code.co_filename):
            return  # the capture itself takes many
        place, calls = _place(frame), decisions.calls(frame)
        inner = next((each for each, call in enumerate(calls) if not origins.is_torch(call.f_code.co_filename)), len(calls))
        if inner == len(calls) or any(each.f_code.co_name not in _PASSING_ON for each in calls[:inner]):
            return  # torch's own
        frames = calls[inner:]
        if kind == "text" and decisions.goes_into_answer(frames):
            self._keep(place, kind, "torch.export gives the text without values")
        elif kind == "array" and _goes_on(place) and not decisions.shows_no_value(frames, "untyped_storage", kind):
            self._keep(place, kind, _REFUSED)

    def _keep(self, place: Place, kind: str, why: str) -> None:
        self._places.setdefault(decision_runs.site(place), (place, kind, why))

    def found(
        self, model: Callable[..., Any], samples: Iterable[tuple[torch.Tensor, ...]], example: tuple[torch.Tensor, ...]
    ) -> tuple[Decision, ...]:
        """The decisions that are not in the file. Samples of zeros show nothing, as for a traced file.

        Args:
            model: runs on the example and on every sample, as it is.
        """
        if not self._places:
            return ()
        seen: dict[str, dict[str, None]] = {where: {} for where in self._places}

        def watched(original: Callable[..., Any], kind: str) -> Callable[..., Any]:
            @functools.wraps(original)
            def read(*arguments: Any, **named: Any) -> Any:
                answer = original(*arguments, **named)
                where = decision_runs.site(_place(sys._getframe(1))) if kind == "branch" else ""
                if where in seen:
                    seen[where][str(bool(answer))] = None
                return answer

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
def _replaced(wrapped: Callable[[Callable[..., Any], str], Callable[..., Any]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, methods in _READS.items():
            for name, kind in methods.items():
                if hasattr(owner, name):
                    stack.enter_context(_method(owner, name, wrapped(getattr(owner, name), kind)))
        yield


@contextlib.contextmanager
def _method(owner: Any, name: str, other: Callable[..., Any]) -> Iterator[None]:
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
    """Whether the innermost handler is the user's; torch catches what it tries by itself."""
    for file, line, _ in place:
        if harmless_decisions.is_caught([(file, line)], _ANY_OF_TORCH):
            return not origins.is_torch(file)
    return False
