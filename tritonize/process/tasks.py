"""What a worker does, as both sides see it: the function, the type of its request and the type of its result.

The tasks of a capability and their dataclasses are in its `tasks.py`, which both sides import, and which imports nothing heavy.
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
    """A request or a result is not of the type that its task declares: a bug of tritonize, never of the user's model."""


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Request, Result]):
    """One worker function, `function(request: Request) -> Result`."""

    name: str
    """Where this value itself is, `tritonize.<capability>.tasks:<NAME>`: a worker finds it there."""
    function: str
    """`tritonize.<capability>.worker.<module>:<function>`; imported in workers alone."""
    request: type[Request]
    result: type[Result]
    writes: tuple[str, ...] = ()
    """Fields of the request with files that it puts outside its own directory: an isolated worker may write into their folders."""
    gpu: bool = False
    """Whether it needs one: an isolated worker may open its device files."""

    def load(self) -> Callable[[Request], Result]:
        """The function itself, with all that its module imports."""
        module, _, name = self.function.partition(":")
        return cast("Callable[[Request], Result]", getattr(importlib.import_module(module), name))

    def encode_request(self, request: Request) -> Mapping[str, object]:
        """A request as JSON data, its fields by name. Raises TaskError."""
        plain = self._checked("request", lambda: plain_data.encode(self.request, request))
        return cast("Mapping[str, object]", plain)  # requests are dataclasses

    def decode_request(self, plain: object) -> Request:
        """The request that `encode_request` wrote. Raises TaskError."""
        return self._checked("request", lambda: plain_data.decode(self.request, plain))

    def encode_result(self, result: Result) -> object:
        """A result as JSON data. Raises TaskError."""
        return self._checked("result", lambda: plain_data.encode(self.result, result))

    def decode_result(self, plain: object) -> Result:
        """The result that `encode_result` wrote. Raises TaskError."""
        return self._checked("result", lambda: plain_data.decode(self.result, plain))

    def _checked(self, what: str, convert: Callable[[], _Converted]) -> _Converted:
        try:
            return convert()
        except plain_data.PlainDataError as error:
            raise TaskError(f"The {what} of task {self.name}: {error}") from error


_Converted = TypeVar("_Converted")


def find(name: str) -> Task[object, object]:
    """The task of a name.

    Raises:
        TaskError: the module has no task of that name.
    """
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(found, Task):
        raise TaskError(f"There is no task {name}.")
    return found
