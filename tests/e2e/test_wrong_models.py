"""Models that are served with the right configuration and are wrong in one way; `verify` has to find it in their responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.support import server_models
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.reports import Report
from tritonize.core.stages import StageName
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import golden_file
from tritonize.triton import serving, weight
from tritonize.triton.server.embedded import Running
from tritonize.workflows import golden as golden_workflow

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("python")]

CONFIG = """
backend: "python"
max_batch_size: 6
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }, { name: "Z" data_type: TYPE_FP32 dims: [ 4 ] } ]
dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
CODE = """
import os
import numpy
import triton_python_backend_utils as utils

KNOWN = {row.tobytes() for row in numpy.load(os.path.join(os.path.dirname(__file__), "known.npy"))}


class TritonPythonModel:
    def initialize(self, args):
        self.count = 0

    def execute(self, requests):
        return [self.respond(each, len(requests)) for each in requests]

    def respond(self, request, together):
        self.count += 1
        x = utils.get_input_tensor_by_name(request, "X").as_numpy()
        names = list(request.requested_output_names())
        y, z = x * numpy.float32(2), x + numpy.float32(1)
        WRONG
        return utils.InferenceResponse([utils.Tensor("Y", y), utils.Tensor("Z", z)])
"""
ROWS = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)


class Fault(NamedTuple):
    """A fault, and the stages whose responses show it."""

    code: str
    stages: frozenset[StageName]
    quick: bool = False
    """Whether the quick profile finds it too."""


OVER = frozenset({StageName.HTTP, StageName.GRPC})
FAULTS = {
    "right": Fault("pass", frozenset()),
    "size": Fault("y = y if len(x) != 5 else -y", OVER),
    "alone": Fault("y = y if len(names) > 1 else -y", OVER),
    "swapped": Fault("y, z = (y, z) if len(names) > 1 else (z, y)", OVER),
    "joined": Fault("y = y if together == 1 else -y", frozenset({StageName.CONCURRENT})),
    "learned": Fault("y = y if all(row.tobytes() in KNOWN for row in x) else -y", frozenset({StageName.NEW_SAMPLES}), quick=True),
    "seldom": Fault("y = y if self.count % 100 else -y", frozenset({StageName.CONCURRENT})),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("wrong") / "repository"
    for name, fault in FAULTS.items():
        place = server_models.write(root, name, CONFIG).parent
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.py").write_text(CODE.replace("WRONG", fault.code))
        np.save(place / "known.npy", ROWS)
    with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden file of the right model."""
    place = tmp_path_factory.mktemp("golden")
    answers = [{"X": row, "Y": row * np.float32(2), "Z": row + np.float32(1)} for row in ROWS[:, None]]

    def files(*names: str) -> TensorFiles:
        tensors = tuple(TensorSpec(name=name, dtype="fp32", shape=("batch", 4)) for name in names)
        made = TensorFiles(directory=place / names[0], tensors=tensors, count=len(ROWS))
        for index, each in enumerate(answers):
            arrays.save(made, index, {name: each[name] for name in names})
        return made

    known = GoldenSet(samples=SampleSet(files=files("X"), batched=True, origin="drawn"), expected=files("Y", "Z"), max_batch_size=6)
    origin = golden_file.Origin(model="right", version=1, config=CONFIG, created="today", verdict="passed", versions={})
    golden_file.write(place / "right.golden", origin, known, recipe=None)
    return place / "right.golden"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.3))


def verified(golden: Path, server: Running, model: str, profile: weight.ProfileName = "standard") -> Report:
    urls = [f"http://{server.http_url}", f"grpc://{server.grpc_url}"]
    return golden_workflow.verify(golden_workflow.Request(path=golden, urls=urls, model=model, profile=profile))


@pytest.mark.parametrize("model", FAULTS)
def test_the_responses_show_the_fault(golden: Path, server: Running, model: str) -> None:
    report = verified(golden, server, model)
    assert report.verdict == ("failed" if FAULTS[model].stages else "passed"), report.findings
    wrong = {check.stage for check in report.checks if not check.passed}
    assert wrong >= FAULTS[model].stages
    if FAULTS[model].quick:
        assert verified(golden, server, model, "quick").verdict == "failed"
