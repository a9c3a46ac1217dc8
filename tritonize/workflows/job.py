"""The state of one model in a run, and the options of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import PublishedVersion, Source
from tritonize.core.recorder import Listener, OnModel, Recorder, silent_model
from tritonize.core.reports import Report
from tritonize.core.server_choice import ServerChoice
from tritonize.repository import Run
from tritonize.spec import schema
from tritonize.triton.weight import ProfileName


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a run that are not in the spec."""

    replace_config: bool = False
    """Replace the published configuration if it differs."""
    drop_config_fields: bool = False
    """Replace it even if it was written by hand and has fields that the new one lacks."""
    allow_unproven: bool = False
    """Publish a version even if a required proof could not run on this machine."""
    plans: tuple[Path, ...] = ()
    """Folders with plans built on other machines from the request of `plan request`; if given, no plan is built here."""
    quick: bool = False
    """Leave out a part of the proof; see `spec.quick`."""
    default_batch: bool = False
    """Whether `max_batch_size` is a default, which a model's file may decide; see `input_inference.complete`."""
    force: bool = False
    """Run a model even if its newest version is up to date."""
    server: ServerChoice = ServerChoice()  # noqa: RUF009 - frozen
    """Which server the version is compared on."""
    current: Mapping[str, Report] | None = None
    """Models that the caller found up to date, with their reports; `None` if it did not look."""
    measure: bool = False
    """Only compare: no version is kept or published."""
    set_in: str = "Python"
    """Where the limits of the spec were set: the name of its file, `the command line` or `Python`."""
    command: str | None = None
    """Command line that repeats the build, for the report."""
    on_published: Callable[[PublishedVersion], None] = lambda _published: None
    """Called with every version directly after it is published; interrupts are delayed until the call returns."""
    on_model: OnModel = silent_model
    """Called with each model of several that is run, before its first stage."""
    on_stage: Listener | None = None
    on_progress: Callable[[str], None] | None = None
    """Called with one line about the progress of a long step, such as installing the server."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model with its folder and its recorded stages."""

    specification: schema.Spec
    name: str
    model: schema.Model
    """The model's spec, with every input described."""
    source: Source
    run: Run
    """This run's folder in the staging area."""
    recorder: Recorder
    options: Options
    serve: bool
    """Whether to start a server and publish the version; `build` does neither."""
    started: float
    """Start time, by `time.perf_counter`."""
    left_out: tuple[str, ...] = ()
    """What a quick run leaves out."""
    notes: tuple[str, ...] = ()
    """Notes for the report about how the spec was completed."""

    @property
    def profile_name(self) -> ProfileName:
        """Which requests a server gets."""
        return "quick" if self.model.quality.quick else "standard"

    @property
    def place(self) -> Path:
        """The model repository."""
        return self.specification.repository

    @property
    def work(self) -> Path:
        """Folder for files that are removed after the run."""
        return self.run.work

    @property
    def command(self) -> str:
        """The command's name, for the report."""
        return "run" if self.serve else "build"
