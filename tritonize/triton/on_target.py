"""Load a version into a running Triton under a name of its own, and unload it afterwards, whatever happens.

The server has to run in explicit model control mode. The version's files go with the request that loads it, or lie in a model
repository that the server and this machine share. No model that the server serves is touched: the name has 64 random bits.
"""

from __future__ import annotations

import contextlib
import graphlib
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core import deadline, errors, interrupts
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError, TritonizeError, UsageError
from tritonize.core.messages import target as messages
from tritonize.core.stages import Transport
from tritonize.triton import client, model_config, target_refusals
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.server import view

PREFIX = "tritonize-proof-"
EVIDENCE = "evidence"
_NAME_CHARACTERS = 80
_UNLOADED_S = 30.0
"""Seconds within which a model has to be gone after its unload was accepted; Triton first answers the requests that wait."""
_INTERVAL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Part:
    """One model to load: a version that is to be proven, or a step of it."""

    name: str
    """Its name in the repository."""
    loaded_as: str
    version: int
    config: ModelConfig
    """The configuration that the server gets."""
    files: Mapping[str, Path]
    """Path inside the model's folder to the file, without the configuration."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A version that the server has loaded."""

    model: str
    """Its name on the server."""
    config: ModelConfig
    how: str
    """How its files came to the server."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Path of each file, by the names in the repository, to the SHA-256 of the bytes that the server got."""

    def as_json(self) -> dict[str, object]:
        """What a manifest says about it."""
        return {"loaded_as": self.model, "how": self.how, "sha256": dict(self.sha256)}


def require_possible(server: ServerHandle, *, shared: Path | None = None) -> None:
    """Fail if the server does not load models on request. It is asked to unload a model that does not exist.

    Raises:
        UsageError: `shared`, the server's model repository on this machine, is no folder.
        ServerError: it does not run in explicit model control mode, restricts the control of models, or cannot be reached.
    """
    if shared is not None and not shared.is_dir():
        raise UsageError.of(messages.NO_SHARED_FOLDER, where=str(shared))
    _control(server, lambda connection: connection.unload(_new_name("")), "")


