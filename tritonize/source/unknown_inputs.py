"""The error for a model whose file does not state its inputs: which ones there are, and the flags that describe them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tritonize.core import dtypes
from tritonize.core.artifacts import Inspection, Source, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording


def error(source: Source, inspected: Inspection) -> UsageError:
    """The error that lists the inputs and says how to describe them."""
    where = source.location if source.kind == "factory" else Path(source.location).name
    listed = ", ".join(described(tensor) for tensor in inspected.inputs)
    expected = f"a description of {listed}" if listed else None
    if source.kind == "module":
        return UsageError.of(wording.INPUTS_UNKNOWN_OBJECT, where=where, expected=expected)
    if likely := cast("Sequence[str]", inspected.details.get("likely_inputs", ())):
        flags = " ".join(f"--input {shlex.quote(each)}" for each in likely)
        return UsageError.of(
            wording.INPUTS_GUESSED, where=where, expected=expected, source=shlex.quote(source.location), flags=flags
        )
    known = {dtype.name for dtype in dtypes.TABLE}
    names = [tensor.name for tensor in inspected.inputs]
    types = [tensor.dtype if tensor.dtype in known else "fp32" for tensor in inspected.inputs]
    flags = " ".join(f"--input {name}:{dtype}:1x…" for name, dtype in zip(names[:3], types, strict=False))
    return UsageError.of(wording.INPUTS_UNKNOWN, where=where, expected=expected, flags=flags or "--input INPUT__0:fp32:1x…")


def described(tensor: TensorSpec) -> str:
    """Name, type and shape of a tensor in one line."""
    shape = "" if tensor.shape == ("?",) else f" {list(tensor.shape)}"
    if tensor.dtype == "required":  # an argument of forward(), whose type is not known
        return tensor.name
    return f"{tensor.name} ({tensor.dtype}{shape})"
