"""Compare the metadata and configuration that a server reports for a model with the staged configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tritonize.core import dtypes
from tritonize.core.artifacts import Finding
from tritonize.core.messages import server as wording
from tritonize.core.stages import Transport
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig, ModelMetadata
from tritonize.triton.target import Target


class Description(NamedTuple):
    """The server's own description of a model."""

    metadata: ModelMetadata
    config: ModelConfig


def described(target: Target) -> Description:
    """Request the model's metadata and configuration from the server."""
    transport: Transport = "http" if target.server.http_url else "grpc"
    with target.connect(transport) as connection:
        version = str(target.version)
        return Description(connection.model_metadata(target.model, version), connection.model_config(target.model, version))


def findings(target: Target, metadata: ModelMetadata, served: ModelConfig) -> Iterator[Finding]:
    """Differences between the server's description of the model and the staged configuration."""
    where = f"{target.model} version {target.version} on the server"
    yield from model_config.differences(target.served_config, served, where=where)
    yield from model_config.additions(target.served_config, served, where=where)
    yield from _default_version(target)
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


def _default_version(target: Target) -> Iterator[Finding]:
    """A finding if the server uses another version for requests without one: the highest that it serves."""
    with target.connect(target.any_transport) as connection:
        named = connection.model_metadata(target.model).get("versions", ())
    versions = [int(each) for each in named if each.isascii() and each.isdigit()]
    if target.newest and versions and max(versions) != target.version:
        yield Finding(
            where=f"{target.model} on the server",
            what=wording.OTHER_VERSION_BY_DEFAULT.text(),
            expected=f"version {target.version}",
            found=f"version {max(versions)}",
        )


def _words(tensor: tuple[str, list[int]] | None) -> str:
    return f"{tensor[0]} {tensor[1]}" if tensor else "nothing"


def runs_on_gpu(served: ModelConfig) -> bool:
    """Whether a GPU may run the model, by the server's configuration, in which it fills in the kind of each instance group.

    Source: triton-inference-server/core, `NormalizeInstanceGroup` in `model_config_utils.cc`.
    """
    return any(group.get("kind") == "KIND_GPU" for group in served.get("instance_group", ()))
