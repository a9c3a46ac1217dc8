"""A `config.pbtxt` of the user's own, which is published as it is: its text, and what contradicts the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any  # Any: the fields of a template

from tritonize.core import bounded_files
from tritonize.core.errors import UsageError
from tritonize.core.messages import server as messages
from tritonize.triton.protocol import ModelConfig


def text(path: Path) -> str:
    """Return the text of the file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return bounded_files.text(path)
    except (OSError, ValueError) as error:
        raise UsageError.of(messages.OWN_CONFIG_UNREADABLE, where=str(path), found=str(error)) from error


def contradictions(config: ModelConfig, name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a configuration that the user wrote contradicts spec and model; -1 in its dims stands for any size.

    Triton takes a missing name from the folder, and either of platform and backend is enough.
    """
    wanted = {"name": name, "platform": fields["platform"], "backend": fields["backend"]}
    for field, value in wanted.items():
        if (found := config.get(field)) and found != value:
            yield f"{field}: {found}, expected {value or 'none'}"
    if not any(config.get(field) for field in ("platform", "backend")):
        yield f"backend: not set, expected {fields['backend']}"
    if (size := int(config.get("max_batch_size", 0))) != fields["max_batch_size"]:
        yield f"max_batch_size: {size}, expected {fields['max_batch_size']}"
    sections: Mapping[str, Any] = {"input": config.get("input", ()), "output": config.get("output", ())}
    for kind, section in sections.items():
        found, tensors = {each["name"]: each for each in section}, fields[f"{kind}s"]
        for tensor in tensors:
            own = found.pop(tensor["name"], None)
            dims = [int(size) for size in own.get("dims", ())] if own else []
            if own is None:
                if not tensor["optional"]:
                    yield f"{kind} {tensor['name']}: not set"
            elif own["data_type"] != tensor["data_type"]:
                yield f"{kind} {tensor['name']}: {own['data_type']}, expected {tensor['data_type']}"
            elif "reshape" not in own and not _fit(dims, tensor["dims"]):
                yield f"{kind} {tensor['name']}: dims {dims}, expected {tensor['dims']}"
        yield from (f"{kind} {each}: the model has none of this name" for each in found)


def _fit(dims: Sequence[int], expected: Sequence[int]) -> bool:
    return len(dims) == len(expected) and all(-1 in pair or pair[0] == pair[1] for pair in zip(dims, expected, strict=True))
