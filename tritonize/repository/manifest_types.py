"""The types of a manifest's fields, which a manifest from elsewhere need not have."""

from __future__ import annotations

import json
from collections.abc import Mapping

_KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("model", "verdict", "created", "sha256"), (str, "text")),
    "version": (int, "whole number"),
    "unconfigured": (bool, "yes or no"),
    **dict.fromkeys(("notes", "verification", "gates", "noise_floors", "attempts", "left_out"), (list, "list")),
    **dict.fromkeys(("spec", "steps", "details", "tolerances", "completed", "quick"), (dict, "mapping")),
    **dict.fromkeys(("versions", "proved_by", "source", "onnx", "target"), (dict, "mapping")),
}
"""Fields that a manifest may have, with the types that their readers rely on."""


def difference(manifest: Mapping[str, object]) -> str | None:
    """Return which field has another type than its readers rely on, in words; `None` if none has."""
    for name, (kind, words) in _KINDS.items():
        if name in manifest and not isinstance(manifest[name], kind):
            return f"`{name}` is no {words}: {json.dumps(manifest[name])[:100]}"
    return None
