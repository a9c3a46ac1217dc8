"""Write the evidence of a version into its directory: report, manifest and golden set."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tritonize import repository
from tritonize.core import figures, machine, redaction, wrapping
from tritonize.core.artifacts import Attempt, OnnxArtifact, Reference, SampleSet, StagedVersion, to_json
from tritonize.core.error_location import Location
from tritonize.core.figures import Figures
from tritonize.core.json_types import JsonObject
from tritonize.core.reports import Report
from tritonize.quality import latency
from tritonize.quality.figure_collector import FigureCollector
from tritonize.report import html
from tritonize.report import text as report_text
from tritonize.source import integer_ranges
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.workflows import portable_spec, sample_names

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders and texts of this machine that the evidence must not contain."""

    repository: Path | None = None
    staged: Path | None = None
    """The run's folder."""
    command: str = ""
    """The command line."""

    def removed_from(self, value: T, model: schema.Model) -> T:
        """Return a report or facts without these paths, names of sample files, and secrets among a factory's arguments."""
        folders = {Path.cwd(): "", Path(os.path.expanduser("~")): "~/"}  # noqa: PTH111 - never raises
        if self.repository:
            place = self.repository.absolute()
            folders = {place.parent: "", **folders}
        if self.staged:
            folders = {self.staged: "", **folders}
        words = shlex.split(self.command)
        value = sample_names.removed_from(value, model, command=self.command)
        return redaction.sanitized(value, words=words, folders=folders, hidden=redaction.secrets(model.kwargs))


def write(
    staged: StagedVersion,
    finished: Report,
    model: schema.Model,
    *,
    collector: FigureCollector | None = None,
    located: Location | None = None,
    places: Places | None = None,
    pictures: bool = True,
) -> None:
    """Write report and manifest into a staged version. The manifest is last, since it has the hashes of all other files.

    Args:
        finished: the report.
        collector: collected the data of the figures; the sample files must still exist.
        located: the node that an error comes from, if `locate` ran.
        places: paths of this machine, which are removed from the evidence.
        pictures: whether figures may show single samples.
    """
    private = places or Places()
    measured = _measured()
    finished = private.removed_from(replace(finished, details={**finished.details, "measured": measured}), model)
    evidence = staged.version_directory / repository.EVIDENCE
    evidence.mkdir(parents=True, exist_ok=True)
    # All versions share the configurations beside them, which a later version may replace.
    for name in filter(repository.is_config, repository.files_beside(staged.model_directory)):
        (evidence / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(staged.model_directory / name, evidence / name)
    (evidence / "report.json").write_text(report_text.dumps(finished) + "\n", encoding="utf-8")
    with wrapping.at(wrapping.PLAIN):
        (evidence / "report.txt").write_text(report_text.as_text(finished), encoding="utf-8")
    drawn = _figures(staged, collector, located)
    if not pictures:
        drawn = replace(drawn, slices=(), classes=(), scatters=())
    (evidence / "figures.json").write_text(figures.dumps(drawn) + "\n", encoding="utf-8")
    (evidence / "report.html").write_text(html.render(finished, drawn), encoding="utf-8")
    facts = {
        "created": measured["at"],
        "verdict": finished.verdict,
        "verification": report_text.summary(finished.checks),
        "latency": [to_json(each) for each in latency.of(finished.checks)],
        "gates": [to_json(gate) for gate in finished.gates],
        "noise_floors": [to_json(floor) for floor in finished.floors],
        "proved_by": dict(finished.proved_by),
        "notes": list(finished.notes),
        "left_out": [to_json(each) for each in finished.left_out],
        "versions": dict(finished.versions),
        **finished.details,
        "spec": portable_spec.portable(model),
    }
    repository.write_manifest(staged, private.removed_from(facts, model))


def _measured() -> JsonObject:
    """Return when and on what machine the version was measured."""
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}


def _figures(staged: StagedVersion, collector: FigureCollector | None, located: Location | None) -> Figures:
    """Return the data of the report's figures."""
    series = along(located) if located else ()
    return collector.figures(_label_lists(staged), series) if collector else Figures(located=series)


def _label_lists(staged: StagedVersion) -> dict[str, list[str]]:
    """Return the class names of every output, from the label files beside the configuration."""
    path = staged.model_directory / repository.CONFIG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""  # Triton completes the configuration of an adopted version
    named = model_config.label_files(model_config.parse(text, where=str(path)))
    paths = {output: staged.model_directory / name for output, name in named.items()}
    return {output: path.read_text(encoding="utf-8").splitlines() for output, path in paths.items() if path.is_file()}


def along(location: Location) -> tuple[tuple[str, float], ...]:
    """Return the error along the graph for the report: by module if known, else by node; `FAR` if it is unknown."""
    return tuple(
        (each.label if each.module is None else each.module or "(the model itself)", each.own if each.total is None else each.total)
        for each in location.series
    )


def details(
    model: schema.Model, target: schema.Target, artifact: OnnxArtifact, *, reference: Reference, attempts: Sequence[Attempt]
) -> JsonObject:
    """Return source, ONNX file, export attempts and target as plain data, without paths of this machine."""
    source, onnx = to_json(reference.source), to_json(artifact)
    source["location"] = model.source if model.is_factory else Path(model.source).name
    del onnx["path"], onnx["node_map"]
    onnx["data"] = artifact.data.name if artifact.data else None
    return {
        "source": source,
        "onnx": onnx,
        "attempts": [to_json(attempt) for attempt in attempts],
        "custom_op_libraries": {Path(name).name: _sha256(name) for name in model.custom_op_libraries},
        "parameters": reference.parameters,
        "renamed": dict(reference.renamed),
        "target": target.model_dump(mode="json", exclude_none=True),
    }


def _sha256(library: str) -> str | None:
    """Return the SHA-256 of a library's file; `None` if only the dynamic loader knows its path."""
    return repository.sha256(Path(library)) if Path(library).is_absolute() else None


def samples(model: schema.Model, drawn: SampleSet) -> JsonObject:
    """Return how many samples were compared and where they come from, as plain data."""
    random = not model.samples.patterns and not model.samples.function
    ranges = {name: list(each) for name, each in integer_ranges.defaults(model, drawn).items()}
    return {
        "count": drawn.drawn,
        "edge_cases": len(drawn.edges),
        "origin": drawn.origin,
        "random": random,
        **({"default_ranges": ranges} if ranges else {}),
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of tritonize, Python and the named packages."""
    base = {"tritonize": importlib.metadata.version("tritonize"), "python": platform.python_version()}
    return base | {package: importlib.metadata.version(package) for package in packages}
