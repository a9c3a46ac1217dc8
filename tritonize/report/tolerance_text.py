"""The tolerance that each output needs, as text for a terminal of 80 columns and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonize.core.artifacts import to_json
from tritonize.core.messages import tolerance as wording
from tritonize.core.tolerance_advice import Concern, ToleranceAdvice, rounded_up
from tritonize.core.wrapping import wrapped

LISTED = 8
"""Largest number of outputs in the text; the JSON has all of them."""
_METRICS = {
    "snr_db": "SNR {:.1f} dB",
    "cosine": "cosine {:.6g}",
    "top1": "top-1 agreement {:.4g} %",
    "top5": "top-5 agreement {:.4g} %",
    "kl_max": "KL divergence at most {:.3g}",
    "dice_min": "Dice at least {:.6g}",
    "iou_min": "IoU at least {:.6g}",
    "max_box": "boxes off by at most {:.3g}",
    "max_score": "scores off by at most {:.3g}",
    "unmatched_expected": "{:.0f} expected detections missing",
    "unmatched_found": "{:.0f} additional detections",
}
_SHARES = ("top1", "top5")
_TYPES = {"fp32": "float32", "fp64": "float64", "fp16": "float16", "bf16": "bfloat16"}


def plain(advice: ToleranceAdvice) -> dict[str, object]:
    """The advice with everything that follows from it, as data for JSON."""
    derived = {name: getattr(advice, name) for name in ("suggested_atol", "suggested_rtol", "of_rms", "of_own_error")}
    return {**to_json(advice), **derived, "concerns": list(advice.concerns)}


def after_failure(advice: Sequence[ToleranceAdvice]) -> Iterator[str]:
    """Yield the part of a report about the outputs that are outside their tolerance or above their noise-floor ratio."""
    failed = [each for each in advice if not each.passed or each.concerns]
    if failed:
        yield from ("", "Smallest tolerance with which it would pass:")
        for each in failed[:LISTED]:
            yield from lines(each)
        if len(failed) > LISTED:
            yield f"  … and {len(failed) - LISTED} more in the JSON report"


def lines(advice: ToleranceAdvice) -> Iterator[str]:
    """Yield what one output needs, what that means, and what speaks against it."""
    mark, used = "✓" if advice.passed else "✗", f"rtol {advice.rtol:g}, atol {advice.atol:g}"
    yield from _wrapped(f"  {mark} {advice.output} at {advice.stage.heading}, now {used}")
    yield from _wrapped(f"      {_needed(advice)}")
    if scale := ", ".join(_scale(advice)):
        yield from _wrapped(f"      {scale}")
    if metrics := ", ".join(in_words(advice)):
        yield from _wrapped(f"      with this error: {metrics}")
    for concern in advice.concerns:
        yield from _wrapped(f"      ! {warning(advice, concern)}")


def to_accept(advice: Sequence[ToleranceAdvice], *, flags: bool = False) -> Iterator[str]:
    """Yield what to write in a spec to accept the differences that a wider tolerance is for; nothing if there are none.

    Args:
        flags: name the flags of a command line instead, which apply to all outputs.
    """
    accepted = [each for each in advice if not each.passed and not each.concerns]
    if accepted and flags:
        widest = max(each.suggested_atol or 0.0 for each in accepted)
        yield f"To accept these differences, add: --rtol {accepted[0].rtol!r} --atol {widest!r}"
    elif accepted:
        yield "To accept these differences, write in the spec:"
        yield "  outputs:"
        for each in accepted:
            yield f"    {each.output}: {{tolerance: {{rtol: {each.rtol!r}, atol: {each.suggested_atol!r}}}}}"


def _needed(advice: ToleranceAdvice) -> str:
    if advice.least_atol is None:
        return "passes with no tolerance"
    words = f"passes with atol {_number(advice.suggested_atol)} (rtol kept)"
    if advice.suggested_rtol is not None:
        words += f" or rtol {_number(advice.suggested_rtol)} (atol kept)"
    return words


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2g}"


def _times(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e9 else f"{value:.3g}"


def _scale(advice: ToleranceAdvice) -> Iterator[str]:
    """Yield what the smallest atol is in units of the output and of PyTorch's own error."""
    if not advice.least_atol:
        return
    if advice.of_rms is not None:
        yield f"that atol is {_share(advice.of_rms)} of the output's RMS ({advice.rms:.3g})"
    elif advice.largest:
        yield f"that atol is {_share(advice.least_atol / advice.largest)} of the largest value ({advice.largest:.3g})"
    if advice.of_own_error is not None:
        own = _TYPES.get(advice.precision, advice.precision)
        yield f"{_times(advice.of_own_error)} times PyTorch's own {own} error ({advice.own_error:.2g})"


def _share(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"


def in_words(advice: ToleranceAdvice) -> list[str]:
    """The metrics of the output's kind, such as `Dice at least 0.9992`."""
    shown = {name: value for name, value in advice.metrics.items() if not (name.startswith("unmatched") and not value)}
    return [_METRICS[name].format(100 * value if name in _SHARES else value) for name, value in shown.items()]


def warning(advice: ToleranceAdvice, concern: Concern) -> str:
    """The sentence about one reason why a wider tolerance is not the answer."""
    if concern == "reordered":
        return wording.REORDERED.text()
    if concern == "scaled":
        return wording.SCALED.text(factor=advice.factor)
    if concern == "beyond rounding":
        return wording.BEYOND_ROUNDING.text(k=advice.k, limit=advice.k_limit, needed=rounded_up(advice.k))
    if concern == "as large as the output":
        return wording.AS_LARGE.text(share=advice.of_rms)
    return wording.NOT_COMPARABLE.text(reason=advice.reason)


def _wrapped(text: str) -> list[str]:
    return wrapped(text, rest="      ")
