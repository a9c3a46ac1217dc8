"""The configuration that a server makes for a model without config.pbtxt: from the model file, or as a running server has it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core import durable_files
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, TritonizeError, UsageError, storage_errors
from tritonize.core.messages import adoption
from tritonize.core.messages import lint as wording
from tritonize.triton import client, model_config, serving
from tritonize.triton.protocol import ModelConfig, TensorConfig
from tritonize.workflows import completed_config

_DESCRIBED = ("model.plan", "model.onnx")
"""Files whose configuration can be told without loading them, in the order in which Triton looks for them."""


def in_words(config: ModelConfig) -> str:
    """The fields that Triton makes, in one line."""
    parts = [f"backend {config['backend']}"] if config.get("backend") else []
    parts.append(f"max_batch_size {int(config.get('max_batch_size', 0))}")
    parts += [f"input {_tensor(each)}" for each in config.get("input", ())]
    parts += [f"output {_tensor(each)}" for each in config.get("output", ())]
    return ", ".join([*parts, *(["dynamic_batching"] if "dynamic_batching" in config else [])])


def _tensor(tensor: TensorConfig) -> str:
    return f"{tensor['name']} {tensor['data_type']} [{', '.join(map(str, tensor.get('dims', ())))}]"


def notes(place: Path, model: str, version: int, *, urls: Sequence[str], options: ConnectionOptions) -> Iterator[str]:
    """The configuration of a model without config.pbtxt, and how to keep it; nothing for other models."""
    backend = repository.completed_by_triton(place / model)
    if backend is None:
        return
    directory, url = place / model, urls[0] if urls else None
    try:
        if url is not None:
            config = of_server(urls, options, model, version=version)
            yield adoption.MADE_BY_SERVER.text(url=url, config=in_words(config))
        else:
            file = model_file(directory, version)
            config = model_config.parse(completed_config.text(file), where=str(file))
            yield adoption.MADE_FROM_FILE.text(file=file.name, config=in_words(config))
    except TritonizeError:
        yield adoption.MADE_UNKNOWN.text(backend=backend)
        return
    yield adoption.KEEP_CONFIG.text(directory=shlex.quote(str(directory)))


def of_server(urls: Sequence[str], options: ConnectionOptions, model: str, *, version: int | None = None) -> ModelConfig:
    """The configuration that a running server has of a model, over the first protocol that returns it.

    Raises:
        ServerError, InferenceError: the server cannot be reached, or returns no configuration.
    """
    server = serving.remote(urls, options=options)
    addresses = {"http": server.http_url, "grpc": server.grpc_url}
    problem: ServerError | InferenceError | None = None
    for transport in (each for each in ("http", "grpc") if addresses[each]):
        try:
            with client.connect_to(server, transport) as connection:
                return connection.model_config(model, "" if version is None else str(version))
        except (ServerError, InferenceError) as error:
            problem = problem or error
    assert problem is not None, "a server has an address"
    raise problem


def text_of_server(urls: Sequence[str], options: ConnectionOptions, model: str) -> str:
    """The text of that configuration, marked as made by the server. Errors as `of_server`."""
    config = of_server(urls, options, model)
    return f"# Made by the server at {urls[0]}, with the fields that it completed.\n{model_config.as_text(config)}"


def model_file(directory: Path, version: int | None = None) -> Path:
    """The file in a model's folder that describes the model.

    Args:
        version: the version (the newest).

    Raises:
        UsageError: the version has no such file.
    """
    numbers = repository.versions(directory.parent, directory.name)
    folder = directory / str(version if version is not None else max(numbers, default=0))
    for name in _DESCRIBED:
        if (folder / name).is_file():
            return folder / name
    raise UsageError.of(wording.CONFIG_FOLDER, where=str(directory), directory=shlex.quote(str(directory)))


def keep(model: Path, text: str) -> Path:
    """Write a configuration into the folder of a model that has none; `model` is the folder or a model file. Returns the file.

    Raises:
        UsageError: it is no folder of a model.
        RepositoryError: there is a configuration, a version was proven without one, or the file cannot be written.
    """
    directory = model.parents[1] if model.is_file() else model
    numbers = repository.versions(directory.parent, directory.name)
    if not numbers:
        raise UsageError.of(wording.CONFIG_WRITE, where=str(model))
    path = directory / repository.CONFIG
    if path.exists() or path.is_symlink():
        raise UsageError.of(wording.CONFIG_THERE, where=str(path))
    for version in numbers:
        if repository.has_evidence(directory / str(version)):
            raise UsageError.of(
                wording.CONFIG_PROVEN_WITHOUT,
                where=str(directory),
                version=version,
                evidence=shlex.quote(str(repository.evidence_of(directory / str(version)))),
                directory=shlex.quote(str(directory)),
                repository=shlex.quote(str(directory.parent)),
                model=shlex.quote(directory.name),
            )
    with storage_errors(path):
        durable_files.write(path, text.encode())
    return path