def parts(root: Path, model: str, version: int) -> list[Part]:
    """The models to load for a version, steps before the ensembles that use them.

    Args:
        root: a model repository with the version, and with one version of each of its steps.
        model: the model's name.
        version: the version's number.
    """
    folders = view.model_folders(root, [model])
    configs = {
        name: model_config.parse((folder / view.CONFIG).read_text(encoding="utf-8"), where=f"{name}/{view.CONFIG}")
        for name, folder in folders.items()
    }
    names = {name: _new_name(name) for name in folders}
    steps = {
        name: [step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", [])]
        for name, config in configs.items()
    }
    found = []
    for name in graphlib.TopologicalSorter(steps).static_order():
        number = version if name == model else _only_version(folders[name])
        config = _renamed({**configs[name], "name": name}, names)
        if number not in model_config.versions_served(config, [number]):
            config = model_config.serving(config, number)
        files = dict(_files(folders[name], number))
        found.append(Part(name=name, loaded_as=names[name], version=number, config=config, files=files))
    return found


@contextlib.contextmanager
def loaded(
    server: ServerHandle, models: Sequence[Part], *, shared: Path | None = None, on_progress: Callable[[str], None] | None = None
) -> Iterator[Loaded]:
    """Load models for the duration of the block; the last one is the version to prove.

    Args:
        server: a running server.
        models: as `parts` returns them.
        shared: the server's model repository on this machine; by default the files go with the request.
        on_progress: receives a line about the current step.

    Raises:
        ServerError: a model is refused, is not ready afterwards, or is still loaded at the end; the error says which and why.
    """
    begun: list[Part] = []
    sums: dict[str, str] = {}
    try:
        how = ""
        for part in models:
            if on_progress is not None:
                on_progress(messages.LOADING.text(model=part.name, name=part.loaded_as, size=f"{part.size / 2**20:,.1f}"))
            _require_unknown(server, part)
            begun.append(part)
            how = _load(server, part, sums) if shared is None else _load_shared(server, part, shared, sums=sums)
            _require_ready(server, part)
        last = models[-1]
        yield Loaded(model=last.loaded_as, config=last.config, how=how, sha256=sums)
    except BaseException as error:
        remaining = _unload_all(server, begun, shared)
        if remaining and isinstance(error, TritonizeError):
            error.details = (*error.details, _remains(remaining).what)
        elif remaining:
            raise _remains(remaining) from error
        raise
    if remaining := _unload_all(server, begun, shared):
        raise _remains(remaining)


def _new_name(name: str) -> str:
    return f"{PREFIX}{secrets.token_hex(8)}{f'-{name}' if name else ''}"[:_NAME_CHARACTERS]


def _only_version(folder: Path) -> int:
    return max(int(each.name) for each in folder.iterdir() if each.is_dir() and each.name.isdecimal())


def _renamed(config: ModelConfig, names: Mapping[str, str]) -> ModelConfig:
    """The configuration with the names of models on the server."""
    changed: ModelConfig = {**config, "name": names[config["name"]]}
    if "ensemble_scheduling" in config:
        scheduled = config["ensemble_scheduling"]
        steps = [{**step, "model_name": names[step["model_name"]]} for step in scheduled["step"]]
        changed["ensemble_scheduling"] = {**scheduled, "step": steps}  # type: ignore[typeddict-item] # copies of typed ones
    return changed


def _files(folder: Path, version: int) -> Iterator[tuple[str, Path]]:
    """What Triton loads: the version's files, and those beside the versions, without configurations and evidence."""
    for entry in sorted(folder.iterdir()):
        if entry.name in (view.CONFIG, "configs") or (entry.name.isdecimal() and entry.name != str(version)):
            continue
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            relative = path.relative_to(folder)
            if path.is_file() and EVIDENCE not in relative.parts[:2]:
                yield relative.as_posix(), path


def _transports(server: ServerHandle) -> list[Transport]:
    """GRPC first: it sends bytes as they are, HTTP a third more, in JSON."""
    addresses: dict[Transport, str] = {"grpc": server.grpc_url, "http": server.http_url}
    return [name for name, url in addresses.items() if url]


def _control(server: ServerHandle, work: Callable[[client.Client], None], model: str, *, size: int = 0) -> Transport:
    """Send a request of the model control API, over the other protocol too if one restricts it; returns the one that took it."""
    transports = _transports(server)
    for transport in transports:
        try:
            with client.connect_to(server, transport) as connection:
                work(connection)
        except (InferenceError, ServerError) as error:
            if target_refusals.is_restricted(error) and transport != transports[-1]:
                continue
            raise target_refusals.explained(error, model=model, size=size) from error
        return transport
    raise AssertionError("a server without an address")


def _require_unknown(server: ServerHandle, part: Part) -> None:
    """Fail if something answers under a name that nobody can know: then it could answer for the version, too."""
    for transport in _transports(server):
        with client.connect_to(server, transport) as connection:
            if connection.model_ready(part.loaded_as):
                raise ServerError.of(messages.NAME_TAKEN, where=connection.where, name=part.loaded_as)


def _load(server: ServerHandle, part: Part, sums: dict[str, str]) -> str:
    """Load a model from files that go with the request. An ensemble has none, and Triton requires a version with a file."""
    files = {path: source.read_bytes() for path, source in part.files.items()} or {f"{part.version}/ensemble": b"-"}
    sums |= {f"{part.name}/{path}": hashlib.sha256(content).hexdigest() for path, content in files.items() if path in part.files}

    def load(connection: client.Client) -> None:
        try:
            connection.load(part.loaded_as, json.dumps(part.config), files)
        except InferenceError as error:
            # Triton 2.51 loads an ensemble whose steps came with requests, and then says that their files are in no repository.
            if not (target_refusals.is_in_no_repository(error) and connection.model_ready(part.loaded_as, str(part.version))):
                raise

    transport = _control(server, load, part.name, size=part.size)
    return messages.BY_REQUEST.text(transport={"grpc": "gRPC", "http": "HTTP"}[transport])


def _load_shared(server: ServerHandle, part: Part, shared: Path, *, sums: dict[str, str]) -> str:
    """Load a model from a folder that is copied into the server's repository."""
    folder = shared / part.loaded_as
    with errors.storage_errors(shared):
        (folder / str(part.version)).mkdir(parents=True)
        for path, source in part.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / path)
            sums[f"{part.name}/{path}"] = _sha256(folder / path)
        (folder / view.CONFIG).write_text(model_config.as_text(part.config), encoding="utf-8")
    try:
        _control(server, lambda connection: connection.load(part.loaded_as, "", {}), part.name)
    except ServerError as error:
        if error.code == messages.NOT_IN_REPOSITORY.code:
            raise ServerError.of(messages.OTHER_FOLDER, where=str(shared), found=error.found) from error
        raise
    return messages.BY_FOLDER.text()


def _require_ready(server: ServerHandle, part: Part) -> None:
    """Fail if a protocol's address does not lead to the server that loaded the model."""
    for transport in _transports(server):
        with client.connect_to(server, transport) as connection:
            if not connection.model_ready(part.loaded_as, str(part.version)):
                raise ServerError.of(messages.NOT_READY, where=connection.where, model=part.name)


def _unload_all(server: ServerHandle, begun: Sequence[Part], shared: Path | None) -> list[str]:
    """Unload models, ensembles first, and remove their folders; returns the names of those that may remain loaded."""
    remaining = []
    with interrupts.deferred(), deadline.extended(_UNLOADED_S * (1 + len(begun))):
        for part in reversed(begun):
            name = part.loaded_as
            try:
                _control(server, lambda connection, name=name: connection.unload(name), part.name)  # type: ignore[misc]
                if not _is_gone(server, name):
                    remaining.append(name)
            except TritonizeError as error:
                if not isinstance(error.__cause__, InferenceError) or _is_ready(server, name):  # no answer, or still there
                    remaining.append(name)
            if shared is not None:
                shutil.rmtree(shared / name, ignore_errors=True)
    return remaining


def _is_ready(server: ServerHandle, name: str) -> bool:
    with client.connect_to(server, _transports(server)[0]) as connection:
        return connection.model_ready(name)


def _is_gone(server: ServerHandle, name: str) -> bool:
    end = time.monotonic() + _UNLOADED_S
    with client.connect_to(server, _transports(server)[0]) as connection:
        while connection.model_ready(name):
            if time.monotonic() > end:
                return False
            time.sleep(_INTERVAL_S)
    return True


def _remains(names: Sequence[str]) -> ServerError:
    return ServerError.of(messages.STILL_LOADED, found=", ".join(names), name=names[0], names=", ".join(names))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
