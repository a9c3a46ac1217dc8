"""The plans that were built before, by what they depend on; the ones used longest ago go where they take too much room."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tritonize.core import cache
from tritonize.core.errors import PlanError, UsageError
from tritonize.plans import placement

BOUND = "TRITONIZE_PLAN_CACHE_GIB"
_DEFAULT_GIB = 20.0
BUILD_STEPS = 1
"""Number of the calls that the worker makes on TensorRT for a request; part of the key of every plan.

Raise it when the same request makes other calls than before, so that no plan of the former calls is taken from the cache.
`tests/support/golden/build_steps_<number>.txt` lists the calls, and a test compares them.
"""


def folder() -> Path:
    """Where the plans are kept, an entry each; it need not exist."""
    return cache.directory() / "plans"


def bound() -> int:
    """How many bytes the plans may take together.

    Raises:
        UsageError: the variable that says so is no size.
    """
    said = os.environ.get(BOUND)
    try:
        gib = float(said) if said else _DEFAULT_GIB
    except ValueError:
        gib = math.nan
    if not 0 <= gib < math.inf:
        raise UsageError("The bound on the cache of plans is no size.", where=BOUND, expected="GiB, such as 20", found=said)
    return round(gib * 2**30)


def bring(
    key: str,
    place: Path,
    build: Callable[[Path], None],
    *,
    tell: Callable[[str], None],
    cancelled: threading.Event,
    deadline_s: float,
) -> bool:
    """Bring a plan from the cache, built now where it is not in there or is damaged.

    Args:
        key: all that the plan depends on.
        place: where plan, metadata and log shall lie.
        build: builds them into the empty folder it is given.
        tell: progress.
        cancelled: ends the wait for another process that builds the same.
        deadline_s: how long that wait may be.

    Returns:
        Whether it was in there.

    Raises:
        PlanError: another process did not finish it in time, or what was just written is read otherwise.
        UsageError: see `bound`.
        What `build` raises.
    """
    limit, entry = bound(), folder() / key
    for _ in range(2):
        cached, placed = cache.is_complete(entry), []
        try:
            cache.build_once(
                entry,
                build,
                use=lambda path: placed.append(placement.copied(path, place)),  # noqa: B023 - it is called before the next round
                on_progress=tell,
                cancelled=cancelled,
                deadline_s=deadline_s,
            )
        except TimeoutError as error:
            raise PlanError(
                "Another process is building this plan, and did not finish in time.",
                where=str(entry),
                found=str(error),
                next_step="wait for it, or end it; or raise deadline_s in the request",
            ) from error
        if placed == [True]:
            cache.touch(entry)
            if not cached:
                cache.keep_within(folder(), limit)
            return cached
        tell("the plan in the cache is damaged and is built anew")
        cache.drop(entry)
    raise PlanError(
        "The plan in the cache is damaged, and so is the one that was built anew.",
        where=str(entry),
        cause="the disk of the cache does not keep what is written",
        next_step="set TRITONIZE_CACHE to a folder on another disk",
    )
