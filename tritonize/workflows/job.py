"""One model of a specification on its way through a run, and how the run behaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import PublishedVersion, Source
from tritonize.core.recorder import Listener, Recorder
from tritonize.repository import Run
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run behaves, apart from what the spec says."""

    replace_config: bool = False
    """Put a differing configuration in place of the published one."""
    allow_unproven: bool = False
    """Publish a version although a proof that it needs could not run here."""
    plans: tuple[Path, ...] = ()
    """Folders with plans that were built elsewhere, of the request that `plan request` writes; nothing is built then."""
    command: str | None = None
    """What builds the same again on a command line, for the report."""
    on_published: Callable[[PublishedVersion], None] = lambda _published: None
    """Called with every version right when it is in place; an interrupt comes before or after, never in between."""
    on_stage: Listener | None = None
    on_progress: Callable[[str], None] | None = None
    """Called with one line that says what a long step is doing, such as installing the server."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model, its folder and its stages."""

    specification: schema.Spec
    name: str
    model: schema.Model
    """With every input described."""
    source: Source
    run: Run
    """The folder of this run in the staging area."""
    recorder: Recorder
    options: Options
    serve: bool
    """Whether a server is started and the version published; `build` does neither."""
    started: float
    """When it began, by `time.perf_counter`."""

    @property
    def place(self) -> Path:
        """The model repository."""
        return self.specification.repository

    @property
    def work(self) -> Path:
        """For files that are removed after the run."""
        return self.run.work

    @property
    def command(self) -> str:
        """The command's name, for the report."""
        return "run" if self.serve else "build"
