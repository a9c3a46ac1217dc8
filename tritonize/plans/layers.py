"""Parse the output of TensorRT's engine inspector: how many layers of an engine compute in which precision and format.

The output is JSON with a list `Layers`. Without detailed profiling it contains only the layers' names. For each tensor of a layer,
TensorRT 8.6 and 10 write `Format/Datatype` ("Row major linear FP16 format", "Half", "N/A due to dynamic shapes"); 11 writes
`Format` and `DataType`. Where the output names no precision, the layer counts as `unknown`. The patterns below come from NVIDIA's
documentation and from published inspector output; they were not checked on a GPU.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.core.errors import PlanError
from tritonize.core.messages import plans as wording

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
"""Precision to the pattern of its names; the first match counts, since `float` is part of other names."""
_MOVES = {"reformat", "noop", "identity", "cast", "constant", "shapehosttodevice", "devicetoshapehost", "signal", "wait"}
"""Layer types that only move or convert data; a half-precision tensor of such a layer does not count as half-precision compute."""
_TACTICS = (("bf16", re.compile(r"bf16")), ("fp16", re.compile(r"f16|h884|h1688|h16816|hmma|fp16")))
"""Precision to a pattern in the names of kernels that compute in it."""
_MOVING_KERNEL = re.compile(r"__myl_(cast|move|copy|tran|resh|repl|slic|conc|fill)+_0x")
"""The name, in lower case, of a fused kernel that only converts or copies."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The number of layers of an engine, by precision and format."""

    total: int
    precisions: Mapping[str, int]
    """Precision to number of layers; `fp16+fp32` if a layer's tensors differ, `unknown` if the inspector names no precision."""
    formats: Mapping[str, int]
    """Format of a layer's first output, as the inspector writes it, to number of layers."""
    computing: Mapping[str, int]
    """Precision to number of layers that compute with it: in a tensor, a weight or a kernel's name. Layers that only move data do
    not count."""

    def has(self, precision: str) -> bool | None:
        """Whether a layer computes in a precision; `None` if the inspector's output does not tell."""
        if self.computing.get(precision, 0):
            return True
        return None if self.computing.get(UNKNOWN, 0) or not self.total else False


def read(text: str) -> Layers:
    """Count the layers.

    Args:
        text: the result of `get_engine_information(LayerInformationFormat.JSON)`.

    Raises:
        PlanError: the text is not JSON with a list of layers.
    """
    try:
        information = json.loads(text)
        layers = information["Layers"] if isinstance(information, dict) else information
        if not isinstance(layers, list):
            raise TypeError("'Layers' is not a list")
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError.of(
            wording.LAYERS_UNREADABLE, expected="JSON with a list 'Layers'", found=f"{error}: {text[:200]!r}"
        ) from error
    precisions: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    computing: Counter[str] = Counter()
    for layer in layers:
        plain = layer if isinstance(layer, dict) else {}
        named = sorted({each for tensor in _tensors(plain, "Inputs", "Outputs") if (each := precision_of(tensor)) != UNKNOWN})
        precisions["+".join(named) or UNKNOWN] += 1
        formats[_format(plain)] += 1
        if not _moves(plain, layer):
            for each in _computing(plain, named):
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
    """Whether a layer only moves or converts data; `whole` is its name if that is all that the inspector reports."""
    name = str(layer.get("Name", whole if isinstance(whole, str) else ""))
    kind, tactic = (str(layer.get(key, "")).lower() for key in ("LayerType", "TacticName"))
    return kind in _MOVES or name.startswith("Reformatting CopyNode") or _MOVING_KERNEL.match(tactic) is not None


def _computing(layer: Mapping[str, object], named: Sequence[str]) -> set[str]:
    """The precisions that a layer computes in: those of its tensors and weights, and the one in its kernel's name."""
    weights = layer.get("Weights")
    found = set(named) | ({precision_of(weights)} if isinstance(weights, dict) else set())
    tactic = str(layer.get("TacticName", "")).lower()
    found |= {next((name for name, pattern in _TACTICS if pattern.search(tactic)), UNKNOWN)} - {UNKNOWN}
    fused = "ForeignNode" in str(layer.get("Name", "")) or str(layer.get("LayerType", "")).lower() == "myelin"
    if fused and not found & {"fp16", "bf16"}:
        found.add(UNKNOWN)  # the inspector does not report what runs inside such a layer
    return found - ({UNKNOWN} if not fused and len(found) > 1 else set()) or {UNKNOWN}
