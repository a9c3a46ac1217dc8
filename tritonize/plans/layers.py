"""What an engine's inspector says of its layers: how many run in which precision, in which formats.

The text is JSON with a list `Layers`. A plan that was built without detailed profiling has names alone. Of each tensor of a layer
8.6 and 10 say `Format/Datatype` ("Row major linear FP16 format", "Half", "N/A due to dynamic shapes"), 11 says `Format` and
`DataType` apart. What is not said is `unknown`, and never a guess. The texts were taken from NVIDIA's documentation and
from published reports; no engine was inspected here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.core.errors import PlanError

UNKNOWN = "unknown"
_WORDS = (
    ("bf16", r"\b(bf16|bfloat16)\b"),
    ("fp16", r"\b(fp16|half|float16)\b"),
    ("fp8", r"\b(fp8|e4m3|e5m2)\w*"),
    ("fp4", r"\b(fp4|e2m1)\w*"),
    ("int8", r"\bint8\b"),
    ("uint8", r"\buint8\b"),
    ("int4", r"\bint4\b"),
    ("int32", r"\bint32\b"),
    ("int64", r"\bint64\b"),
    ("bool", r"\bbool(ean)?\b"),
    ("fp32", r"\b(fp32|float|float32|tf32)\b"),
)
"""Precision to how it is written; in order, since `float` is a part of other names."""
_MOVES = {"reformat", "noop", "identity", "cast", "constant", "shapehosttodevice", "devicetoshapehost", "signal", "wait"}
"""Layers that move or convert data: that one of them has half precision at one end says nothing of the network."""
_TACTICS = (("bf16", re.compile(r"bf16")), ("fp16", re.compile(r"f16|h884|h1688|h16816|hmma|fp16")))
"""How names of kernels tell the precision that they compute in."""
_MOVING_KERNEL = re.compile(r"__myl_(cast|move|copy|tran|resh|repl|slic|conc|fill)+_0x")
"""A fused kernel, lower case, that only converts or copies."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """An engine's layers, counted."""

    total: int
    precisions: Mapping[str, int]
    """Precision to number of layers; one whose tensors differ is `fp16+fp32`, one of which nothing is said `unknown`."""
    formats: Mapping[str, int]
    """Format of the first output, in the inspector's words, to number of layers."""
    computing: Mapping[str, int]
    """Precision to number of layers that compute, and not only move data, and have it in a tensor, a weight or a kernel's name."""

    def has(self, precision: str) -> bool | None:
        """Whether a layer computes in a precision; `None` where the inspector leaves it open."""
        if self.computing.get(precision, 0):
            return True
        return None if self.computing.get(UNKNOWN, 0) or not self.total else False


def read(text: str) -> Layers:
    """Count the layers.

    Args:
        text: what `get_engine_information(LayerInformationFormat.JSON)` gives.

    Raises:
        PlanError: it is no JSON with layers.
    """
    try:
        information = json.loads(text)
        layers = information["Layers"] if isinstance(information, dict) else information
        if not isinstance(layers, list):
            raise TypeError("its 'Layers' are no list")
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError("The engine's inspector answered what cannot be read.", found=f"{error}: {text[:200]!r}") from error
    precisions: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    computing: Counter[str] = Counter()
    for layer in layers:
        plain = layer if isinstance(layer, dict) else {}
        said = sorted({each for tensor in _tensors(plain, "Inputs", "Outputs") if (each := precision_of(tensor)) != UNKNOWN})
        precisions["+".join(said) or UNKNOWN] += 1
        formats[_format(plain)] += 1
        if not _moves(plain, layer):
            for each in _computing(plain, said):
                computing[each] += 1
    return Layers(total=len(layers), precisions=dict(precisions), formats=dict(formats), computing=dict(computing))


def precision_of(tensor: Mapping[str, object]) -> str:
    """The precision of one tensor of a layer, as the inspector describes it."""
    fields = {str(key).lower(): str(value) for key, value in tensor.items()}
    for key in ("datatype", "format/datatype", "type", "format"):
        text = fields.get(key, "").lower()
        for name, pattern in _WORDS:
            if re.search(pattern, text):
                return name
    return UNKNOWN


def _tensors(layer: Mapping[str, object], *keys: str) -> Iterator[Mapping[str, object]]:
    for key in keys:
        entries = layer.get(key)
        yield from (each for each in (entries if isinstance(entries, list) else ()) if isinstance(each, dict))


def _format(layer: Mapping[str, object]) -> str:
    first = next(_tensors(layer, "Outputs"), {})
    text = str(first.get("Format") or first.get("Format/Datatype") or "")
    return UNKNOWN if not text or text.startswith("N/A") else text


def _moves(layer: Mapping[str, object], whole: object) -> bool:
    name = str(layer.get("Name", whole if isinstance(whole, str) else ""))
    kind, tactic = (str(layer.get(key, "")).lower() for key in ("LayerType", "TacticName"))
    return kind in _MOVES or name.startswith("Reformatting CopyNode") or _MOVING_KERNEL.match(tactic) is not None


def _computing(layer: Mapping[str, object], said: Sequence[str]) -> set[str]:
    """The precisions in a layer that computes: of its tensors, its weights, and its kernel by name."""
    weights = layer.get("Weights")
    found = set(said) | ({precision_of(weights)} if isinstance(weights, dict) else set())
    tactic = str(layer.get("TacticName", "")).lower()
    found |= {next((name for name, pattern in _TACTICS if pattern.search(tactic)), UNKNOWN)} - {UNKNOWN}
    fused = "ForeignNode" in str(layer.get("Name", "")) or str(layer.get("LayerType", "")).lower() == "myelin"
    if fused and not found & {"fp16", "bf16"}:
        found.add(UNKNOWN)  # the inspector does not report what runs inside such a layer
    return found - ({UNKNOWN} if not fused and len(found) > 1 else set()) or {UNKNOWN}
