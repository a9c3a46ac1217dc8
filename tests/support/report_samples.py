"""Small golden sets, outputs and Reports for the tests of the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, StagedVersion, TensorFiles
from tritonize.core.error_location import Location, NodeError
from tritonize.core.figures import Figures
from tritonize.core.reports import Check, Finding, Report, Stage
from tritonize.core.stages import StageName
from tritonize.quality import gates
from tritonize.quality.comparison import compare
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.quality.tracker import ErrorTracker
from tritonize.spec import schema
from tritonize.workflows import evidence

STAGES = (StageName.ONNXRUNTIME, StageName.HTTP, StageName.GRPC, StageName.SHM)
Tensors = Mapping[str, np.ndarray]


def golden(
    folder: Path, inputs: Sequence[Tensors], expected: Sequence[Tensors], kinds: Mapping[str, str] | None = None
) -> GoldenSet:
    """A golden set of samples with a batch axis and their expected outputs, as files."""
    sets = []
    for name, items in (("inputs", inputs), ("expected", expected)):
        specs = tuple(arrays.spec_of(key, array) for key, array in items[0].items())
        files = TensorFiles(directory=folder / name, tensors=specs, count=len(items))
        for index, item in enumerate(items):
            arrays.save(files, index, item)
        sets.append(files)
    samples = SampleSet(files=sets[0], batched=True, origin="made by the test")
    rules = {name: Rules(kind=kind) for name, kind in (kinds or {}).items()}  # type: ignore[arg-type]
    return GoldenSet(samples=samples, expected=sets[1], max_batch_size=1, rules=rules, why_not="float64 was not requested")


def seen(known: GoldenSet, found: Sequence[Tensors], stages: Sequence[StageName] = STAGES) -> ErrorTracker:
    """A tracker that compared the same outputs at every stage."""
    tracker = ErrorTracker(known, FigureCollector(known))
    for stage in stages:
        for index, answer in enumerate(found):
            tracker.add(stage, (index,), dict(answer))
    return tracker


def report(tracker: ErrorTracker, found: Sequence[Tensors], **fields: object) -> Report:
    """The Report of these outputs."""
    checks = tuple(
        Check(
            stage=stage,
            batch_size=1,
            samples=(index,),
            tensors=compare(arrays.load(tracker.golden.expected, index), answer, tracker.golden.tolerances),
            seconds=0.002 * (index + 1) * (place + 1),
        )
        for place, stage in enumerate(STAGES)
        for index, answer in enumerate(found)
    )
    judgement = gates.judge(tracker, checks)
    passed = judgement.passed and all(check.passed for check in checks)
    known: dict[str, object] = {
        "command": "run",
        "model": "network",
        "version": 3,
        "verdict": "passed" if passed else "failed",
        "checks": checks,
        "rows": judgement.rows,
        "gates": judgement.gates,
        "notes": ("Verify the deployment itself with `tritonize verify --url`.",),
        "stages": (
            Stage(name=StageName.HTTP, verdict="passed", seconds=1.5, library_seconds=1.0, peak_memory=3 * 2**20, note="2 answers"),
            Stage(name=StageName.PLAN_RUN, verdict="not run", seconds=0.0, note="there is no GPU here"),
        ),
        "versions": {"tritonize": "0.1.0", "numpy": "2.4.6"},
        "proved_by": {"tritonserver": "2.51.0", "onnxruntime": "1.32.0"},
        "details": {
            "source": {"kind": "torchscript", "location": "network.pt", "sha256": {"network.pt": "c" * 64}},
            "attempts": [
                {"strategy": "legacy", "outcome": "right", "seconds": 1.0, "reason": "", "where": None, "next_step": None}
            ],
        },
    }
    return Report(**{**known, **fields})  # type: ignore[arg-type]


def volume(folder: Path, side: int = 24, noise: float = 1e-7) -> tuple[Report, Figures]:
    """Masks of a ball in a noisy volume; the second sample has its largest difference in slice 5."""
    random = np.random.default_rng(7)
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in (side, side + 4, side + 8)], indexing="ij"))
    ball = (np.sqrt((place**2).sum(0)) < 0.6).astype(np.float32)[None, None]
    inputs = [{"image": ball + random.normal(0, 0.5, ball.shape).astype(np.float32)} for _ in range(2)]
    expected = [{"mask": 1 / (1 + np.exp(4 - 8 * ball - each["image"] * 0.1)).astype(np.float32)} for each in inputs]
    found = [{"mask": each["mask"] + random.normal(0, noise, ball.shape).astype(np.float32)} for each in expected]
    found[1]["mask"][0, 0, 5, 6, 7] += np.float32(5e-5)
    known = golden(folder, inputs, expected, {"mask": "mask_probabilities"})
    tracker = seen(known, found)
    return report(tracker, found, model="heart"), tracker.collector.figures(
        located=[(f"encoder.{n}", 10.0 ** (n - 9)) for n in range(6)]
    )


def classifier(folder: Path, wrong: bool = False) -> tuple[Report, Figures]:
    """Scores of seven classes for two images; with `wrong`, the second image gets another class."""
    random = np.random.default_rng(8)
    inputs = [{"photo": random.normal(0, 1, (1, 3, 40, 48)).astype(np.float32)} for _ in range(2)]
    scores = [
        np.array([[0.05, 0.3, 0.1, 0.02, 0.4, 0.03, 0.1]], np.float32),
        np.array([[0.9, 0.01, 0.02, 0.03, 0, 0.02, 0.02]], np.float32),
    ]
    expected = [{"scores": each} for each in scores]
    found = [{"scores": each + np.float32(1e-7)} for each in scores]
    if wrong:
        found[1] = {"scores": np.array([[0.01, 0.9, 0.02, 0.03, 0, np.nan, 0.02]], np.float32)}
    known = golden(folder, inputs, expected, {"scores": "distribution"})
    tracker = seen(known, found)
    labels = {"scores": ["tench", "goldfish", "white shark", "hammerhead", "hen", "ostrich", "brambling <& finch>"]}
    return report(tracker, found, model="classifier"), tracker.collector.figures(labels)


def several(folder: Path) -> tuple[Report, Figures]:
    """Six outputs at every served stage and three batch sizes, of which one is wrong, with findings, notes and long details."""
    random = np.random.default_rng(9)
    served = tuple(stage for stage in StageName if StageName.ONNXRUNTIME.order <= stage.order <= StageName.NEW_SAMPLES.order)
    names = [f"output_{number}" for number in range(6)]
    inputs = [{"x": random.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]
    expected = [{name: random.normal(0, 1, (1, 2, 16, 16)).astype(np.float32) for name in names} for _ in inputs]
    found = [
        {name: array * np.float32(1 + (1e-2 if name == "output_3" else 1e-6)) for name, array in each.items()} for each in expected
    ]
    known = golden(folder, inputs, expected, dict.fromkeys(names[:3], "segmentation"))
    tracker = seen(known, found, served)
    single = report(tracker, found)
    checks = tuple(
        Check(stage=stage, batch_size=size, samples=(index,), tensors=each.tensors, seconds=0.001 * (index + 1))
        for stage in served
        for size in (1, 2, 4)
        for index, each in enumerate(single.checks[: len(found)])
    )
    findings = tuple(
        Finding(
            where=f"stream, sample {number}",
            what="the server sent another number of responses to a request",
            stage=StageName.STREAM,
        )
        for number in range(9)
    )
    notes = tuple(f"Note {number} says something about the run that a reader has to know, at some length." for number in range(9))
    stages = tuple(Stage(name=stage, verdict="passed", seconds=1.0, note="4 responses") for stage in StageName)
    details = {**single.details, "deep": {f"key {number}": {"number": number, "text": "x" * 60} for number in range(60)}}
    return (
        replace(single, checks=checks, findings=findings, notes=notes, stages=stages, details=details, model="several"),
        tracker.collector.figures(),
    )


def published(tmp_path: Path) -> Path:
    """The directory of a published version whose evidence has the report of a small classifier."""
    expected = [{"scores": np.array([[0.1, 0.6, 0.3, 0, 0, 0, 0]], np.float32)}]
    known = golden(tmp_path / "g", [{"x": np.zeros((1, 1), np.float32)}], expected, {"scores": "distribution"})
    tracker = seen(known, expected)
    node = NodeError(
        position=4, node="Mul_1", operator="Mul", output="t", own=0.25, allowance=1e-6, inputs=0.0, propagated=0.0, total=0.25,
        module="encoder.block",
    )  # fmt: skip
    located = Location(expected="A", found="B", kind="modules", series=(node,))
    found = report(tracker, expected)
    staged = StagedVersion(root=tmp_path / "repository", model=found.model, version=3)
    staged.version_directory.mkdir(parents=True)
    (staged.model_directory / "config.pbtxt").write_text("output [ { name: 'scores' label_filename: 'labels_scores.txt' } ]")
    (staged.model_directory / "labels_scores.txt").write_text("\n".join(f"label {number}" for number in range(7)))
    (staged.version_directory / "model.onnx").write_bytes(b"")
    outputs = {"scores": {"labels": "labels.txt"}}
    model = schema.Model.model_validate({"source": "m.onnx", "inputs": {"x": {"shape": [1]}}, "outputs": outputs})
    evidence.write(staged, found, model, collector=tracker.collector, located=located)
    return staged.version_directory
