"""Find comparisons that passed but prove little: empty outputs, mostly NaN, or a tolerance larger than the output itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tritonize.core.reports import Check, Finding

NAN_SHARE = 10
"""The proof is weak if more than one in this many elements is NaN."""


def empty_proofs(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Report outputs without a finite element in any sample; a comparison of them proves nothing."""
    elements: dict[str, int] = {}
    for tensor in (tensor for check in checks for tensor in check.tensors):
        finite = tensor.elements if tensor.max_abs is not None or tensor.rtol == tensor.atol == 0 else 0
        elements[tensor.name] = max(elements.get(tensor.name, 0), finite)
    what = "it is empty, NaN or infinite in every sample, so its comparison proves nothing"
    return tuple(Finding(where=f"output {name}", what=what) for name, count in elements.items() if not count)


def weak_proofs(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return a note for each output whose absolute tolerance exceeds the output itself, or that is mostly NaN."""
    largest: dict[str, float] = {}
    atol: dict[str, float] = {}
    for tensor in (tensor for check in checks for tensor in check.tensors):
        if tensor.largest is not None and tensor.atol > 0:
            largest[tensor.name] = max(largest.get(tensor.name, 0.0), tensor.largest)
            atol[tensor.name] = tensor.atol
    return (
        *_hardly_numbers(checks),
        *(
            f"Weak proof: output {name} never exceeds {size:.2g} on these samples, so any value passes its atol of {atol[name]:g}; "
            f"give realistic samples, or an atol such as {1e-3 * size:.0e}."
            for name, size in largest.items()
            if 0 < size <= atol[name]
        ),
    )


def _hardly_numbers(checks: Sequence[Check]) -> Iterator[str]:
    """Yield a note for each output with more than a tenth of NaN among its expected elements."""
    nan: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for tensor in (tensor for check in checks for tensor in check.tensors):
        nan[tensor.name] += tensor.expected_nan
        elements[tensor.name] += tensor.elements
    for name, count in nan.items():
        if count * NAN_SHARE > elements[name]:
            yield (
                f"Weak proof: {count} of {elements[name]} elements of output {name} are NaN on these samples, "
                "and NaN cannot be compared; give realistic samples."
            )
