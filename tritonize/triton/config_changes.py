"""How two model configurations differ, by field: comments, the order of fields and the layout of the text do not count."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from tritonize.core.errors import UsageError
from tritonize.triton import model_config

ABSENT = "not set"


def between(before: str, after: str) -> list[str]:
    """Return a line for each field that differs between the texts of two configurations: `max_batch_size: 2 -> 4`.

    A message that is set but empty, such as `dynamic_batching { }`, differs from one that is not set. If one of the texts is not
    a valid configuration, the only line says so.
    """
    try:
        old, new = (model_config.parse(text, where="config.pbtxt") for text in (before, after))
    except UsageError as error:
        return [] if before == after else [f"one is not a valid configuration: {error.found}"]
    return between_fields(old, new)


def between_fields(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return such lines for two parsed configurations, or parts of them."""
    return [f"{path}: {_words(left)} -> {_words(right)}" for path, left, right in _differences(before, after, "")]


def dropped(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return `path: value` for each field that is set in the first configuration and not in the second."""
    return [f"{path}: {_words(left)}" for path, left, right in _differences(before, after, "") if right is None]


def _differences(before: object, after: object, path: str) -> Iterator[tuple[str, object, object]]:
    """Yield path, old and new value of the innermost fields that differ; `None` for a field that is not set."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _named(before) and _named(after):
        old, new = ({str(each["name"]): each for each in side} for side in (before, after))  # type: ignore[attr-defined]
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(old.get(name), new.get(name), f"{path}[{name}]")
        if [*old] != [*new] and {*old} == {*new}:
            yield f"the order of {path}", [*old], [*new]
    elif _messages(before) and _messages(after) and len(before) == len(after):  # type: ignore[arg-type]
        for index, (old_item, new_item) in enumerate(zip(before, after, strict=True)):  # type: ignore[call-overload]
            yield from _differences(old_item, new_item, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _messages(value: object) -> bool:
    """Whether a value is a list of messages, such as instance groups."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, Mapping) for each in value)


def _named(value: object) -> bool:
    """Whether a value is a list of messages with different names, such as tensors."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    names = [each.get("name") for each in value if isinstance(each, Mapping)]
    return len(names) == len(value) == len(set(names)) and all(names)


def _words(value: object) -> str:
    return ABSENT if value is None else value if isinstance(value, str) else json.dumps(value)
