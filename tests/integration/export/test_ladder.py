"""The export ladder and the traps: refused with the right reason, or exported right; never published wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import MODELS, tritonize

SPEC = "schema: 1\nmodels: {{m: {{source: 'traps:{name}', {rest}}}}}\n"
BATCHED = "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 3"


def build(name: str, rest: str = BATCHED):
    Path("traps.py").write_text((MODELS / "traps.py").read_text())
    Path("spec.yaml").write_text(SPEC.format(name=name, rest=rest))
    done = tritonize("build", "spec.yaml", "--json", timeout=400)
    return done, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "code", "named"),
    [
        ("training_mode", "part-in-training-mode", ""),
        ("random", "not-deterministic", "OUTPUT__0"),
        pytest.param("dropout_always", "not-deterministic", "OUTPUT__0", marks=pytest.mark.slow),
        ("counter", "state-written", "count"),
        ("hidden_state", "state-decides", "OUTPUT__0"),
        pytest.param("batch_of_one", "model-not-batchable", "", marks=pytest.mark.slow),
        ("batch_mean", "model-not-batchable", ""),
        pytest.param("flat_unique", "model-not-batchable", "", marks=pytest.mark.slow),
    ],
)
def test_a_model_that_cannot_be_proven_is_reported_as_that(name, code, named):
    done, answer = build(name)
    assert done.returncode in (2, 4), done.stderr
    assert answer["error"]["code"] == code
    assert named in json.dumps(answer["error"])
    assert "export" not in answer["error"]["what"].lower() or "ONNX file cannot" in answer["error"]["what"]


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("index_add", BATCHED),
        pytest.param("scatter_add", BATCHED, marks=pytest.mark.slow),
        pytest.param("loop_over_batch", BATCHED, marks=pytest.mark.slow),
        ("scalar_default", BATCHED),
        ("in_place", BATCHED),
        pytest.param(
            "branch_on_length",
            "inputs: {x: {shape: [batch, length]}}, axes: {length: {min: 1, opt: 4, max: 9}}, max_batch_size: 2",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "attention",
            "inputs: {x: {shape: [batch, length, 8]}}, axes: {length: {min: 2, opt: 4, max: 9}}, max_batch_size: 2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_trap_is_exported_right_or_not_at_all(name, rest):
    done, answer = build(name, rest)
    if done.returncode:  # refused: with a reason, and without a right-looking file
        assert done.returncode in (1, 4), done.stderr
        if done.returncode == 4:
            assert answer["error"]["details"] or answer["error"]["found"]
        return
    (report,) = answer["reports"]
    assert report["verdict"] == "passed"
    assert not_wrong(name, report)


def not_wrong(name: str, report: dict) -> bool:
    """Asked again with other numbers and sizes, apart from everything tritonize did."""
    import sys

    import numpy as np
    import onnxruntime
    import torch

    sys.path.insert(0, str(Path.cwd()))
    sys.modules.pop("traps", None)
    import traps

    session = onnxruntime.InferenceSession(str(Path(report["location"]) / "model.onnx"), providers=["CPUExecutionProvider"])
    shape = [size if isinstance(size, int) else None for size in session.get_inputs()[0].shape]
    generator = np.random.default_rng(99)
    for batch in (1, 2, 3):
        for length in (2, 4, 7):
            sizes = [batch, *(length if size is None else size for size in shape[1:])]
            x = generator.standard_normal(sizes).astype(np.float32)
            with torch.no_grad():
                expected = getattr(traps, name)().eval()(torch.from_numpy(x.copy())).numpy()
            np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: x})[0], expected, atol=1e-4, rtol=1e-4)
    return True


@pytest.mark.parametrize(
    "name",
    ["cumulative", pytest.param("nearest_exact", marks=pytest.mark.slow), pytest.param("unseen_rows", marks=pytest.mark.slow)],
)
def test_what_the_exporters_cannot_do_is_rescued(name):
    done, answer = build(name)
    assert done.returncode == 0, done.stderr
    assert not_wrong(name, answer["reports"][0])


@pytest.mark.parametrize("strategy", ["legacy", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_two_axes_are_tried_at_unequal_sizes(strategy):
    axes = ", ".join(f"{name}: {{min: 2, opt: 4, max: 6}}" for name in ("height", "width"))
    rest = f"inputs: {{x: {{shape: [batch, height, width]}}}}, axes: {{{axes}}}, max_batch_size: 2, strategies: [{strategy}]"
    done, _ = build("branch_on_square", rest)
    assert done.returncode in (1, 4), done.stdout


@pytest.mark.parametrize("strategy", ["legacy", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_sizes_between_the_ends_are_tried(strategy):
    rest = "inputs: {x: {shape: [batch, width]}}, axes: {width: {min: 16, max: 64}}, max_batch_size: 2"
    rest += f", strategies: [{strategy}]"
    done, _ = build("padded", rest)
    assert done.returncode in (1, 4), done.stdout
    done, answer = build("padded", rest.replace("max: 64", "max: 64, step: 4"))  # then it is never asked to pad
    assert done.returncode == 0, done.stdout
    assert answer["reports"][0]["verdict"] == "passed"


@pytest.mark.slow
def test_every_attempt_is_recorded():
    done, answer = build("only_legacy")
    assert done.returncode == 0, done.stderr
    attempts = answer["reports"][0]["details"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts][-1] == "right"
    for attempt in attempts[:-1]:
        assert attempt["outcome"] in ("failed", "wrong")
        assert attempt["reason"]
        assert "\n" not in attempt["reason"]
    assert all(attempt["seconds"] > 0 for attempt in attempts)


def test_a_pinned_ladder_is_climbed_alone():
    done, answer = build("scatter_add", BATCHED + ", strategies: [legacy]")
    assert done.returncode == 0, done.stderr
    assert [attempt["strategy"] for attempt in answer["reports"][0]["details"]["attempts"]] == ["legacy"]


def test_where_nothing_works_every_strategy_and_the_users_line_are_named():
    done, answer = build("data_dependent")
    assert done.returncode == 4, done.stderr
    error = answer["error"]
    assert "traps.py:" in error["where"]
    assert {detail.split()[0] for detail in error["details"]} == {"dynamo", "dynamo_decomposed", "legacy"}
    assert error["next_step"]


def test_nested_inputs_and_outputs_are_flattened():
    inputs = ["batch.image: {shape: [batch, 4]}", "batch.mask: {dtype: bool, shape: [batch, 4]}"]
    inputs += [f"scales.{index}: {{shape: [batch, 1]}}" for index in range(2)]
    rest = f"inputs: {{{', '.join(inputs)}}}, max_batch_size: 2"
    done, answer = build("containers", rest)
    assert done.returncode == 0, done.stderr
    (report,) = answer["reports"]
    names = {tensor["name"] for check in report["checks"] for tensor in check["tensors"]}
    assert names == {"features.0", "features.1", "score"}
