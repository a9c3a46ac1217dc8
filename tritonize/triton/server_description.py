"""Compare the metadata and configuration that a server reports for a model with the staged configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple, TypeVar

from tritonize.core import dtypes
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.core.messages import server as wording
from tritonize.core.reports import Finding
from tritonize.core.stages import StageName
from tritonize.triton import client, model_config
from tritonize.triton.client import refusals, statuses
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.protocol import ModelConfig, ModelMetadata
from tritonize.triton.target import Target

T = TypeVar("T")


class Unread(NamedTuple):
    """A part of the server's API that it does not open to this client."""

    stage: StageName
    why: str


class Description(NamedTuple):
    """The server's own description of a model."""

    metadata: ModelMetadata | None
    config: ModelConfig | None
    unread: tuple[Unread, ...]


def described(target: Target) -> Description:
    """Request the model's metadata and configuration, over the other transport too if one does not return them.

    Raises:
        InferenceError: the server does not serve the version.
        ServerError: it cannot be reached.
    """
    version = str(target.version)
    metadata = _read(target, StageName.METADATA, lambda connection: connection.model_metadata(target.model, version))
    config = _read(target, StageName.MODEL_CONFIG, lambda connection: connection.model_config(target.model, version))
    return Description(
        None if isinstance(metadata, Unread) else metadata,
        None if isinstance(config, Unread) else config,
        tuple(each for each in (metadata, config) if isinstance(each, Unread)),
    )


def _read(target: Target, stage: StageName, read: Callable[[client.Client], T]) -> T | Unread:
    """What one of the transports returns; the reason of the first if none does."""
    reasons: list[str] = []
    for transport in target.transports:
        with target.connect(transport) as connection:
            try:
                return read(connection)
            except (InferenceError, ServerError) as error:
                why = why_unread(error)
                if why is None:
                    raise
                reasons.append(why)
    return Unread(stage, reasons[0])


def why_unread(error: InferenceError | ServerError) -> str | None:
    """Why a server does not return a description of itself, as text; `None` for an error that concerns inference too."""
    if isinstance(error, InferenceError):
        return wording.API_RESTRICTED.text(why=error.found) if refusals.kind(error) is Refusal.RESTRICTED else None
    # A proxy that passes only inference requests responds with its own page.
    own_page = error.code in statuses.CODES | {client_messages.NO_TRITON.code}
    return f"{error.what} {error.found or ''}".strip() if own_page else None


def config_findings(target: Target, served: ModelConfig) -> tuple[Finding, ...]:
    """Differences between the configuration that the server runs the model with and the staged one."""
    where = f"{target.model} version {target.version} on the server"
    found = (
        *model_config.differences(target.served_config, served, where=where),
        *model_config.additions(target.served_config, served, where=where),
    )
    if target.server.log is not None:  # it was started with this configuration
        return found
    step = wording.LOAD_AGAIN.text(model=target.model)
    return tuple(replace(each, what=_cause(each.what), next_step=step) for each in found)


def _cause(field: str) -> str:
    """The field that differs; of the version policy, also what makes it differ: `promote` and `rollback` write it."""
    return wording.EARLIER_POLICY.text(field=field) if field.split(".")[0] == "version_policy" else field


def metadata_findings(target: Target, metadata: ModelMetadata) -> Iterator[Finding]:
    """Differences between the inputs and outputs in the server's metadata and the staged configuration."""
    where = f"{target.model} version {target.version} on the server"
    batch = [-1] if int(target.config.get("max_batch_size", 0)) else []
    sections: tuple[tuple[Literal["inputs", "outputs"], Literal["input", "output"]], ...] = (
        ("inputs", "input"),
        ("outputs", "output"),
    )
    for kind, section in sections:
        expected = {
            tensor["name"]: (dtypes.by_triton(tensor["data_type"]).client, batch + [int(size) for size in tensor["dims"]])
            for tensor in target.config.get(section, [])
        }
        found = {
            str(tensor.get("name", "")): (str(tensor.get("datatype", "no type")), [int(size) for size in tensor.get("shape", [])])
            for tensor in metadata.get(kind, [])
        }
        for name in sorted(set(expected) | set(found)):
            if expected.get(name) != found.get(name):
                yield Finding(
                    where=where,
                    what=f"metadata of {section} {name}",
                    expected=_words(expected.get(name)),
                    found=_words(found.get(name)),
                )


def _words(tensor: tuple[str, list[int]] | None) -> str:
    return f"{tensor[0]} {tensor[1]}" if tensor else "nothing"


def runs_on_gpu(served: ModelConfig) -> bool:
    """Whether a GPU may run the model, by the server's configuration, in which it fills in the kind of each instance group.

    Source: triton-inference-server/core, `NormalizeInstanceGroup` in `model_config_utils.cc`.
    """
    return any(group.get("kind") == "KIND_GPU" for group in served.get("instance_group", ()))
