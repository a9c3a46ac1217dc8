"""How long `tritonize run` takes where all models of a spec are up to date: 100 models, each with a source and evidence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tritonize import repository
from tritonize.process.loaded_code import Loaded
from tritonize.source import identification
from tritonize.spec import loader
from tritonize.workflows import made_from

MODELS = 100
SOURCE_BYTES, GRAPH_BYTES, GOLDEN_BYTES = 1 << 20, 1 << 20, 1 << 20
"""Per model: two layers of 512 x 512 in float32 are 2 MiB."""
LOADED = {"numpy", "onnx", "onnxruntime", "torch"}
TARGET_S = 1.0
_MODEL = "  m{number}: {{source: m{number}.onnx, inputs: {{x: {{shape: [batch, 4]}}}}, max_batch_size: 2}}\n"


def measure() -> str:
    """The section of docs/benchmarks.md."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number in range(MODELS):
            (place / f"m{number}.onnx").write_bytes(os.urandom(SOURCE_BYTES))
        spec = place / "spec.yaml"
        spec.write_text("schema: 1\nmodels:\n" + "".join(_MODEL.format(number=number) for number in range(MODELS)))
        for number in range(MODELS):
            _publish(spec, f"m{number}")
        command = [str(Path(sys.executable).with_name("tritonize"))]
        start = min(_seconds([*command, "--version"]) for _ in range(5))
        seconds = min(_seconds([*command, "run", str(spec)]) for _ in range(5))
        hashed = MODELS * (SOURCE_BYTES + GRAPH_BYTES + GOLDEN_BYTES)
    verdict = "met" if seconds <= TARGET_S else "MISSED"
    return (
        "## Up to date\n\n"
        f"`tritonize run` of a spec of {MODELS} models that are all up to date, the whole command, best of five: {seconds:.2f} s "
        f"(target: {TARGET_S:.0f} s, {verdict}). It hashes {hashed >> 20} MiB, all of it in each run, and imports no torch. "
        f"`tritonize --version`, which does nothing, takes {start:.2f} s.\n"
    )


def _publish(spec: Path, name: str) -> None:
    """Publish a version as a run does: with evidence, and with what it was made from."""
    specification = loader.load(spec)
    model = specification.models[name]
    given = made_from.given(specification, name, identification.identify(model).sha256)
    origin = made_from.complete(given, model, Loaded(packages=LOADED))
    with repository.staging(specification.repository) as run:
        (run.work / "model.onnx").write_bytes(os.urandom(GRAPH_BYTES))
        texts = {repository.CONFIG: f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 2\n'}
        staged = repository.stage(run, name, 1, files={"1/model.onnx": run.work / "model.onnx"}, texts=texts)
        evidence = staged.version_directory / repository.EVIDENCE
        (evidence / "golden").mkdir(parents=True)
        (evidence / "golden" / "0.npy").write_bytes(os.urandom(GOLDEN_BYTES))
        (evidence / "report.json").write_text("{}")
        shutil.copy(staged.model_directory / repository.CONFIG, evidence)
        repository.write_manifest(staged, {"verdict": "passed", "made_from": origin})
        repository.publish(staged, specification.repository, allow_change=False)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    if command[1] == "run" and done.stdout.count("UP TO DATE") != MODELS:
        raise RuntimeError(f"not all models are up to date:\n{done.stdout}")
    return seconds
