"""Stateful models on the real server: every response of every sequence is compared, also of many sequences at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import stateful
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import model_config, served_comparison, weight
from tritonize.triton.served_comparison import Verification
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running
from tritonize.triton.target import Target
from tritonize.workflows.canary_pairs import Pairs

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("sequences")]  # one worker starts the server
ONNX = ("", "initial state", "one step late", "state of another sequence", "end ignored")
PYTHON = ("", "never reset", "ready ignored", "one state for all")
EVERY_STAGE = ["http", "grpc", "shm", "stream", "invariances", "concurrent"]


def name(kind: str, fault: str) -> str:
    return f"{kind}_{fault.replace(' ', '_') or 'right'}"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> GoldenSet:
    return stateful.golden(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stateful") / "models"
    for fault in ONNX:
        described = stateful.initialized() if fault == "initial state" else stateful.model()
        path = stateful.write(place / name("onnx", fault) / "1" / "model.onnx", fault)
        config = model_config.render(name("onnx", fault), described, stateful.artifact(path))
        (path.parents[1] / "config.pbtxt").write_text(config)
    for fault in PYTHON:
        stateful.serve_slots(place, name("python", fault), fault)
    return place


@pytest.fixture(scope="module")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with embedded.start(root, directory=tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def verify(root: Path, served: Running, known: GoldenSet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.2))

    def verified(model: str) -> Verification:
        config = model_config.parse((root / model / "config.pbtxt").read_text(), where="")
        target = Target(server=served, model=model, version=1, golden=known, config=config, tracker=ErrorTracker(known))
        found = served_comparison.verify(target)
        assert target.pace.sent <= weight.most_requests(target.profile, known, transports=3)
        return found

    return verified


@pytest.mark.parametrize(("kind", "fault"), [("onnx", ""), ("onnx", "initial state"), ("python", "")])
def test_a_right_model_passes_every_stage(kind: str, fault: str, verify) -> None:
    found = verify(name(kind, fault))
    assert found.findings == ()
    assert {stage.name.key: stage.verdict for stage in found.stages} == dict.fromkeys(EVERY_STAGE, "passed")
    assert {tensor.name for check in found.checks for tensor in check.tensors} == {"Y"}  # no state is a client's


@pytest.mark.parametrize(
    ("kind", "fault", "stages"),
    [
        ("onnx", "one step late", EVERY_STAGE),
        ("onnx", "end ignored", EVERY_STAGE),
        ("onnx", "state of another sequence", ["stream"]),  # right for one sequence at a time
        ("python", "never reset", ["invariances"]),
        ("python", "one state for all", ["stream"]),
        ("python", "ready ignored", ["concurrent"]),
    ],
)
def test_a_wrong_model_fails(kind: str, fault: str, stages: list[str], verify) -> None:
    found = verify(name(kind, fault))
    verdicts = {stage.name.key: stage.verdict for stage in found.stages}
    assert [verdicts[stage] for stage in stages] == ["failed"] * len(stages)
    assert not found.passed
    if fault in ("state of another sequence", "one state for all"):
        assert verdicts["http"] == "passed"


def test_a_canary_of_a_stateful_model_gets_the_same_sequences_as_its_baseline(root, served, known):
    def target(model: str) -> Target:
        config = model_config.parse((root / model / "config.pbtxt").read_text(), where="")
        return Target(
            server=served, model=model, version=1, golden=known, config=config, tracker=ErrorTracker(known), profile_name="quick"
        )

    for fault, beyond in (("", False), ("one step late", True)):
        sides = {"baseline": target(name("onnx", "")), "new": target(name("onnx", fault))}
        with sides["baseline"].connect("grpc") as old, sides["new"].connect("grpc") as new:
            pairs = Pairs(**sides, transport="grpc", connections={"baseline": old, "new": new})
            (output,) = pairs.compare()
            assert (pairs.refused, output.baseline < output.tolerance) == ([], True)
            assert (output.new > output.tolerance, output.beyond > 0) == (beyond, beyond)
            assert len(pairs.seconds(12)["new"]) >= 12
