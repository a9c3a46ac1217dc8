"""The comparison of a new server or version with its baseline, in the text report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tritonize.core.results import PASSED
from tritonize.core.wrapping import wrapped

_MARK = {**dict.fromkeys(PASSED, "✓"), "failed": "✗"}


def lines(found: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield both sides' errors and latency, and the rules.

    Args:
        found: a `Canary` as plain data; `None` without a baseline.
    """
    if not found:
        return
    yield ""
    yield "Against the baseline, the same requests in turns:"
    yield f"  baseline: {found['baseline']}"
    yield f"  new:      {found['new']}"
    yield f"  {'output':<16}{'max error':>11}{'k':>8}{'baseline':>11}{'k':>8}{'difference':>12}{'bad':>5}"
    for each in found["outputs"]:
        name = each["name"] if len(each["name"]) <= 15 else f"{each['name'][:14]}…"
        yield (
            f"  {name:<16}{each['new']:>11.2e}{_k(each['new_k']):>8}{each['baseline']:>11.2e}{_k(each['baseline_k']):>8}"
            f"{each['difference']:>12.2e}{each['beyond']:>5}"
        )
    if latency := found["latency"]:
        yield f"  latency over {latency['transport']}, {latency['pairs']} requests each"
        for name in ("baseline", "new"):
            side = latency[name]
            yield f"    {name:<9} median {1000 * side['median']:.3g} ms, 95th percentile {1000 * side['p95']:.3g} ms"
    verdicts = {rule["verdict"] for rule in found["rules"]}
    if "failed" in verdicts:
        yield "  The new one may not take over:"
    elif verdicts <= set(PASSED):
        yield "  The new one may take over:"
    else:
        yield "  Whether the new one may take over is not decided:"
    for rule in found["rules"]:
        text = f"  {_MARK.get(rule['verdict'], '–')} {rule['text']}"
        yield from wrapped(text, rest="    ")


def _k(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
