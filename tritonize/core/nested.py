"""Flatten a model's output into its tensors with the path to each, without importing torch.

torch's pytree handles tuples, lists, dictionaries and the classes that libraries register. Two more kinds are common: dataclasses,
and the key-value caches of Hugging Face's transformers, which are registered only on request.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any  # Any: torch's pytree module, which the caller passes, and nested outputs of models

_LAYER = {"key": "keys", "value": "values", "conv": "conv_states", "recurrent": "recurrent_states"}
"""Step in an output's path to the attribute of a cache's layer."""


def leaves(pytree: Any, output: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every value of a model's output that is neither a container nor None, with the path to it.

    Args:
        pytree: the module `torch.utils._pytree`.
        output: the model's return value.
        path: the steps to `output` itself.
    """

    def closed(value: object) -> bool:
        return opened(value) is not None and (type(value) not in pytree.SUPPORTED_NODES or not dataclasses.is_dataclass(value))

    for place, leaf in pytree.tree_flatten_with_path(output, is_leaf=closed)[0]:
        inner, steps = opened(leaf), (*path, *map(step, place))
        if inner is not None:
            yield from leaves(pytree, inner, steps)
        elif leaf is not None:
            yield steps, leaf


def opened(value: Any) -> Mapping[str, Any] | None:
    """A transformers cache or a dataclass as a dictionary; `None` for other values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Mapping):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    kinds = [kind.__name__ for kind in type(value).__mro__]
    if not any(kind.endswith("Cache") for kind in kinds):
        return None
    if hasattr(value, "self_attention_cache") and hasattr(value, "cross_attention_cache"):
        return {"self": value.self_attention_cache, "cross": value.cross_attention_cache}
    if isinstance(getattr(value, "layers", None), Sequence):
        return {str(number): _layer(layer) for number, layer in enumerate(value.layers)}
    if hasattr(value, "key_cache") and hasattr(value, "value_cache"):  # before transformers 4.54
        pairs = zip(value.key_cache, value.value_cache, strict=True)
        return {str(number): {"key": key, "value": found} for number, (key, found) in enumerate(pairs)}
    return None


def _layer(layer: object) -> dict[str, object]:
    """The tensors of one layer of a cache."""
    tensors = {name: getattr(layer, attribute, None) for name, attribute in _LAYER.items()}
    return {name: states for name, states in tensors.items() if states is not None}


def step(part: object) -> str:
    """One step of a path (an index, a key or an attribute) as text."""
    found = next((getattr(part, field) for field in ("idx", "key", "name") if hasattr(part, field)), part)
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(found))
