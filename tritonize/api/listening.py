"""The callbacks of the public functions: `on_stage` and `on_progress`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tritonize.core import progress
from tritonize.core.progress import Progress
from tritonize.core.reports import Stage
from tritonize.core.stages import Label

OnStage = Callable[[Label, Stage | None], None]
"""Called with the name of a stage and `None` when it begins, and with its `Stage` when it ends."""
OnProgress = Callable[[Progress], None]
"""Called during long stages, from any thread."""


@contextmanager
def lines(on_progress: OnProgress | None) -> Iterator[Callable[[str], None] | None]:
    """Send all progress of the block to a callback. The yielded function takes steps that are a line of text.

    Args:
        on_progress: the callback; without one, the block has no listener.
    """
    if on_progress is None:
        yield None
        return
    with progress.listening(on_progress):
        yield lambda line: on_progress(Progress(text=line))
