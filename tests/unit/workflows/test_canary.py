"""A new side against its baseline: errors and latency of the same requests, and the rules that decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command import invoke
from tritonize.bench import paired
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, Sequences, ServerHandle, TensorFiles, TensorSpec
from tritonize.core.canary_results import Canary, OutputErrors, PairedLatency, Side
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.reports import Finding, Report
from tritonize.core.stages import StageName
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.quality.tracker import ErrorTracker
from tritonize.report import text
from tritonize.spec.schema import Tolerance
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.target import Target
from tritonize.workflows import canary, canary_pairs
from tritonize.workflows.canary_pairs import BaselineAwayError, Pairs


def golden(folder: Path) -> GoldenSet:
    """Six samples x, expected y = x, with a tolerance of 0.5."""
    files = []
    for name in ("x", "y"):
        tensors = (TensorSpec(name=name, dtype="fp32", shape=("batch", 2)),)
        files.append(TensorFiles(directory=folder / name, tensors=tensors, count=6))
        for index in range(6):
            arrays.save(files[-1], index, {name: np.full((1, 2), index, np.float32)})
    rules = {"y": Rules(kind="values", tolerance=Tolerance(rtol=0.0, atol=0.5))}
    return GoldenSet(samples=SampleSet(files=files[0], batched=True, origin=""), expected=files[1], max_batch_size=2, rules=rules)


class Connection:
    """A side that adds something to its input, or raises."""

    def __init__(self, respond: Callable[[np.ndarray], np.ndarray]) -> None:
        self.respond, self.asked, self.steps = respond, [], []

    def infer(
        self, _model: str, inputs: dict[str, np.ndarray], *, version: str, step: SequenceStep | None
    ) -> dict[str, np.ndarray]:
        self.asked.append((version, inputs["x"].tobytes()))
        self.steps.append(step)
        return {"y": self.respond(inputs["x"])}


def pairs(
    folder: Path, baseline: Callable[[np.ndarray], np.ndarray], new: Callable[[np.ndarray], np.ndarray], *, other: bool = False
) -> Pairs:
    """Versions 1 and 2 with the same golden set, or with one for each."""
    sets = [golden(folder / "1")]
    sets.append(golden(folder / "2") if other else sets[0])
    sides = [
        Target(
            server=ServerHandle(http_url="a", grpc_url=""), model="m", version=number, golden=each, config={},
            tracker=ErrorTracker(each),
        )
        for number, each in enumerate(sets, 1)
    ]  # fmt: skip
    connections: Any = {"baseline": Connection(baseline), "new": Connection(new)}
    return Pairs(baseline=sides[0], new=sides[1], transport="http", connections=connections)


def raising(error: Exception) -> Callable[[np.ndarray], np.ndarray]:
    def respond(_: np.ndarray) -> np.ndarray:
        raise error

    return respond


@pytest.mark.parametrize("other", [False, True])
def test_both_sides_get_the_same_requests_and_their_errors_are_kept_apart(other: bool, tmp_path: Path) -> None:
    found = pairs(tmp_path, lambda x: x + np.float32(0.125), lambda x: x - np.float32(0.25), other=other)
    (output,) = found.compare()
    assert (output.baseline, output.new, output.difference) == (0.125, 0.25, 0.375)
    assert (output.tolerance, output.beyond, found.baseline_wrong) == (0.5, 0, 0)
    asked = {name: [content for _, content in each.asked] for name, each in found.connections.items()}  # type: ignore[attr-defined]
    assert asked["baseline"] == asked["new"]
    assert {version for version, _ in found.connections["new"].asked} == {"2"}  # type: ignore[attr-defined]
    assert found.compared == len(asked["new"]) == (2 if other else 1) * len(found.new.golden.batches())


def test_a_baseline_outside_its_tolerance_is_counted(tmp_path: Path) -> None:
    found = pairs(tmp_path, lambda x: x + np.float32(1), lambda x: x)
    (output,) = found.compare()
    assert found.baseline_wrong == output.beyond == found.compared


def test_a_request_that_one_side_rejects_is_a_finding_and_ends_the_measurement(tmp_path: Path) -> None:
    found = pairs(tmp_path, lambda x: x, raising(InferenceError("no", found="why")))
    assert found.compare() == ()
    assert {each.where.partition(",")[0] for each in found.refused} == {"new"}
    assert found.seconds(10) == {"baseline": [], "new": []}


def test_a_stateful_model_gets_whole_sequences_under_an_id_of_its_own_on_each_side(tmp_path: Path) -> None:
    found = pairs(tmp_path, lambda x: x, lambda x: x)
    known = replace(found.new.golden, samples=replace(found.new.golden.samples, sequences=Sequences(starts=(0, 4), states={})))
    found.baseline, found.new = replace(found.baseline, golden=known), replace(found.new, golden=known)
    assert found.most(10) == 6 + 5 + 10 + 3
    (output,) = found.compare()
    assert (output.difference, found.compared) == (0, 6)
    for side in found.connections.values():
        steps = side.steps  # type: ignore[attr-defined]
        assert [(each.start, each.end) for each in steps] == [
            (True, False),
            *[(False, False)] * 2,
            (False, True),
            (True, False),
            (False, True),
        ]
        assert len({each.correlation_id for each in steps}) == 2
    ids = [{each.correlation_id for each in side.steps} for side in found.connections.values()]  # type: ignore[attr-defined]
    assert ids[0] & ids[1] == set()
    times = found.seconds(8)
    assert 8 <= len(times["new"]) == len(times["baseline"]) <= 11
    assert found.connections["new"].steps[-1].end  # type: ignore[attr-defined]


def test_a_side_that_goes_away(tmp_path: Path) -> None:
    with pytest.raises(BaselineAwayError):
        pairs(tmp_path, raising(ServerError("away")), lambda x: x).compare()
    with pytest.raises(ServerError):
        pairs(tmp_path / "new", lambda x: x, raising(ServerError("away"))).compare()


def test_latency_is_measured_in_turns_and_not_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pairs(tmp_path, lambda x: x, lambda x: x)
    assert [len(each) for each in found.seconds(7).values()] == [7, 7]
    monkeypatch.setattr(canary_pairs, "LONGEST_S", 0.0)
    assert [len(each) for each in found.seconds(1000).values()] == [canary_pairs.FEWEST_PAIRS] * 2


def noisy(rng: np.random.Generator, median: float, count: int) -> np.ndarray:
    """Latency whose noise is correlated from request to request, with a few long ones."""
    noise = np.zeros(count)
    for index in range(1, count):
        noise[index] = 0.6 * noise[index - 1] + rng.normal(0, 0.1)
    return median * np.exp(noise) + (rng.random(count) < 0.03) * median * 10


def test_the_interval_contains_the_ratio_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        found = paired.latency(noisy(rng, 0.01, 100).tolist(), noisy(rng, 0.012, 100).tolist(), transport="grpc")
        inside += found.low <= 1.2 <= found.high
    assert inside >= 53, inside  # 95 % of 60 is 57


def latency(low: float, high: float) -> PairedLatency:
    side = Side(median=0.01, p95=0.02)
    return PairedLatency(pairs=40, transport="grpc", baseline=side, new=side, ratio=(low + high) / 2, low=low, high=high)


def output(new: float, baseline: float = 0.1) -> OutputErrors:
    return OutputErrors(name="y", baseline=baseline, new=new, tolerance=0.5, baseline_k=0.1, new_k=None, difference=0.1, beyond=0)


def report(verdict: str = "passed") -> Report:
    return Report(command="verify", model="m", version=2, verdict=verdict)  # type: ignore[arg-type]


def decided(
    verified: str, outputs: tuple[OutputErrors, ...], measured: PairedLatency | None, refused: tuple[Finding, ...] = ()
) -> Report:
    rules = tuple(canary.rules(report(verified), outputs, measured, limit=1.2))
    found = Canary(baseline="a, version 1", new="b, version 2", requests=4, outputs=outputs, latency=measured, rules=rules)
    return canary.judged(report(verified), found, seconds=1.0, refused=refused)


@pytest.mark.parametrize(
    ("verified", "outputs", "measured", "verdict", "said"),
    [
        ("passed", (output(0.1),), latency(0.9, 1.1), "passed", "The new one may take over:"),
        ("passed here", (output(0.59),), latency(0.9, 1.2), "passed here", "The new one may take over:"),
        ("passed", (output(0.61),), latency(0.9, 1.1), "failed", "The new one may not take over:"),
        ("passed", (output(0.1),), latency(1.21, 1.4), "failed", "The new one may not take over:"),
        ("passed", (output(0.1),), latency(1.1, 1.3), "not run", "Whether the new one may take over is not decided:"),
        ("failed", (output(0.1),), latency(0.9, 1.1), "failed", "The new one may not take over:"),
        ("failed", (output(0.1),), latency(1.1, 1.3), "failed", "The new one may not take over:"),
        ("not run", (output(0.1),), latency(0.9, 1.1), "not run", "Whether the new one may take over is not decided:"),
        ("passed", (), None, "not run", "Whether the new one may take over is not decided:"),
    ],
)
def test_the_rules_for_taking_over(verified, outputs, measured, verdict, said) -> None:
    found = decided(verified, outputs, measured)
    assert found.verdict == verdict
    assert found.stages[-1].name is StageName.BASELINE
    shown = text.as_text(found)
    assert said in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_request_that_the_new_side_rejects_fails_and_one_of_the_baseline_leaves_it_undecided() -> None:
    refused = Finding(where="new, samples 1", what="refused")
    assert decided("passed", (output(0.1),), None, (refused,)).verdict == "failed"
    assert decided("passed", (output(0.1),), None, (Finding(where="baseline, samples 1", what="refused"),)).verdict == "not run"


def test_a_decoupled_model_is_not_compared(tmp_path: Path) -> None:
    found = golden(tmp_path)
    own = canary._Evidence(version=1, golden=replace(found, samples=replace(found.samples, requests=(0, 2))), config={})
    stages: list[object] = []
    how = canary._Comparison(
        baseline=canary.Baseline(urls=(), version=None, max_slowdown=0.2), servers=(), profile="quick", rate=None,
        on_stage=lambda _, stage: stages.append(stage), on_progress=None,
    )  # type: ignore[arg-type] # fmt: skip
    after = canary._compared(report(), how, baseline=own, new=own)
    assert (after.verdict, after.stages[-1].verdict, len(stages)) == ("not run", "not run", 1)
    assert "decoupled" in after.stages[-1].note


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--baseline", "http://127.0.0.1:9"], "option-without-url"),
        (["--baseline-version", "1"], "option-without-url"),
        (["--url", "http://127.0.0.1:9", "--max-slowdown", "5"], "without-baseline"),
        (["--url", "http://127.0.0.1:9", "--baseline", "http://127.0.0.1:8", "--watch", "5"], "canary-and-watch"),
        (["--url", "http://127.0.0.1:9", "--baseline", "http://host:port"], "server-address"),
        (["--url", "https://127.0.0.1:9", "--insecure", "--baseline", "http://127.0.0.1:8"], "option-without-tls"),
        (
            ["--url", "http://127.0.0.1:9", "--baseline", "http://127.0.0.1:7", "--baseline", "http://127.0.0.1:8"],
            "canary-one-server",
        ),
        (["--url", "http://127.0.0.1:9", "--baseline", "http://127.0.0.1:9"], "canary-same"),
        (["--url", "http://127.0.0.1:9", "--baseline-version", "1"], "canary-same"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: list[str], code: str, tmp_path: Path) -> None:
    import json

    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text('name: "m"')
    done = invoke("verify", str(tmp_path), *words, "--json")
    assert json.loads(done.stdout)["error"]["code"] == code
    assert done.returncode == 2
