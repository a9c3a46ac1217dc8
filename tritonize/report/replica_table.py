"""The table of what every replica of a deployment answers, in the text report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tritonize.core.results import PASSED

_MARK = {**dict.fromkeys(PASSED, "✓"), "failed": "✗", "not run": "–", "not proven": "–"}


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of what every replica of a deployment answers."""
    if not rows:
        return
    width = max(len("replica"), *(len(row["replica"]) for row in rows))
    yield f"  {'replica':<{width}}  {'Triton':<9}{'answers':>7}{'bad':>5}{'max abs':>10}"
    for row in rows:
        start = f"{_MARK[row['verdict']]} {row['replica']:<{width}}  "
        if row["error"]:
            yield f"{start}{row['error']}"
        else:
            yield f"{start}{row['server']:<9}{row['comparisons']:>7}{row['failed']:>5}{row['max_abs']:>10.1e}"
