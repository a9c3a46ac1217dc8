"""The cache of built plans, keyed by everything that a plan depends on. Above its size limit, the least recently used go."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path

from tritonize.core import cache, environment
from tritonize.core.errors import PlanError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans import placement

_DEFAULT_GIB = 20.0
BUILD_STEPS = 1
"""Version of the sequence of TensorRT calls that the worker makes for a request; part of the key of every plan.

Raise it when a request leads to other calls than before, so that plans from the previous sequence are not reused.
`tests/support/golden/build_steps_<version>.txt` lists the calls, and a test compares them.
"""


def folder() -> Path:
    """The folder of the cache, with one entry per plan; it may not exist yet."""
    return cache.directory() / "plans"


def bound() -> int:
    """The size limit of the cache, in bytes.

    Raises:
        UsageError: the environment variable TRITONIZE_PLAN_CACHE_GIB is not a number from 0 up.
    """
    setting = environment.PLAN_CACHE.value()
    try:
        gib = float(setting) if setting else _DEFAULT_GIB
    except ValueError:
        gib = math.nan
    if not 0 <= gib < math.inf:
        raise UsageError.of(
            wording.CACHE_SIZE, where=environment.PLAN_CACHE.name, expected="a number of GiB from 0 up", found=setting
        )
    return round(gib * 2**30)


def place(
    key: str,
    plan: Path,
    build: Callable[[Path], None],
    *,
    on_progress: Callable[[str], None],
    cancelled: threading.Event,
    deadline_s: float,
) -> bool:
    """Copy a plan with its metadata and log out of the cache. If the entry is missing or damaged, build it first.

    Args:
        key: the hash of everything that the plan depends on.
        plan: the path for the plan; metadata and log go next to it.
        build: builds plan, metadata and log into the empty folder that it receives.
        on_progress: receives progress messages.
        cancelled: ends the wait for another process that builds the same plan.
        deadline_s: the longest wait for that process, in seconds.

    Returns:
        Whether the plan was in the cache.

    Raises:
        PlanError: another process did not finish the plan in time, or an entry that was just written is damaged.
        UsageError: see `bound`.
        Exception: every exception of `build`.
    """
    limit, entry = bound(), folder() / key
    for _ in range(2):
        cached, placed = cache.is_complete(entry), []
        try:
            cache.build_once(
                entry,
                build,
                use=lambda path: placed.append(placement.copied(path, plan)),  # noqa: B023 - called before the next iteration
                on_progress=on_progress,
                cancelled=cancelled,
                deadline_s=deadline_s,
            )
        except TimeoutError as error:
            raise PlanError.of(wording.CACHE_WAIT, where=str(entry), found=str(error)) from error
        if placed == [True]:
            cache.touch(entry)
            if not cached:
                cache.keep_within(folder(), limit)
            return cached
        on_progress("the plan in the cache is damaged and is built anew")
        cache.drop(entry)
    raise PlanError.of(wording.CACHE_DAMAGED, where=str(entry))
