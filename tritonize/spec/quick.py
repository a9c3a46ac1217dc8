"""A quick run: what it leaves out of the proof of a model.

It leaves out what takes most of the time and never decides alone that an output is wrong: PyTorch in float64, generated edge cases,
inputs with NaN, most batches, and concurrent clients. The tolerance applies to every comparison that is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonize.core.errors import UsageError
from tritonize.core.messages import verdict as wording
from tritonize.spec import schema


def applied(model: schema.Model) -> schema.Model:
    """The model as a quick run proves it.

    Raises:
        UsageError: the spec requires float64.
    """
    if model.quality.float64 == "required":
        raise UsageError.of(wording.QUICK_REQUIRED)
    quality = model.quality.model_copy(update={"quick": True, "float64": "off", "edge_cases": False, "nan": "off"})
    return model.model_copy(update={"quality": quality})


def left_out(model: schema.Model, *, torch: bool, served: bool) -> Iterator[str]:
    """Yield what a quick run leaves out of the model's full proof.

    Args:
        model: the model, before `applied`.
        torch: whether PyTorch computes the reference.
        served: whether a server is started.
    """
    if torch and model.quality.float64 != "off":
        yield "float64"
    if model.quality.edge_cases:
        yield "edge cases"
        if torch and model.quality.nan != "off":
            yield "NaN inputs"
    if model.max_batch_size:
        yield "most batches"
    if served and model.max_batch_size > 1:
        yield "padded batches"
    if served:
        yield "concurrent clients"
