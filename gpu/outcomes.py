"""What a step came to, as lines of JSON for the process that started it."""

from __future__ import annotations

import json
from collections.abc import Callable


class NotRun(Exception):  # noqa: N818 - it is no error
    """The step cannot run here; the text says why."""


def tell(step: str, outcome: str, detail: str, **numbers: float) -> None:
    """One line for the parent."""
    print(json.dumps({"step": step, "outcome": outcome, "detail": " ".join(detail.split()), "numbers": numbers}), flush=True)


def attempt(step: str, work: Callable[[], tuple[str, dict[str, float]]]) -> bool:
    """Run a step and tell what became of it; whether it passed."""
    print(json.dumps({"step": step, "outcome": "begun"}), flush=True)
    try:
        detail, numbers = work()
    except NotRun as reason:
        tell(step, "not run", str(reason))
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        tell(step, "failed", f"{type(error).__name__}: {error}")
        return False
    tell(step, "passed", detail, **numbers)
    return True
