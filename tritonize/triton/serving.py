"""Provide a server that responds: start and probe the embedded one, or connect to a running one by its address."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.core.messages import files
from tritonize.core.messages import server as server_messages
from tritonize.core.server_choice import Start, Way
from tritonize.spec import decoupled
from tritonize.triton import client
from tritonize.triton.client import refusals
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.client.grpc import GrpcClient
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.protocol import ModelMetadata
from tritonize.triton.remote import await_model as await_model
from tritonize.triton.remote import remote as remote
from tritonize.triton.server import embedded, log, python_environment, view, ways
from tritonize.triton.server.embedded import Running
from tritonize.triton.server.ports import Ports

READY_TIMEOUT_S = 600.0
"""Default for the seconds within which all models must be loaded."""
_PROBE_LIMIT = 2**31
"""Largest size in bytes of generated inputs for a probe request."""
_PROBE_ID = 2**61 - 1
"""Correlation id of the probe of a stateful model; it ends with that request."""
_END_S = 5.0
"""Seconds within which a server whose connections broke has ended, if it crashed."""


def require_possible(way: Way | Literal["auto"] = "embedded", *, python: bool = False) -> None:
    """Fail if no server can be started on this machine in a way.

    Args:
        way: the value of `--server`.
        python: whether it has to serve plans or Python code.

    Raises:
        MissingError: its next step is the command that installs what is missing.
    """
    ways.resolve(way, python=python)


@contextlib.contextmanager
def serve(
    repository: Path,
    *,
    directory: Path,
    models: Sequence[str] | None = None,
    probes: Mapping[str, Mapping[str, Array]] | None = None,
    ports: Ports | None = None,
    explicit: bool = False,
    ready_timeout_s: float = READY_TIMEOUT_S,
    plugins: Sequence[Path] = (),
    complete: bool = False,
    versions: Mapping[str, int] | None = None,
    start: Start = Start(),  # noqa: B008 - frozen
    on_progress: Callable[[str], None] | None = None,
) -> Iterator[Running]:
    """Serve a model repository until the context ends, after each model has completed one inference.

    Args:
        repository: the model repository.
        directory: the folder for the server's log.
        models: the models to load (all).
        probes: inputs for a model's first inference, by model name; generated for other models.
        ports: where it listens; free ports on 127.0.0.1 by default.
        explicit: whether requests with the server's key can load and unload models.
        ready_timeout_s: seconds within which all models must be loaded.
        plugins: paths of plugin libraries that plans need; a plan contains only their names.
        complete: whether the server completes configurations, as for adopted versions.
        versions: model name to a version that is served in any case, whatever version policy its configuration has.
        start: how to start the server.
        on_progress: receives a line about the current step.

    Raises:
        MissingError: the server is not installed and cannot be.
        ServerError: the server or a model did not start, or a model does not respond.
    """
    with embedded.start(
        repository,
        directory=directory,
        models=models,
        ports=ports,
        explicit=explicit,
        ready_timeout_s=ready_timeout_s,
        plugins=plugins,
        complete=complete,
        versions=versions,
        how=replace(start, way=ways.resolve(start.way, python=_needs_python(repository, models))),
        on_progress=on_progress,
    ) as server:
        try:
            probe(server, probes or {})
            yield server
        except ServerError as error:
            if (crash := _crash(server, error, models)) is not None:
                raise crash from error
            raise


def _needs_python(repository: Path, models: Sequence[str] | None) -> bool:
    """Whether a model is a plan or Python code; false if there is no such repository, which is reported later."""
    return repository.is_dir() and python_environment.is_needed(view.model_folders(repository, models))


def _crash(server: Running, error: ServerError, models: Sequence[str] | None) -> ServerError | None:
    """The error of a server that ended by itself, if that is why it could not be reached; `None` if it still runs."""
    if error.code != client_messages.SERVER_UNREACHABLE.code:
        return None
    try:
        ended = server.process.wait(_END_S)
    except TimeoutError:
        return None
    served = ", ".join(map(repr, models)) if models else "its models"
    details = log.problems(server.log) if server.log else ()
    return ServerError.of(
        server_messages.SERVER_CRASHED,
        where=str(server.log),
        found=error.where,
        details=details,
        how=ended.describe(),
        models=served,
    )


def probe(server: ServerHandle, probes: Mapping[str, Mapping[str, Array]]) -> None:
    """Send one request to every version of every loaded model, because a model that the server reports as ready may still fail.

    Raises:
        ServerError: a model does not respond, or refuses the inputs in `probes`; the error names it.
    """
    with client.connect_to(server, "grpc") as connection:
        for entry in connection.model_index():
            if entry.get("state") == "READY":
                name, version = entry["name"], entry.get("version", "")
                _probe_one(server, connection, name, version=version, inputs=probes.get(name))


def _probe_one(
    server: ServerHandle, connection: client.Client, name: str, *, version: str, inputs: Mapping[str, Array] | None
) -> None:
    if inputs is None:
        metadata = connection.model_metadata(name, version)
        if nbytes(metadata) > _PROBE_LIMIT:
            raise ServerError.of(files.NO_PROBE, where=f"{name} version {version}", model=name)
    try:
        # A sequence of one step, for which a model that takes no sequences has no use.
        own = smallest_inputs(metadata) if inputs is None else inputs
        if inputs is not None and decoupled.is_decoupled(connection.model_config(name, version)):
            _stream_one(connection, name, own, version=version)
        else:
            connection.infer(name, own, version=version, step=SequenceStep(_PROBE_ID, start=True, end=True))
    except InferenceError as error:
        died = refusals.kind(error) is Refusal.MODEL_DIED
        # A model may refuse generated inputs with good reason (too small): that counts as a response.
        if inputs is None and error.code == client_messages.MODEL_REFUSED.code and not died:
            return
        message = server_messages.MODEL_DIED if died else server_messages.MODEL_SILENT
        details = log.problems(server.log) if server.log else ()
        raise ServerError.of(message, where=f"{name} version {version}", found=error.found, details=details, model=name) from error
    except ServerError as error:
        if error.code != client_messages.SERVER_SILENT.code:
            raise
        unanswered = server_messages.MODEL_UNANSWERED
        raise ServerError.of(unanswered, where=f"{name} version {version}", found=error.what, model=name) from error


def _stream_one(connection: client.Client, name: str, inputs: Mapping[str, Array], *, version: str) -> None:
    """Send a request to a decoupled model, and wait for its last response."""
    assert isinstance(connection, GrpcClient)
    with connection.stream(name, version) as stream:
        stream.send("probe", inputs)
        while not stream.receive().final:
            pass


def nbytes(metadata: ModelMetadata) -> int:
    """Size in bytes of the smallest inputs that a model's metadata allows; an element of text counts as a pointer."""
    return sum(
        math.prod(max(1, int(size)) for size in entry.get("shape", [])) * (dtypes.by_client(entry["datatype"]).itemsize or 8)
        for entry in metadata.get("inputs", [])
    )


def smallest_inputs(metadata: ModelMetadata) -> Arrays:
    """Inputs of zeros, or empty text, of the smallest shape that a model's metadata allows."""
    inputs: Arrays = {}
    for entry in metadata.get("inputs", []):
        shape = [max(1, int(size)) for size in entry.get("shape", [])]
        dtype = dtypes.by_client(entry["datatype"])
        inputs[entry["name"]] = (
            np.full(shape, b"", object) if dtype.name == "string" else np.zeros(shape, arrays.numpy_dtype(dtype.name))
        )
    return inputs


def write_key(server: ServerHandle, file: Path) -> None:
    """Write the HTTP header that authorizes control of the server, for `curl -H @FILE`; only this user can read the file.

    Raises:
        OSError: the file exists or cannot be written.
    """
    text = "".join(f"{name}: {value}\n" for name, value in server.headers["http"].items())
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def summary(server: ServerHandle) -> str:
    """Names and versions of the server and its runtimes, in one line."""
    return ", ".join(
        f"{name} {server.identity[name]}"
        for name in ("tritonserver", "onnxruntime", "tensorrt", "tensorrt_rtx")
        if name in server.identity
    )
