"""Worker tasks: the function that a worker runs, the type of its request and the type of its result.

Each capability defines its tasks and their dataclasses in its `tasks.py`. Both processes import that module, so it must not import
torch, onnx or onnxruntime.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from tritonize.process import plain_data

Request = TypeVar("Request")
Result = TypeVar("Result")


class TaskError(TypeError):
    """A request or result does not have the type that its task declares. This is a bug of tritonize, not of the user's model."""


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Request, Result]):
    """The declaration of one worker function, `function(request: Request) -> Result`."""

    name: str
    """Where this `Task` is defined, as `tritonize.<capability>.tasks:<NAME>`; the worker imports it from there."""
    function: str
    """`tritonize.<capability>.worker.<module>:<function>`; only workers import it."""
    request: type[Request]
    result: type[Result]
    writes: tuple[str, ...] = ()
    """Fields of the request that name files outside the worker's directory; an isolated worker may write into their folders."""
    gpu: bool = False
    """Whether the task uses a GPU; an isolated worker may then open the GPU's device files."""

    def load(self) -> Callable[[Request], Result]:
        """Import the function's module and return the function."""
        module, _, name = self.function.partition(":")
        return cast("Callable[[Request], Result]", getattr(importlib.import_module(module), name))

    def encode_request(self, request: Request) -> Mapping[str, object]:
        """Convert a request to JSON data: field name to value. Raises TaskError."""
        plain = self._checked("request", lambda: plain_data.encode(self.request, request))
        return cast("Mapping[str, object]", plain)  # requests are dataclasses

    def decode_request(self, plain: object) -> Request:
        """Convert JSON data of `encode_request` back to the request. Raises TaskError."""
        return self._checked("request", lambda: plain_data.decode(self.request, plain))

    def encode_result(self, result: Result) -> object:
        """Convert a result to JSON data. Raises TaskError."""
        return self._checked("result", lambda: plain_data.encode(self.result, result))

    def decode_result(self, plain: object) -> Result:
        """Convert JSON data of `encode_result` back to the result. Raises TaskError."""
        return self._checked("result", lambda: plain_data.decode(self.result, plain))

    def _checked(self, what: str, convert: Callable[[], _Converted]) -> _Converted:
        try:
            return convert()
        except plain_data.PlainDataError as error:
            raise TaskError(f"The {what} of task {self.name}: {error}") from error


_Converted = TypeVar("_Converted")


def find(name: str) -> Task[object, object]:
    """Import a task by its `Task.name`.

    Raises:
        TaskError: the module does not define a task of that name.
    """
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(found, Task):
        raise TaskError(f"The task {name} does not exist.")
    return found
