"""A Python step: Triton's Python backend calls a function of the user's, from NumPy arrays to NumPy arrays.

tritonize wrote this file beside the function's file, and its configuration names both: the parameter `function` is
`file.py:function`. The function gets one array per input, with the batch as first axis if the model is batched, and text as `str`.
It is called by name if every input has the name of a parameter, else by the order of the inputs. It returns a dictionary by output
name, a tuple in the order of the outputs, or the array of the only output; for a decoupled model it yields one of these for each
response. A request that fails gets an error of its own.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any  # Any: the configuration as JSON, and what a user's function returns

import numpy as np
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from tritonize.backends.python_backend import Request

_TEXT = "TYPE_STRING"


class Port:
    """One input or output as the configuration describes it."""

    def __init__(self, tensor: Mapping[str, Any], *, batched: bool) -> None:
        dims = tensor["reshape"].get("shape", []) if tensor.get("reshape") else tensor["dims"]
        self.name: str = tensor["name"]
        self.optional = bool(tensor.get("optional"))
        self.text = tensor["data_type"] == _TEXT
        self.dtype = np.dtype(np.object_ if self.text else pb_utils.triton_string_to_numpy(tensor["data_type"]))
        self.shape = [-1] * batched + [int(size) for size in dims]

    def check(self, array: Any, batch: int | None) -> np.ndarray:
        """The array if it is as described, text as bytes; raises ValueError, whose text the client gets."""
        if not isinstance(array, np.ndarray | np.generic):
            raise ValueError(f"{self.name!r} is a {type(array).__name__}; expected a NumPy array")
        checked: np.ndarray = np.asarray(array)
        if self.text and checked.dtype.kind in "OUS":
            checked = _encoded(checked)
        if checked.dtype != self.dtype:
            raise ValueError(f"{self.name!r} has type {checked.dtype}; expected {self.dtype}")
        shape = self.shape if batch is None else [batch, *self.shape[1:]]
        if len(shape) != checked.ndim or any(size not in (-1, found) for size, found in zip(shape, checked.shape, strict=True)):
            raise ValueError(f"{self.name!r} has shape {list(checked.shape)}; expected {shape}, where -1 is any size")
        return checked


class TritonPythonModel:
    """One instance of one version of the step; the names of the methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the function; an exception makes Triton refuse the model, with its text."""
        config = json.loads(args["model_config"])
        self._batched = int(config.get("max_batch_size", 0)) > 0
        self._inputs = [Port(each, batched=self._batched) for each in config["input"]]
        self._outputs = [Port(each, batched=self._batched) for each in config["output"]]
        self._decoupled = bool((config.get("model_transaction_policy") or {}).get("decoupled"))
        folder = Path(args["model_repository"]) / args["model_version"]
        self._where = config["parameters"]["function"]["string_value"]
        self._function = _load(folder, self._where)
        self._by_name = _takes_names(self._function, [each.name for each in self._inputs])

    def execute(self, requests: Sequence[Request]) -> list[Any] | None:
        """One response per request: outputs, or the error of that request alone. A decoupled model sends them itself."""
        if not self._decoupled:
            return [next(self._answers(request)) for request in requests]
        for request in requests:
            sender = request.get_response_sender()
            for answer in self._answers(request):
                sender.send(answer)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def _answers(self, request: Request) -> Iterator[Any]:
        wanted = request.requested_output_names()
        try:
            for found in self._called(request):
                yield pb_utils.InferenceResponse(
                    output_tensors=[pb_utils.Tensor(name, array) for name, array in found.items() if name in wanted]
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's function raises is the answer
            text = f"{self._where}: {type(error).__name__}: {error}"
            yield pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(text))

    def _called(self, request: Request) -> Iterator[dict[str, np.ndarray]]:
        given = {each.name(): each.as_numpy() for each in request.inputs()}
        batch = next((len(array) for array in given.values()), None) if self._batched else None
        if missing := [port.name for port in self._inputs if port.name not in given and not port.optional]:
            raise ValueError(f"the request has no input {', '.join(missing)}")
        present = [port for port in self._inputs if port.name in given]
        arrays = {port.name: _argument(port.check(given[port.name], batch)) for port in present}
        returned = self._function(**arrays) if self._by_name else self._function(*arrays.values())
        for each in returned if self._decoupled else (returned,):
            named = _named(each, [port.name for port in self._outputs])
            yield {port.name: np.ascontiguousarray(port.check(named[port.name], batch)) for port in self._outputs}


def _load(folder: Path, where: str) -> Callable[..., Any]:
    """The function; its file may import the files beside it."""
    name, _, attribute = where.rpartition(":")
    sys.dont_write_bytecode = True  # a published version never gets another file
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"step_{Path(name).stem}", folder / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        function: Callable[..., Any] = getattr(module, attribute)
    except SystemExit as error:
        raise RuntimeError(f"{name} ended its process with sys.exit({error.code})") from error
    return function


def _takes_names(function: Callable[..., Any], names: Sequence[str]) -> bool:
    try:
        return set(names) <= set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False


def _argument(array: np.ndarray) -> np.ndarray:
    """The array for the function, which may not write into it; text as `str`, with surrogates for bytes that are not UTF-8."""
    if array.dtype == np.object_:
        flat = [each.decode(errors="surrogateescape") if isinstance(each, bytes) else str(each) for each in array.reshape(-1)]
        texts = np.empty(len(flat), np.object_)
        texts[:] = flat
        array = texts.reshape(array.shape)
    array = array.view()
    array.flags.writeable = False
    return array


def _encoded(array: np.ndarray) -> np.ndarray:
    flat = [each if isinstance(each, bytes) else str(each).encode(errors="surrogateescape") for each in array.reshape(-1).tolist()]
    encoded = np.empty(len(flat), np.object_)
    encoded[:] = flat
    return encoded.reshape(array.shape)


def _named(returned: Any, names: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(returned, Mapping):
        named = returned
    elif isinstance(returned, tuple | list):
        if len(returned) != len(names):
            raise ValueError(f"{len(returned)} arrays were returned; expected {len(names)}: {', '.join(names)}")
        named = dict(zip(names, returned, strict=True))
    else:
        named = dict.fromkeys(names[:1], returned)
    if set(named) != set(names):
        raise ValueError(f"the outputs {', '.join(map(str, named)) or 'none'} were returned; expected {', '.join(names)}")
    return named
